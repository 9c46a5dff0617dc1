"""The plan of exec: the steps of create's process, in a container that exists. Pure.

    host        prepare   the seccomp filter, the cgroups
    stage 1     first     in the host's pid namespace, unseen: joins everything, becomes the user, drops what it can
    host        admit     what only the runtime may do to the process
    container   inside    the first process that the container can see: session, terminal
    container   launch    execve

Whatever takes a privilege is done by stage 1, or by the runtime, which names the process by its pid (`admit`). The
child of stage 1 has from its beginning no more than the program may have. There is one exception: a filter that is to
be loaded without noNewPrivileges, which takes CAP_SYS_ADMIN, and that would not allow what stage 1 has still to do. The
child loads such a filter itself, right before execve, and keeps the capability until then.

A filter may have a listener. If stage 1 loads the filter, it gives the listener to the runtime, which sends it to the
agent. If the child loads it, a helper that shares the child's descriptors sends it (steps/listener/handover.py).

The decision: docs/decisions/exec-in-two-stages.md.
"""

from __future__ import annotations

from pyoci.config import Config
from pyoci.config.namespaces import FLAGS
from pyoci.config.process import Process
from pyoci.kernel import namespace
from pyoci.plan.plan import Plan
from pyoci.plan.process import ProcessPlan, allowed_cpus, join_rdt, profile, required, scheduler
from pyoci.steps.host import cgroups
from pyoci.steps.host import process as host
from pyoci.steps.host.context import HostStep
from pyoci.steps.init import cgroups as init_cgroups
from pyoci.steps.init import enter, identity, namespaces, sync
from pyoci.steps.init.context import InitStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.plan.inputs import ExecInputs
    from pyoci.steps.hooks.state import HookState

# Name and CLONE_NEW* of every namespace, in the order of /proc/PID/ns.
NAMESPACES = dict(sorted((namespace.FILES.get(kind, kind), flag) for kind, flag in FLAGS.items()))


def make(wanted: Process, config: Config, inputs: ExecInputs) -> Plan:
    """The Plan for exec of the process `wanted`. config: what the container was created with."""
    process = ProcessPlan(config, wanted, inputs, inputs.set_groups, _state(config, inputs))
    early = _filters_early(wanted, config, inputs)
    process.filter_loaded_early = early
    return Plan(
        two_stage=True,
        clone_flags=0,
        private_pid=False,
        prepare=_prepare(config, inputs, process),
        first=_first(config, inputs, process) + (_filter(wanted) if early else ()),
        maps=(),
        admit=(
            *_admit(config, wanted, inputs),
            *join_rdt(inputs.rdt_path, inputs.rdt_monitor),
            *process.name(),
            *(_send_listener(config, inputs, process) if early else ()),
        ),
        inside=_inside(config, inputs, process),
        mounted=(),
        finish=(),
        launch=process.arm() + process.limits() + (enter.ClearParentDeathSignal(), process.execute()),
        preserved=process.keep,
        argv=wanted.args,
        env=process.environment(),
        helper=process.helper("running", inputs.pid),
    )


def _state(config: Config, inputs: ExecInputs) -> HookState | None:
    """What a seccomp agent is told of the container, if there is one to be told."""
    if config.linux.seccomp is None or not config.linux.seccomp.notifies():
        return None
    from pyoci.steps.hooks.state import HookState

    return HookState(id=inputs.id, bundle=inputs.bundle, annotations=inputs.annotations)


def _prepare(config: Config, inputs: ExecInputs, process: ProcessPlan) -> tuple[HostStep, ...]:
    wanted = process.process
    steps = [*required(wanted, config.linux)]
    if config.linux.seccomp is not None:
        from pyoci.steps.host.seccomp import CompileFilter

        steps.append(CompileFilter(seccomp=config.linux.seccomp, told=True))
    steps += process.agent()
    if inputs.cgroups:
        steps.append(
            cgroups.OpenCgroups(
                paths=inputs.cgroups,
                optional=inputs.optional_cgroups,
                fallback=inputs.fallback_cgroup,
                asked=inputs.asked_cgroups,
            )
        )
    affinity = wanted.exec_cpu_affinity
    if affinity is not None and affinity.initial:
        from pyoci.steps.host import scheduling

        # The runtime's own, which stage 1 is born with, be it into the container's cgroup.
        steps.append(scheduling.SetInitialAffinity(pointer=affinity.pointer, affinity=affinity))
    return tuple(steps)


def _admit(config: Config, wanted: Process, inputs: ExecInputs) -> tuple[HostStep, ...]:
    limits: tuple[HostStep, ...] = (host.RaiseHardLimits(rlimits=wanted.rlimits),) if wanted.rlimits else ()
    return limits + _scheduled_by_pid(wanted, config, inputs)


