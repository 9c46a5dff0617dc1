"""exec: one more process in a container that exists. Whatever fails leaves nothing: there is a process, or
there is none.
"""

from __future__ import annotations

from errno import EACCES, EBUSY, ENODEV, ENOENT, EOPNOTSUPP
from resource import RLIMIT_NOFILE, getrlimit

from pyoci import os
from pyoci.cgroups import manager, processes, subgroups
from pyoci.container import exec_process, identity, saved_config, state
from pyoci.container.exec_process import ProcessOptions
from pyoci.container.process import contexts
from pyoci.container.process.handshake import ENDING, Handshake, write_pid_file
from pyoci.container.state import Container
from pyoci.container.streams import console
from pyoci.container.streams.console import ConsoleOwner, check_preserved, foreign_streams, listen_fds
from pyoci.errors import CloneError, Error, ExecuteError, StateError, StepError
from pyoci.kernel import signals, textfile
from pyoci.kernel.namespace import in_user_namespace
from pyoci.kernel.process import has_ended, pidfd_open, raise_file_limit
from pyoci.kernel.signals import Interrupted, Interrupts
from pyoci.plan import exec
from pyoci.plan.inputs import ExecInputs
from pyoci.record import Record
from pyoci.steps.host.context import HostContext, run
from pyoci.undo import Undo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.config.process import Process
    from pyoci.config.seccomp import Seccomp
    from pyoci.container.streams.foreground import Foreground


class ExecOptions(Record):
    """The options of exec; see cli/commands.py for what each means. Paths are absolute. umask: the caller's."""

    root: str
    id: str
    process: ProcessOptions
    console_socket: str = ""
    pidfd_socket: str = ""
    pid_file: str = ""
    detach: bool = False
    preserve_fds: int = 0
    cgroup: tuple[str, ...] = ()
    ignore_paused: bool = False
    rootless: str = "auto"
    umask: int = 0o22


def execute(options: ExecOptions) -> int:
    """The exit status of the program, 128 and its signal if it died of one; 0 when detached. Raises Error."""
    terminal = ConsoleOwner(options.console_socket, options.detach)
    try:
        return _Execution(options, terminal, Interrupts(ENDING)).carry_out()
    except Interrupted as interrupted:
        signals.die(interrupted)
        raise
    finally:
        terminal.close()


