"""The part of a plan that turns the container's process into the program. Pure."""

from __future__ import annotations

from pyoci.config import Config
from pyoci.config.process import Process, Rlimit
from pyoci.kernel.constants import RLIMIT_NOFILE
from pyoci.plan_mounts import NOTIFY_DIRECTORY, hide
from pyoci.steps import identity, launch, process, sync, system
from pyoci.steps.hook_state import HookState
from pyoci.steps.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.config.linux import Linux
    from pyoci.plan import Surroundings

DEFAULT_UMASK = 0o022


def required(wanted: Process, linux: Linux) -> tuple[Step, ...]:
    """Checks of the runtime's side, before there is a process: the security modules that config.json relies on."""
    steps: list[Step] = []
    if wanted.apparmor_profile:
        from pyoci.steps import security

        pointer = f"{wanted.pointer}/apparmorProfile"
        steps.append(security.RequireAppArmor(pointer=pointer, profile=wanted.apparmor_profile))
    if wanted.selinux_label or linux.mount_label:
        from pyoci.steps import selinux

        if wanted.selinux_label:
            steps.append(selinux.RequireSelinux(pointer=f"{wanted.pointer}/selinuxLabel"))
        if linux.mount_label:
            steps.append(selinux.RequireSelinux(pointer=f"{linux.pointer}/mountLabel"))
    return tuple(steps)


def profile(wanted: Process) -> tuple[Step, ...]:
    """AppArmor's profile; also for a process of exec."""
    if not wanted.apparmor_profile:
        return ()
    from pyoci.steps import security

    return (
        security.SetAppArmorProfile(
            pointer=f"{wanted.pointer}/apparmorProfile",
            profile=wanted.apparmor_profile,
            no_new_privileges=wanted.no_new_privileges,
        ),
    )


def keyring_label(wanted: Process) -> tuple[Step, ...]:
    """SELinux's label of the keys that are made from here on; also for a process of exec."""
    if not wanted.selinux_label:
        return ()
    from pyoci.steps import selinux

    return (selinux.SetKeyringLabel(pointer=f"{wanted.pointer}/selinuxLabel", label=wanted.selinux_label),)


def label(wanted: Process) -> tuple[Step, ...]:
    """SELinux's label of the program; also for a process of exec."""
    if not wanted.selinux_label:
        return ()
    from pyoci.steps import selinux

    return (selinux.SetProcessLabel(pointer=f"{wanted.pointer}/selinuxLabel", label=wanted.selinux_label),)


