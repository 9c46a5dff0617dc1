"""The plan of exec: the steps of create's process, in a container that exists (DESIGN 4.2). Pure.

    host        prepare   the seccomp filter, the cgroups
    stage 1     first     in the host's pid namespace, unseen: joins everything, becomes the user, drops what it can
    host        admit     what only the runtime may do to the process
    container   inside    the first process that the container can see: session, terminal
    container   launch    execve

What is a privilege belongs to stage 1 (or, by pid, to the runtime, in `admit`); its child has only what the program may
have. Only where a filter allows next to nothing and is to be loaded without noNewPrivileges, it is the child that loads
it, right before execve, and has CAP_SYS_ADMIN until then. So with a filter's listener: stage 1 gives it to the runtime,
unless the agent is to answer what the child calls, which then shares its descriptors with a helper.
"""

from __future__ import annotations

from pyoci.config import Config
from pyoci.config.process import Process
from pyoci.plan.process import Plan, ProcessPlan, join_rdt, profile, required, scheduler
from pyoci.record import Record
from pyoci.steps.host import cgroups
from pyoci.steps.host import process as host
from pyoci.steps.init import enter, identity, namespaces, sync
from pyoci.steps.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.steps.hooks.state import HookState

# Kind and CLONE_NEW* of every namespace, in the order of /proc/PID/ns.
NAMESPACES = {
    "cgroup": 0x02000000,
    "ipc": 0x08000000,
    "mnt": 0x00020000,
    "net": 0x40000000,
    "pid": 0x20000000,
    "time": 0x80,
    "user": 0x10000000,
    "uts": 0x04000000,
}


class Entrance(Record):
    """What a plan of exec depends on besides the process: facts about the container, and what the caller passed on.

    joins: the kinds of namespaces, keys of NAMESPACES, in which the container is not where the runtime is; inodes: the
    device and inode of each. drop_groups: the runtime may call setgroups(2).
    privileged: the runtime is root of the machine, which may schedule a process of any user.
    set_groups: setgroups(2) is not forbidden there. umask: the process's. cgroups: where it goes, by controller.
    chroot: the container has no mount namespace, its root is entered by a descriptor.
    pipes: the standard streams that are pipes to the runtime; owner: its ids of the container's root.
    """

    id: str
    joins: tuple[str, ...]
    inodes: tuple[tuple[int, int], ...] = ()
    drop_groups: bool = True
    set_groups: bool
    chroot: bool
    umask: int
    cgroups: dict[str, str]
    optional_cgroups: bool = False
    asked_cgroups: bool = False  # they are those that --cgroup names
    fallback_cgroup: str = ""  # v2: where the container's first process is now, if that is another one
    keyring: str = ""  # the container's session keyring
    preserve: int = 0
    listen: int = 0
    file_limit: tuple[int, int] | None = None
    notify: str = ""
    rdt_path: str = ""
    rdt_monitor: str = ""
    pid: int = 0  # the container's first process
    bundle: str = ""
    annotations: dict[str, str] = {}
    privileged: bool = True
    pipes: tuple[int, ...] = ()
    owner: tuple[int, int] = (0, 0)


def make(config: Config, entrance: Entrance) -> Plan:
    """The Plan for exec. `config.process` is the process; of the rest, what the container was created with counts."""
    wanted = config.process
    assert wanted is not None
    process = ProcessPlan(config, wanted, entrance, entrance.set_groups, _state(config, entrance))
    early = _filters_early(config, entrance)
    process.helpless = early
    return Plan(
        two_stage=True,
        clone_flags=0,
        private_pid=False,
        prepare=_prepare(config, entrance, process),
        first=_first(config, entrance, process) + (_filter(config) if early else ()),
        maps=(),
        admit=(
            *_admit(config, wanted, entrance),
            *join_rdt(entrance.rdt_path, entrance.rdt_monitor),
            *process.name(),
            *(_send_listener(config, entrance, process) if early else ()),
        ),
        inside=_inside(config, entrance, process),
        mounted=(),
        finish=(),
        launch=process.arm() + process.limits() + (enter.LiveOn(), process.execute()),
        preserved=process.keep,
        argv=wanted.args,
        env=process.environment(),
        helper=process.helper("running", entrance.pid),
    )


def _state(config: Config, entrance: Entrance) -> HookState | None:
    """What a seccomp agent is told of the container, if there is one to be told."""
    if config.linux.seccomp is None or not config.linux.seccomp.notifies():
        return None
    from pyoci.steps.hooks.state import HookState

    return HookState(id=entrance.id, bundle=entrance.bundle, annotations=entrance.annotations)


def _prepare(config: Config, entrance: Entrance, process: ProcessPlan) -> tuple[Step, ...]:
    assert config.process is not None
    steps = [*required(config.process, config.linux)]
    if config.linux.seccomp is not None:
        steps.append(host.CompileFilter(seccomp=config.linux.seccomp))
    steps += process.agent()
    if entrance.cgroups:
        steps.append(
            enter.OpenCgroups(
                paths=entrance.cgroups,
                optional=entrance.optional_cgroups,
                fallback=entrance.fallback_cgroup,
                asked=entrance.asked_cgroups,
            )
        )
    affinity = config.process.exec_cpu_affinity
    if affinity is not None and affinity.initial:
        from pyoci.steps.init import scheduling

        # The runtime's own, which stage 1 is born with, be it into the container's cgroup.
        steps.append(scheduling.SetInitialAffinity(pointer=affinity.pointer, affinity=affinity))
    return tuple(steps)