def _who_schedules(wanted: Process, inputs: ExecInputs) -> str:
    """Which process sets the scheduler: "stage 1", "stage 2", "runtime", or "" if there is none to set.

    Stage 1, as root of the container's namespaces, and its child is born with it; who is not root of the machine could
    not schedule another user's process. But a process with a deadline cannot fork: that one is the runtime's to set.
    And what is reset by a fork is for stage 2 where the runtime may not.
    """
    if wanted.scheduler is None:
        return ""
    if wanted.scheduler.policy == "SCHED_DEADLINE":
        return "runtime"
    if "SCHED_FLAG_RESET_ON_FORK" in wanted.scheduler.flags:
        return "runtime" if inputs.privileged else "stage 2"
    return "stage 1"


def _scheduled(where: str, wanted: Process, config: Config, inputs: ExecInputs) -> tuple[InitStep, ...]:
    """The step that sets the scheduler, if it is this process that takes it."""
    return scheduler(wanted, config.linux) if _who_schedules(wanted, inputs) == where else ()


def _scheduled_by_pid(wanted: Process, config: Config, inputs: ExecInputs) -> tuple[HostStep, ...]:
    if wanted.scheduler is None or _who_schedules(wanted, inputs) != "runtime":
        return ()
    from pyoci.steps.host.scheduling import ScheduleProcess

    return (
        ScheduleProcess(pointer=wanted.scheduler.pointer, scheduler=wanted.scheduler, cpus=allowed_cpus(config.linux)),
    )


def _final_affinity(wanted: Process) -> InitStep:
    affinity = wanted.exec_cpu_affinity
    if affinity is None:
        return init_cgroups.ResetAffinity()
    from pyoci.steps.init import scheduling

    return scheduling.SetFinalAffinity(pointer=affinity.pointer, affinity=affinity)


def _first(config: Config, inputs: ExecInputs, process: ProcessPlan) -> tuple[InitStep, ...]:
    wanted = process.process
    steps: list[InitStep] = []
    if wanted.oom_score_adj is not None:
        steps.append(enter.AdjustOomScore(value=wanted.oom_score_adj))
    steps += [
        sync.MakeUndumpable(),
        enter.LeaveSession(),
        init_cgroups.EnterCgroups(),
        _final_affinity(wanted),
        enter.SwitchProcfs(),
    ]
    if inputs.drop_groups:
        steps.append(namespaces.DropGroups())
    flags = tuple(NAMESPACES[kind] for kind in inputs.joins)
    steps.append(enter.JoinContainer(kinds=inputs.joins, flags=flags, inodes=inputs.inodes))
    if inputs.chroot:
        steps.append(enter.EnterRoot())
    if "user" in inputs.joins:
        steps.append(namespaces.BecomeRoot(drop_groups=inputs.set_groups))
    steps += process.session(existing=True)
    if wanted.terminal:
        from pyoci.steps.init import terminal

        steps += [
            terminal.OpenContainerRoot(),
            terminal.OpenTerminal(size=wanted.console_size, uid=wanted.user.uid),
            terminal.TakeStreams(),
        ]
    steps += profile(wanted) + process.no_new_privileges() + _scheduled("stage 1", wanted, config, inputs)
    steps += process.attributes() + process.become_user()
    steps.append(enter.CloseHostDescriptors(keep=process.keep))
    return tuple(steps)


def _filters_early(wanted: Process, config: Config, inputs: ExecInputs) -> bool:
    """Whether stage 1 can and should load the filter.

    Then CAP_SYS_ADMIN need not be kept for it any longer. And stage 1 can send the filter's listener, if it has one:
    where the program's process loads it, that shares its descriptors with a helper, and what is visible to a container
    that may trace it had better share none.
    """
    filter = config.linux.seccomp
    if filter is None or _who_schedules(wanted, inputs) == "stage 2":
        return False
    if not filter.notifies() and (wanted.no_new_privileges or wanted.capabilities is None):
        return False
    from pyoci.seccomp.allowance import allows_exec

    return allows_exec(filter)


def _filter(wanted: Process) -> tuple[InitStep, ...]:
    """The last steps of stage 1."""
    load = enter.LoadFilterEarly()
    if wanted.capabilities is None or wanted.no_new_privileges:
        return (load,)
    return load, identity.SetCapabilities(capabilities=wanted.capabilities)


def _send_listener(config: Config, inputs: ExecInputs, process: ProcessPlan) -> tuple[HostStep, ...]:
    if config.linux.seccomp is None or not config.linux.seccomp.notifies():
        return ()
    from pyoci.steps.host.listener import SendListener

    return (SendListener(agent=process.told("running", inputs.pid)),)


def _inside(config: Config, inputs: ExecInputs, process: ProcessPlan) -> tuple[InitStep, ...]:
    steps: list[InitStep] = [sync.StartSession()]
    if process.process.terminal:
        from pyoci.steps.init import terminal

        steps.append(terminal.ControlTerminal())
    steps += [identity.SetUmask(umask=inputs.umask), sync.Await(kind="go")]
    return (*steps, *_scheduled("stage 2", process.process, config, inputs), *process.find_program())