def priorities(wanted: Process, linux: Linux) -> tuple[Step, ...]:
    """Scheduler, I/O priority, personality and memory policy, in runc's order; also for a process of exec."""
    if not (wanted.scheduler or wanted.io_priority or linux.personality or linux.memory_policy):
        return ()
    from pyoci.steps import scheduling

    steps: list[Step] = []
    if wanted.scheduler is not None:
        cpu = linux.resources.raw.get("cpu") or {}
        cpus = cpu.get("cpus", "")
        steps.append(scheduling.SetScheduler(pointer=wanted.scheduler.pointer, scheduler=wanted.scheduler, cpus=cpus))
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
        self, config: Config, wanted: Process, around: Surroundings, state: HookState, set_groups: bool
    ) -> None:
        self.config = config
        self.process = wanted
        self.around = around
        self.state = state
        self.set_groups = set_groups
        self.keep = 3 + around.preserve

    def session(self) -> tuple[Step, ...]:
        if self.around.no_new_keyring:
            return ()
        return (*keyring_label(self.process), identity.JoinSessionKeyring(name=f"_ses.{self.around.id}"))

    def terminal(self) -> tuple[Step, ...]:
        if not self.process.terminal:
            return ()
        from pyoci.steps import terminal

        steps: list[Step] = [terminal.OpenTerminal(size=self.process.console_size, uid=self.process.user.uid)]
        if self.config.linux.namespace("mount") is not None:
            steps.append(terminal.BindConsole())
        steps.append(terminal.TakeTerminal())
        return tuple(steps)

    def finish(self) -> tuple[Step, ...]:
        """From the new root to `ready`: all that is left then is to wait for start."""
        config, wanted, user = self.config, self.process, self.process.user
        steps: list[Step] = [
            identity.SetUmask(umask=DEFAULT_UMASK if user.umask is None else user.umask),
        ]
        if config.hostname:
            steps.append(system.SetHostname(name=config.hostname))
        if config.domainname:
            steps.append(system.SetDomainname(name=config.domainname))
        steps += profile(wanted)
        steps += [system.SetSysctl(pointer=one.pointer, key=one.key, value=one.value) for one in config.linux.sysctl]
        steps += hide(config)
        if wanted.no_new_privileges:
            steps.append(identity.NoNewPrivileges())
        steps += priorities(wanted, config.linux) + label(wanted)
        if not self._has_home():
            steps.append(process.SetHome(uid=user.uid))
        steps.append(process.ChangeDirectory(path=wanted.cwd, final=False))
        steps += self._become_user()
        steps.append(process.ChangeDirectory(path=wanted.cwd, final=True))
        if wanted.args:
            steps.append(process.FindProgram(name=wanted.args[0], search=self._search()))
        steps += [
            launch.CloseDescriptors(keep=self.keep),
            sync.Send(kind="ready"),
            sync.Await(kind="created"),
        ]
        return tuple(steps)

    def _become_user(self) -> tuple[Step, ...]:
        wanted, user = self.process, self.process.user
        sets = wanted.capabilities
        steps: list[Step] = []
        if sets is not None:
            steps.append(identity.LimitBoundingSet(capabilities=sets.bounding))
        steps += [
            identity.OwnStandardStreams(uid=user.uid),
            identity.SetUser(uid=user.uid, gid=user.gid, groups=user.additional_gids, set_groups=self.set_groups),
        ]
        if sets is not None:
            filtered = self.config.linux.seccomp is not None and not wanted.no_new_privileges
            steps.append(identity.SetCapabilities(capabilities=sets, keep=identity.CAP_SYS_ADMIN if filtered else 0))
        return tuple(steps)

    def launch(self) -> tuple[Step, ...]:
        wanted = self.process
        steps: list[Step] = [launch.DieOnSignals(), sync.Detach(), launch.WaitForStart(keep=self.keep)]
        if not wanted.args:
            return tuple(steps)
        limits = self._limits()
        hooks = self.config.hooks.start_container
        if hooks:
            from pyoci.steps.hooks import RunHooks

            filter: tuple[Step, ...] = (launch.LoadFilter(),) if self.config.linux.seccomp is not None else ()
            steps.append(
                RunHooks(
                    pointer="/hooks/startContainer",
                    kind="startContainer",
                    hooks=hooks,
                    state=self.state,
                    status="created",
                    env=None,
                    inside=True,
                    before=limits + filter,
                )
            )
        steps += [*limits, launch.ExecuteProgram(name=wanted.args[0])]
        return tuple(steps)

    def _limits(self) -> tuple[Step, ...]:
        """process.rlimits, and the caller's limit of open files if only the runtime needed more."""
        rlimits, files = self.process.rlimits, self.around.file_limit
        if files is not None and not any(one.resource == RLIMIT_NOFILE for one in rlimits):
            own = Rlimit(pointer="", type="RLIMIT_NOFILE", resource=RLIMIT_NOFILE, soft=files[0], hard=files[1])
            rlimits = (own, *rlimits)
        return (process.SetRlimits(rlimits=rlimits),) if rlimits else ()

    def _has_home(self) -> bool:
        return any(entry.startswith("HOME=") and entry != "HOME=" for entry in self.process.env or ())

    def environment(self) -> tuple[str, ...]:
        """process.env as the program gets it, but for HOME, which only the container's /etc/passwd knows."""
        entries = [entry for entry in self.process.env or () if entry != "HOME="]
        if self.around.notify:
            entries.append(f"NOTIFY_SOCKET={NOTIFY_DIRECTORY}/notify.sock")
        if self.around.listen:
            entries += [f"LISTEN_FDS={self.around.listen}", "LISTEN_PID=1"]
        return tuple(entries)

    def _search(self) -> tuple[str, ...]:
        """The directories of the last PATH in process.env."""
        for entry in reversed(self.process.env or ()):
            if entry.startswith("PATH="):
                return tuple(entry[5:].split(":"))
        return ()
