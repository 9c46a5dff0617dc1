"""exec: one more process in a container that exists (DESIGN 4.2). Whatever fails leaves nothing: there is a process, or
there is none.
"""

from __future__ import annotations

from errno import EACCES, EBUSY, ENODEV, ENOENT, EOPNOTSUPP
from resource import RLIMIT_NOFILE, getrlimit

from pyoci import channel, os, plan_exec
from pyoci.cgroups import below, manager, members
from pyoci.cgroups.files import ROOT
from pyoci.container import console, exec_process, state
from pyoci.container.birth import ENDING, Birth, write_pid_file
from pyoci.container.console import ConsoleOwner, check_preserved, foreign_streams, listen_fds
from pyoci.container.exec_process import ProcessOptions
from pyoci.container.state import Container
from pyoci.errors import Error, StateError, StepError
from pyoci.kernel import capability, procfs, signals
from pyoci.kernel.capability_names import NAMES
from pyoci.kernel.execute import Image
from pyoci.kernel.namespace import in_user_namespace
from pyoci.kernel.process import has_ended, pidfd_open, raise_file_limit
from pyoci.kernel.signals import Interrupted, Interrupts
from pyoci.log import log
from pyoci.plan_exec import NAMESPACES, Entrance
from pyoci.record import Record
from pyoci.steps.step import Context, During, run
from pyoci.undo import Undo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.config import Config
    from pyoci.config.seccomp import Seccomp
    from pyoci.container.foreground import Foreground
    from pyoci.kernel.seccomp import Prepared

_PROC_LIMIT = 4096  # bytes of a small file of procfs


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
        signals.reset()
        os.kill(os.getpid(), interrupted.number)
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

    def carry_out(self) -> int:
        options = self.options
        container, kept = state.load_kept(options.root, options.id)
        _check_state(container, options.ignore_paused)
        config = exec_process.config(options.process, container.bundle, kept)
        assert config.process is not None
        _warn_of_capabilities(config)
        placed = below.place(container.cgroups, below.parse(options.cgroup)) if container.cgroups_made else {}
        check_preserved(options.preserve_fds)
        self.terminal.check(config.process.terminal)
        pidfd_socket = console.connect(options.pidfd_socket, "--pidfd-socket") if options.pidfd_socket else None
        self.interrupts.install()
        with Undo() as undo:
            undo.add(self.interrupts.close)
            ours, theirs = channel.pair()
            undo.add(ours.close)
            undo.add(theirs.close)
            context = Context(ours, undo)
            context.interrupts = self.interrupts
            context.compile = self._compile
            self._open(container, context)
            try:
                entrance = self._entrance(container, placed, bool(kept["no_new_keyring"]), config, context)
            except (FileNotFoundError, ProcessLookupError):  # what is read by its pid: it has ended meanwhile
                raise StateError(_STOPPED) from None
            plan = plan_exec.make(config, entrance)
            context.preserved = plan.preserved
            context.image = Image(plan.argv, plan.env)
            run(plan.prepare, context)
            self.terminal.separate(entrance.pipes, _root_outside(entrance, context.proc), context)
            birth = Birth(plan, context, theirs, self.terminal.receive, self._prepare)
            kills = manager.oom_kills(container.cgroups)
            try:
                self._clone(birth, context, entrance, container)
                self.terminal.cloned()
                if pidfd_socket is not None:
                    console.send(pidfd_socket, "setns", context.pidfd, "--pidfd-socket")
                    pidfd_socket.close()
                self._start(birth, context)
            except Error as error:
                if has_ended(context.descriptors["container"]):
                    error = StateError(_STOPPED, hint=f"it has ended meanwhile: {error.message}")
                if manager.oom_kills(container.cgroups) > kills:
                    error.message += " (possibly OOM-killed)"
                raise error.prefixed("unable to start container process") from None
            return self._wait(context.pid)

    def _open(self, container: Container, context: Context) -> None:
        """The container by descriptor: opened first and compared then, it cannot be another process with its pid."""
        undo = context.undo
        with During("open a private procfs"):
            context.proc = procfs.open_private()
        undo.add(os.close, context.proc)
        context.descriptors["proc"] = context.proc
        try:
            pidfd = pidfd_open(container.pid)
        except ProcessLookupError:
            raise StateError(_STOPPED) from None
        undo.add(os.close, pidfd)
        context.descriptors["container"] = pidfd
        if not state.is_alive(container.pid, container.start_time):
            raise StateError(_STOPPED)

    def _entrance(
        self, container: Container, placed: dict[str, str], no_new_keyring: bool, config: Config, context: Context
    ) -> Entrance:
        options = self.options
        assert config.process is not None
        joins = _joins(container.pid, context.proc)
        chroot = not any(kind == "mount" for kind, _ in container.namespaces)
        if chroot:
            flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
            context.descriptors["root"] = os.open(f"{container.pid}/root", flags, dir_fd=context.proc)
            context.undo.add(os.close, context.descriptors["root"])
        fallback = ""
        if set(placed) == {""} and placed == container.cgroups:
            fallback = _current_cgroup(container.pid, context.proc)
        rootless = options.rootless == "true"
        if options.rootless == "auto":
            rootless = os.geteuid() != 0 or in_user_namespace()
        set_groups = _read(context.proc, f"{container.pid}/setgroups") != "deny\n"
        if config.process.user.additional_gids and not set_groups:
            from pyoci.container import groups

            groups.without(config.process.user)
        listen = listen_fds()
        umask = config.process.user.umask
        enough = options.preserve_fds + listen + 64 < getrlimit(RLIMIT_NOFILE)[0]
        return Entrance(
            id=container.id,
            joins=joins,
            set_groups=set_groups,
            chroot=chroot,
            umask=options.umask if umask is None else umask,
            cgroups=placed,
            optional_cgroups=rootless,
            fallback_cgroup=fallback if fallback != placed.get("") else "",
            no_new_keyring=no_new_keyring,
            preserve=options.preserve_fds + listen,
            listen=listen,
            file_limit=None if enough else raise_file_limit(),
            rdt_path=container.rdt_path,
            rdt_monitor=container.rdt_monitor,
            pid=container.pid,
            bundle=container.bundle,
            annotations=container.annotations,
            privileged=config.process.scheduler is None or (os.geteuid() == 0 and not in_user_namespace()),
            pipes=foreign_streams(config.process, options.detach, mapped="user" in joins),
        )

    def _clone(self, birth: Birth, context: Context, entrance: Entrance, container: Container) -> None:
        """Where the v2 cgroup takes no process (EBUSY: it has children with controllers), that of the first process."""
        try:
            birth.clone(lambda: None)
        except StepError as error:
            if error.step != "Clone" or error.errno not in (EBUSY, ENOENT, ENODEV, EOPNOTSUPP, EACCES):
                raise
            if context.cgroup < 0 or not (entrance.fallback_cgroup or entrance.optional_cgroups):
                raise
            os.close(context.cgroup)
            context.cgroup = -1
            if entrance.fallback_cgroup:
                context.cgroup = manager.open_v2({"": entrance.fallback_cgroup})
            else:
                from pyoci.container.attach import through_systemd

                birth.plan = through_systemd(birth.plan, container, entrance.cgroups[""], error)
            birth.clone(lambda: None)

    def _prepare(self) -> None:
        """While stage 1 is at work."""
        if not self.options.detach:
            from pyoci.container.foreground import Foreground

            self.foreground = Foreground()

    def _start(self, birth: Birth, context: Context) -> None:
        """Let it run; in the foreground signals are the process's from here on."""
        if self.foreground is not None:
            self.foreground.begin(context.pid, context.pidfd, self.terminal)
            context.undo.add(self.foreground.close)
        self.interrupts.check()
        birth.execute()

    def _wait(self, pid: int) -> int:
        if self.options.pid_file:
            write_pid_file(self.options.pid_file, pid)
        if self.foreground is None:
            return 0
        try:
            return self.foreground.wait()
        finally:
            self.foreground.close()

    def _compile(self, profile: Seccomp) -> tuple[Prepared, int] | None:
        from pyoci.container import seccomp
        from pyoci.kernel.seccomp import prepare

        program = seccomp.program(profile, self.options.root)
        return None if program is None else (prepare(program.bpf), program.flags)