class _Execution:
    """One exec under way."""

    def __init__(self, options: ExecOptions, terminal: ConsoleOwner, interrupts: Interrupts) -> None:
        self.options = options
        self.terminal = terminal
        self.interrupts = interrupts
        self.foreground: Foreground | None = None
        self.rootless = options.rootless == "true"  # "auto": as soon as that is known

    def carry_out(self) -> int:
        options = self.options
        container, kept = saved_config.load(options.root, options.id)
        container = _checked(container, options.ignore_paused)
        config = exec_process.config(options.process, container.bundle, kept)
        wanted = config.process
        assert wanted is not None  # config() has read one
        placed = _place(container, options.cgroup)
        check_preserved(options.preserve_fds)
        self.terminal.check(wanted.terminal)
        pidfd_socket = console.connect(options.pidfd_socket, "--pidfd-socket") if options.pidfd_socket else None
        self.interrupts.install()
        with Undo() as undo:
            undo.add(self.interrupts.close)
            context = contexts.begin(options.root, self.interrupts, undo)
            self._open(container, context)
            try:
                inputs = self._inputs(container, placed, not kept["no_new_keyring"], wanted, context)
            except (FileNotFoundError, ProcessLookupError):  # what is read by its pid: it has ended meanwhile
                raise self._ended(context) from None
            plan = exec.make(wanted, config, inputs)
            contexts.follow(plan, context)
            run(plan.prepare, context)
            self.terminal.separate(inputs.pipes, inputs.owner, context.init)
            handshake = Handshake(plan, context, self.terminal.receive, self._prepare)
            kills = manager.oom_kills(container.cgroups)
            try:
                self._clone(handshake, context, inputs, container)
                self.terminal.cloned()
                if pidfd_socket is not None:
                    console.send(pidfd_socket, "setns", context.pidfd, "--pidfd-socket")
                    pidfd_socket.close()
                self._start(handshake, context, config.linux.seccomp)
            except Error as error:
                if has_ended(context.init.descriptors["container"]):
                    error = StateError(_STOPPED, hint=f"it has ended meanwhile: {error.message}")
                if manager.oom_kills(container.cgroups) > kills:
                    error.message += " (possibly OOM-killed)"
                raise error.prefixed("unable to start container process") from None
            return self._wait(context.pid)

    def _open(self, container: Container, context: HostContext) -> None:
        """The container by descriptor: opened first and compared then, it cannot be another process with its pid."""
        undo = context.undo
        context.init.descriptors["proc"] = context.proc
        try:
            pidfd = pidfd_open(container.pid)
        except ProcessLookupError:
            raise StateError(_STOPPED) from None
        undo.add(os.close, pidfd)
        context.init.descriptors["container"] = pidfd
        if not state.is_alive(container.pid, container.start_time):
            raise StateError(_STOPPED)

    def _ended(self, context: HostContext) -> StateError:
        if has_ended(context.init.descriptors["container"]):
            return StateError(_STOPPED)
        return StateError(
            "cannot exec: the container's first process shows no namespaces",
            hint="its first thread has ended, and with it what could be joined; others live on",
        )

    def _inputs(
        self, container: Container, placed: dict[str, str], own_keyring: bool, wanted: Process, context: HostContext
    ) -> ExecInputs:
        options = self.options
        listen = listen_fds()
        enough = options.preserve_fds + listen + 64 < getrlimit(RLIMIT_NOFILE)[0]
        file_limit = None if enough else raise_file_limit()  # before the first of many descriptors is opened
        place = identity.find(container, context)
        privileged = os.geteuid() == 0 and not in_user_namespace()
        if options.rootless == "auto":
            self.rootless = not privileged
        fallback = ""
        if not options.cgroup and set(placed) == {""}:
            fallback = identity.cgroup_below(container, context.proc)
        if wanted.user.additional_gids and not place.set_groups:
            from pyoci.container import groups

            groups.without(wanted.user)
        umask = wanted.user.umask
        return ExecInputs(
            id=container.id,
            joins=place.joins,
            inodes=place.inodes,
            drop_groups=os.geteuid() == 0 and textfile.read_if_there("self/setgroups", context.proc) != b"deny\n",
            set_groups=place.set_groups,
            chroot=place.chroot,
            umask=options.umask if umask is None else umask,
            cgroups=placed,
            optional_cgroups=self.rootless and not options.cgroup,
            asked_cgroups=bool(options.cgroup),
            fallback_cgroup=fallback,
            keyring=container.keyring if own_keyring else "",
            preserve=options.preserve_fds + listen,
            listen=listen,
            file_limit=file_limit,
            rdt_path=container.rdt_path,
            rdt_monitor=container.rdt_monitor,
            pid=container.pid,
            bundle=container.bundle,
            annotations=container.annotations,
            privileged=privileged,
            pipes=foreign_streams(wanted, options.detach, mapped="user" in place.joins),
            owner=place.owner,
        )

    def _clone(self, handshake: Handshake, context: HostContext, inputs: ExecInputs, container: Container) -> None:
        """Where the v2 cgroup takes no process (EBUSY: it has children with controllers), that of the first process.

        Who has asked for one with --cgroup gets that one, or an error.
        """
        try:
            handshake.clone(lambda: None)
        except CloneError as error:
            if error.errno not in (EBUSY, ENOENT, ENODEV, EOPNOTSUPP, EACCES):
                raise
            asked = bool(self.options.cgroup)
            systemd = inputs.optional_cgroups or (asked and self.rootless and container.unit is not None)
            if context.cgroup < 0:
                raise
            if not (inputs.fallback_cgroup or systemd):
                raise _busy(error, inputs.cgroups[""], asked) if error.errno == EBUSY else error from None
            os.close(context.cgroup)
            context.cgroup = -1
            if inputs.fallback_cgroup:
                context.cgroup = manager.open_v2({"": inputs.fallback_cgroup})
            else:
                from pyoci.container.process.attach import through_systemd

                handshake.plan = through_systemd(handshake.plan, container, inputs.cgroups[""], error, required=asked)
            handshake.clone(lambda: None)

    def _prepare(self) -> None:
        """While stage 1 is at work."""
        if not self.options.detach:
            from pyoci.container.streams.foreground import Foreground

            self.foreground = Foreground()

    def _start(self, handshake: Handshake, context: HostContext, profile: Seccomp | None) -> None:
        """Let it run; in the foreground signals are the process's from here on."""
        if self.foreground is not None:
            self.foreground.begin(context.pid, context.pidfd, self.terminal)
            context.undo.add(self.foreground.close)
        self.interrupts.check()
        if profile is None:
            handshake.execute()
        else:
            self._execute(handshake, context, profile)

    def _execute(self, handshake: Handshake, context: HostContext, profile: Seccomp) -> None:
        """A filter that forbids execve has kept the process from it, with an error or without a word."""
        from pyoci.seccomp.allowance import EXECVE, refusal

        refused = refusal(profile, EXECVE)
        try:
            handshake.execute()
        except ExecuteError as error:
            if refused is not None:
                from pyoci.container import forbidden

                forbidden.explained(error, refused)
            raise
        if refused is not None:
            from pyoci.container import forbidden
            from pyoci.container.supervise import status_of

            killed = forbidden.explanation(refused)
            if self.foreground is not None:
                killed.program_status = status_of(context.pid, context.pidfd)
            raise killed

    def _wait(self, pid: int) -> int:
        if self.options.pid_file:
            write_pid_file(self.options.pid_file, pid)
        if self.foreground is None:
            return 0
        try:
            return self.foreground.wait()
        finally:
            self.foreground.close()


