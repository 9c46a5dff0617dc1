"""The part of a plan that turns a process into the program: of create, and of exec (plan/exec.py). Pure."""

from __future__ import annotations

from pyoci import os
from pyoci.config import Config
from pyoci.config.process import Process, Rlimit
from pyoci.kernel.constants import RLIMIT_NOFILE
from pyoci.steps.host.context import HostStep
from pyoci.steps.init import identity, launch, process, sync, system
from pyoci.steps.init.context import InitStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.config.linux import Linux
    from pyoci.plan.inputs import ProcessInputs
    from pyoci.steps.hooks.state import HookState
    from pyoci.steps.listener.agent import Agent


DEFAULT_UMASK = 0o022


def required(wanted: Process, linux: Linux) -> tuple[HostStep, ...]:
    """Checks of the runtime's side, before there is a process: the security modules that config.json relies on."""
    steps: list[HostStep] = []
    if wanted.apparmor_profile:
        from pyoci.steps.host import security

        pointer = f"{wanted.pointer}/apparmorProfile"
        steps.append(security.RequireAppArmor(pointer=pointer, profile=wanted.apparmor_profile))
    if wanted.selinux_label or linux.mount_label:
        from pyoci.steps.host import security

        if wanted.selinux_label:
            steps.append(security.RequireSelinux(pointer=f"{wanted.pointer}/selinuxLabel"))
        if linux.mount_label:
            steps.append(security.RequireSelinux(pointer=f"{linux.pointer}/mountLabel"))
    return tuple(steps)


def join_rdt(path: str, monitor: str) -> tuple[HostStep, ...]:
    """Into the container's group of resctrl, "" if it has none; also for a process of exec."""
    if not path:
        return ()
    from pyoci.steps.host.rdt import JoinRdtGroup

    return (JoinRdtGroup(paths=(path, monitor) if monitor else (path,)),)


def profile(wanted: Process) -> tuple[InitStep, ...]:
    """AppArmor's profile; also for a process of exec."""
    if not wanted.apparmor_profile:
        return ()
    from pyoci.steps.init import apparmor

    return (
        apparmor.SetAppArmorProfile(
            pointer=f"{wanted.pointer}/apparmorProfile",
            profile=wanted.apparmor_profile,
            no_new_privileges=wanted.no_new_privileges,
        ),
    )


def keyring_label(wanted: Process) -> tuple[InitStep, ...]:
    """SELinux's label of the keys that are made from here on; also for a process of exec."""
    if not wanted.selinux_label:
        return ()
    from pyoci.steps.init import selinux

    return (selinux.SetKeyringLabel(pointer=f"{wanted.pointer}/selinuxLabel", label=wanted.selinux_label),)


def label(wanted: Process) -> tuple[InitStep, ...]:
    """SELinux's label of the program; also for a process of exec."""
    if not wanted.selinux_label:
        return ()
    from pyoci.steps.init import selinux

    return (selinux.SetProcessLabel(pointer=f"{wanted.pointer}/selinuxLabel", label=wanted.selinux_label),)


def scheduler(wanted: Process, linux: Linux) -> tuple[InitStep, ...]:
    """The process sets its own scheduler. For exec, plan/exec.py decides who does: a stage, or the runtime."""
    if wanted.scheduler is None:
        return ()
    from pyoci.steps.init import scheduling

    step = scheduling.SetScheduler(
        pointer=wanted.scheduler.pointer, scheduler=wanted.scheduler, cpus=allowed_cpus(linux)
    )
    return (step,)


def allowed_cpus(linux: Linux) -> str:
    """linux.resources.cpu.cpus, "" for all."""
    cpu = linux.resources.cpu
    return "" if cpu is None else cpu.cpus


def priorities(wanted: Process, linux: Linux) -> tuple[InitStep, ...]:
    """I/O priority, personality and memory policy, in runc's order behind the scheduler; also for a process of exec."""
    if not (wanted.io_priority or linux.personality or linux.memory_policy):
        return ()
    from pyoci.steps.init import scheduling

    steps: list[InitStep] = []
    if wanted.io_priority is not None:
        steps.append(scheduling.SetIoPriority(pointer=wanted.io_priority.pointer, priority=wanted.io_priority))
    if linux.personality is not None:
        steps.append(scheduling.SetPersonality(pointer=linux.personality.pointer, personality=linux.personality))
    if linux.memory_policy is not None:
        steps.append(scheduling.SetMemoryPolicy(pointer=linux.memory_policy.pointer, policy=linux.memory_policy))
    return tuple(steps)