def _admit(config: Config, wanted: Process, entrance: Entrance) -> tuple[Step, ...]:
    limits: tuple[Step, ...] = (host.RaiseHardLimits(rlimits=wanted.rlimits),) if wanted.rlimits else ()
    return limits + _scheduled("host", config, entrance)


def _scheduled(where: str, config: Config, entrance: Entrance) -> tuple[Step, ...]:
    """The step that sets the scheduler, if it is this process that takes it.

    Stage 1, as root of the container's namespaces, and its child is born with it; who is not root of the machine could
    not schedule another user's process. But a process with a deadline cannot fork: that one is the runtime's to set.
    And what is reset by a fork is for stage 2 where the runtime may not.
    """
    wanted = config.process
    if wanted is None or wanted.scheduler is None:
        return ()
    place = "stage 1"
    if wanted.scheduler.policy == "SCHED_DEADLINE":
        place = "host"
    elif "SCHED_FLAG_RESET_ON_FORK" in wanted.scheduler.flags:
        place = "host" if entrance.privileged else "stage 2"
    return scheduler(wanted, config.linux) if place == where else ()


def _final_affinity(wanted: Process) -> Step:
    affinity = wanted.exec_cpu_affinity
    if affinity is None:
        return cgroups.ResetAffinity()
    from pyoci.steps.init import scheduling

    return scheduling.SetFinalAffinity(pointer=affinity.pointer, affinity=affinity)


def _first(config: Config, entrance: Entrance, process: ProcessPlan) -> tuple[Step, ...]:
    wanted = process.process
    steps: list[Step] = []
    if wanted.oom_score_adj is not None:
        steps.append(enter.AdjustOomScore(value=wanted.oom_score_adj))
    steps += [
        sync.HideProcess(),
        enter.LeaveSession(),
        cgroups.EnterCgroups(),
        _final_affinity(wanted),
        enter.UseProc(),
    ]
    if entrance.drop_groups:
        steps.append(namespaces.DropGroups())
    flags = tuple(NAMESPACES[kind] for kind in entrance.joins)
    steps.append(enter.JoinContainer(kinds=entrance.joins, flags=flags, inodes=entrance.inodes))
    if entrance.chroot:
        steps.append(enter.EnterRoot())
    if "user" in entrance.joins:
        steps.append(namespaces.BecomeRoot(drop_groups=entrance.set_groups))
    steps += process.session(existing=True)
    if wanted.terminal:
        from pyoci.steps.init import terminal

        steps += [
            terminal.OpenRoot(),
            terminal.OpenTerminal(size=wanted.console_size, uid=wanted.user.uid),
            terminal.TakeStreams(),
        ]
    steps += profile(wanted) + process.no_new_privileges() + _scheduled("stage 1", config, entrance)
    steps += process.attributes() + process.become_user()
    steps.append(enter.LeaveHost(keep=process.keep))
    return tuple(steps)


def _filters_early(config: Config, entrance: Entrance) -> bool:
    """Whether stage 1 can and should load the filter.

    Then CAP_SYS_ADMIN need not be kept for it any longer. And stage 1 can send the filter's listener, if it has one:
    where the program's process loads it, that shares its descriptors with a helper, and what is visible to a container
    that may trace it had better share none.
    """
    wanted, filter = config.process, config.linux.seccomp
    assert wanted is not None
    if filter is None or _scheduled("stage 2", config, entrance):
        return False
    if not filter.notifies() and (wanted.no_new_privileges or wanted.capabilities is None):
        return False
    from pyoci.seccomp.allowance import allows_exec

    return allows_exec(filter)


def _filter(config: Config) -> tuple[Step, ...]:
    """The last steps of stage 1."""
    wanted = config.process
    assert wanted is not None
    load = enter.LoadFilterEarly()
    if wanted.capabilities is None or wanted.no_new_privileges:
        return (load,)
    return load, identity.SetCapabilities(capabilities=wanted.capabilities)


def _send_listener(config: Config, entrance: Entrance, process: ProcessPlan) -> tuple[Step, ...]:
    if config.linux.seccomp is None or not config.linux.seccomp.notifies():
        return ()
    from pyoci.steps.listener import early as listener_early

    return (listener_early.SendListener(handover=process.handover("running", entrance.pid)),)


def _inside(config: Config, entrance: Entrance, process: ProcessPlan) -> tuple[Step, ...]:
    steps: list[Step] = [sync.StartSession()]
    if process.process.terminal:
        from pyoci.steps.init import terminal

        steps.append(terminal.ControlTerminal())
    steps += [identity.SetUmask(umask=entrance.umask), sync.Await(kind="go")]
    return (*steps, *_scheduled("stage 2", config, entrance), *process.find_program())