_STOPPED = "cannot exec in a stopped container"


def _place(container: Container, asked: tuple[str, ...]) -> dict[str, str]:
    """Where the process goes, by controller; nowhere if the container has no cgroups of its own. Raises Error."""
    wanted = subgroups.parse(asked)
    paths = container.cgroups if container.cgroups_made else {}
    if wanted and not paths:
        raise Error(
            f"the container has no cgroup of its own, and so none for {subgroups.OPTION}", pointer=subgroups.OPTION
        )
    return subgroups.place(paths, wanted)


def _busy(error: StepError, path: str, asked: bool) -> StepError:
    """The cgroup takes no process because of those below it: which cgroup, and what to do about it."""
    return StepError(
        f"cannot add a process to the cgroup {path}: device or resource busy",
        pointer=subgroups.OPTION if asked else "/linux/cgroupsPath",
        call=error.call,
        errno=EBUSY,
        hint=f"there are cgroups with controllers below it: name one of them with {subgroups.OPTION}",
    )


def _checked(container: Container, ignore_paused: bool) -> Container:
    """The container, with its cgroups known by their inodes. Raises StateError if it cannot have a process more."""
    found = state.status(container)
    if found == "stopped":
        raise StateError(_STOPPED)
    if found == "creating":
        raise StateError("cannot exec in a container that is still being created")
    if found == "paused" and not ignore_paused:
        raise StateError("cannot exec in a paused container (use --ignore-paused to override)")
    cgroups = processes.own(container.cgroups, container.cgroup_ids)
    if container.cgroups_made and cgroups != container.cgroups:
        raise StateError("the container's cgroup is gone", hint="somebody has removed it, and made another one")
    return container.replace(cgroups=cgroups or container.cgroups)