class ProcessPlan:
    """The steps for `process` and for what belongs to the new namespaces.

    Without args there is no program, and `start` will refuse; but the process waits all the same.
    """

    def __init__(
        self, config: Config, wanted: Process, inputs: ProcessInputs, set_groups: bool, state: HookState | None = None
    ) -> None:
        self.config = config
        self.process = wanted
        self.inputs = inputs
        self.state = state
        self.set_groups = set_groups
        self.keep = 3 + inputs.preserve
        self.filter_loaded_early = False  # whoever loads the filter can send its listener

    def session(self, existing: bool = False) -> tuple[InitStep, ...]:
        """The session keyring (keyrings(7)), none with --no-new-keyring. existing: exec joins create's."""
        if not self.inputs.keyring:
            return ()
        join = identity.JoinSessionKeyring(name=self.inputs.keyring, existing=existing)
        return (*keyring_label(self.process), join)

    def terminal(self) -> tuple[InitStep, ...]:
        """A pseudo-terminal inside the container, if process.terminal asks for one."""
        if not self.process.terminal:
            return ()
        from pyoci.steps.init import terminal

        steps: list[InitStep] = [terminal.OpenTerminal(size=self.process.console_size, uid=self.process.user.uid)]
        if self.config.linux.namespace("mount") is not None:
            steps.append(terminal.BindConsole())
        steps.append(terminal.TakeTerminal())
        return tuple(steps)

    def finish(self) -> tuple[InitStep, ...]:
        """From the new root to `ready`: all that is left then is to wait for start."""
        from pyoci.plan.mounts import hide

        config, user = self.config, self.process.user
        steps: list[InitStep] = [
            identity.SetUmask(umask=DEFAULT_UMASK if user.umask is None else user.umask),
        ]
        if config.hostname:
            steps.append(system.SetHostname(name=config.hostname))
        if config.domainname:
            steps.append(system.SetDomainname(name=config.domainname))
        steps += profile(self.process)
        steps += [system.SetSysctl(pointer=one.pointer, key=one.key, value=one.value) for one in config.linux.sysctl]
        steps += hide(config)
        steps += self.no_new_privileges() + scheduler(self.process, config.linux) + self.attributes()
        steps += self.become_user()
        steps += self.find_program()
        steps += [
            launch.CloseDescriptors(keep=self.keep),
            sync.Send(kind="ready"),
            sync.Await(kind="created"),
        ]
        return tuple(steps)

    def no_new_privileges(self) -> tuple[InitStep, ...]:
        """process.noNewPrivileges (config.md, "Linux Process")."""
        return (identity.NoNewPrivileges(),) if self.process.no_new_privileges else ()

    def attributes(self) -> tuple[InitStep, ...]:
        """What the process is given while it may still give itself anything, and its children inherit."""
        return priorities(self.process, self.config.linux) + label(self.process)

    def become_user(self) -> tuple[InitStep, ...]:
        """From root to the user and the capabilities of the program."""
        wanted, user = self.process, self.process.user
        sets = wanted.capabilities
        steps: list[InitStep] = []
        if not self._has_home():
            steps.append(process.SetHome(uid=user.uid))
        steps.append(process.ChangeDirectory(path=wanted.cwd, final=False))
        if sets is not None:
            steps.append(identity.LimitBoundingSet(capabilities=sets.bounding))
        if self.inputs.pipes:
            from pyoci.steps.init import streams

            steps.append(streams.TakePipes(numbers=self.inputs.pipes))
        steps += [
            identity.OwnStandardStreams(uid=user.uid),
            identity.SetUser(uid=user.uid, gid=user.gid, groups=user.additional_gids, set_groups=self.set_groups),
        ]
        if sets is not None:
            filtered = self.config.linux.seccomp is not None and not wanted.no_new_privileges
            steps.append(identity.SetCapabilities(capabilities=sets, keep=identity.CAP_SYS_ADMIN if filtered else 0))
        return tuple(steps)

    def find_program(self) -> tuple[InitStep, ...]:
        """As the user: the working directory, and the program that args[0] names."""
        steps: list[InitStep] = [process.ChangeDirectory(path=self.process.cwd, final=True)]
        if self.process.args:
            steps.append(process.FindProgram(name=self.process.args[0], search=self._search()))
        return tuple(steps)

    def launch(self) -> tuple[InitStep, ...]:
        """The last steps: wait for `start`, run the startContainer hooks, execute the program."""
        wanted = self.process
        steps: list[InitStep] = [launch.DieOnSignals(), sync.Detach(), launch.WaitForStart(keep=self.keep)]
        if not wanted.args:
            return tuple(steps)
        limits = self.limits()
        hooks = self.config.hooks.start_container
        if hooks:
            from pyoci.steps.init.hooks import RunContainerHooks, RunNotifiedHooks

            if self._notifies():
                from pyoci.steps.hooks import relay  # noqa: F401 - nothing can be imported when it is needed

            run_hooks = RunNotifiedHooks if self._notifies() else RunContainerHooks
            assert self.state is not None
            filter: tuple[InitStep, ...] = (launch.LoadFilter(),) if self.config.linux.seccomp is not None else ()
            steps.append(
                run_hooks(
                    pointer="/hooks/startContainer",
                    kind="startContainer",
                    hooks=hooks,
                    state=self.state,
                    status="created",
                    env=None,
                    in_root=False,
                    before=limits + filter,
                )
            )
        steps += [*self.arm(), *limits, self.execute()]
        return tuple(steps)

    def execute(self) -> InitStep:
        return launch.ExecuteProgram(name=self.process.args[0])

    def agent(self) -> tuple[HostStep, ...]:
        """Before there is a process: find the agent that will get the filter's listener."""
        if not self._notifies():
            return ()
        from pyoci.steps.host import listener

        return (listener.FindAgent(path=self._agent_path()),)

    def name(self) -> tuple[HostStep, ...]:
        """The last of the runtime's steps: the helper learns whom it will speak of."""
        if not self._notifies():
            return ()
        from pyoci.steps.host import listener

        return (listener.NameProcess(),)

    def arm(self) -> tuple[InitStep, ...]:
        """Before limits that the waiting Python may not fit into."""
        if not self._notifies():
            return ()
        from pyoci.steps.init import listener

        return (listener.ArmListener(),)

    def helper(self, status: str = "created", container: int = 0) -> tuple[InitStep, ...]:
        """What the helper does that makes the process; none where the filter has no listener.

        `container`: the pid of the container's first process, if that is another one.
        """
        if not self._notifies():
            return ()
        from pyoci.steps.init import listener

        return (listener.HandOverListener(agent=self.told(status, container), keep=self.keep),)

    def told(self, status: str, container: int) -> Agent:
        """The agent, and what it is told of the container."""
        from pyoci.steps.listener.agent import Agent

        seccomp = self.config.linux.seccomp
        assert self.state is not None and seccomp is not None
        return Agent(
            path=self._agent_path(),
            metadata=seccomp.listener_metadata,
            state=self.state,
            status=status,
            container=container,
        )

    def _notifies(self) -> bool:
        seccomp = self.config.linux.seccomp
        return seccomp is not None and seccomp.notifies() and bool(self.process.args) and not self.filter_loaded_early

    def _agent_path(self) -> str:
        """Absolute; as with runc, a relative one starts at the bundle."""
        assert self.config.linux.seccomp is not None and self.state is not None
        return os.path.join(self.state.bundle, self.config.linux.seccomp.listener_path)

    def limits(self) -> tuple[InitStep, ...]:
        """process.rlimits, and the caller's limit of open files if only the runtime needed more."""
        rlimits, files = self.process.rlimits, self.inputs.file_limit
        if files is not None and not any(one.resource == RLIMIT_NOFILE for one in rlimits):
            own = Rlimit(pointer="", type="RLIMIT_NOFILE", resource=RLIMIT_NOFILE, soft=files[0], hard=files[1])
            rlimits = (own, *rlimits)
        return (process.SetRlimits(rlimits=rlimits),) if rlimits else ()

    def _has_home(self) -> bool:
        return any(entry.startswith("HOME=") and entry != "HOME=" for entry in self.process.env or ())

    def environment(self) -> tuple[str, ...]:
        """process.env as the program gets it, but for HOME, which only the container's /etc/passwd knows."""
        entries = [entry for entry in self.process.env or () if entry != "HOME="]
        if self.inputs.notify:
            from pyoci.plan.mounts import NOTIFY_DIRECTORY

            entries.append(f"NOTIFY_SOCKET={NOTIFY_DIRECTORY}/notify.sock")
        if self.inputs.listen:
            entries += [f"LISTEN_FDS={self.inputs.listen}", "LISTEN_PID=1"]
        return tuple(entries)

    def _search(self) -> tuple[str, ...]:
        """The directories of the last PATH in process.env."""
        for entry in reversed(self.process.env or ()):
            if entry.startswith("PATH="):
                return tuple(entry[5:].split(":"))
        return ()