_STOPPED = "cannot exec in a stopped container"


def _check_state(container: Container, ignore_paused: bool) -> None:
    found = state.status(container)
    if found == "stopped":
        raise StateError(_STOPPED)
    if found == "creating":
        raise StateError("cannot exec in a container that is still being created")
    if found == "paused" and not ignore_paused:
        raise StateError("cannot exec in a paused container (use --ignore-paused to override)")
    if container.cgroups_made and members.own(container.cgroups, container.cgroup_id) != container.cgroups:
        raise StateError("the container's cgroup is gone", hint="somebody has removed it, and made another one")


def _joins(pid: int, proc: int) -> tuple[str, ...]:
    """The kinds of namespaces in which process `pid` is not where we are."""
    found = []
    for kind in NAMESPACES:
        try:
            theirs = os.stat(f"{pid}/ns/{kind}", dir_fd=proc)
        except PermissionError as error:
            raise Error(
                f"cannot look at the container's {kind} namespace: permission denied",
                errno=error.errno or 0,
                hint="without privileges a container can be entered once its program runs, and only by its owner",
            ) from None
        ours = os.stat(f"self/ns/{kind}", dir_fd=proc)
        if (theirs.st_ino, theirs.st_dev) != (ours.st_ino, ours.st_dev):
            found.append(kind)
    return tuple(found)


def _root_outside(entrance: Entrance, proc: int) -> tuple[int, int]:
    """The runtime's ids of the container's root."""
    if "user" not in entrance.joins or not entrance.pipes:
        return 0, 0
    found = []
    for kind in ("uid", "gid"):
        for line in _read(proc, f"{entrance.pid}/{kind}_map").splitlines():
            inside, outside, _ = line.split()
            if inside == "0":
                found.append(int(outside))
                break
        else:
            found.append(-1)  # fchown(2) leaves it alone
    return found[0], found[1]


def _current_cgroup(pid: int, proc: int) -> str:
    """The directory of the v2 cgroup of process `pid`, "" if it cannot be told."""
    for line in _read(proc, f"{pid}/cgroup").splitlines():
        if line.startswith("0::/") and not line.startswith("0::/.."):
            return ROOT + line[3:].rstrip("/")
    return ""


def _read(proc: int, name: str) -> str:
    """A small file of procfs, "" if it is not there."""
    try:
        file = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
    except OSError:
        return ""
    try:
        return os.read(file, _PROC_LIMIT).decode("utf-8", "surrogateescape")
    except OSError:
        return ""
    finally:
        os.close(file)


def _warn_of_capabilities(config: Config) -> None:
    """One warning for what cannot be granted: names nobody knows, and capabilities that we do not hold ourselves."""
    sets = config.process.capabilities if config.process is not None else None
    if sets is None:
        return
    wanted = sets.bounding | sets.effective | sets.permitted | sets.inheritable | sets.ambient
    lacking = wanted & ~capability.get()[1] if os.geteuid() == 0 else 0
    names = sets.unknown + tuple(name for number, name in enumerate(NAMES) if lacking >> number & 1)
    if names:
        log.warning(f"ignoring unknown or unavailable capabilities: {', '.join(names)}")
