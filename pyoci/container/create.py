"""create: from a bundle to a process that waits for start (runtime.md, "Create").

Whatever fails, or a signal that ends the runtime, undoes all that was made, newest first: process, cgroups, directory.
What SIGKILL leaves is on record in state.json before it is made, so that `delete --force` finds it.
"""

from __future__ import annotations

import time
from errno import EINVAL, ENOMEM, EPERM

from pyoci import os
from pyoci.cgroups import processes
from pyoci.config import loader
from pyoci.container import capabilities, saved_config, state
from pyoci.container.inputs import create_inputs, host_root, program_user
from pyoci.container.options import CreateOptions
from pyoci.container.process import contexts
from pyoci.container.process.handshake import ENDING, Handshake, close_trees, write_pid_file
from pyoci.container.state import Container
from pyoci.container.streams import console
from pyoci.container.streams.console import ConsoleOwner, check_preserved
from pyoci.errors import ConfigError, DamagedError, Error, ForeignError, StateError
from pyoci.kernel import signals
from pyoci.kernel.signals import Interrupted, Interrupts
from pyoci.log import log
from pyoci.plan import create as plan
from pyoci.plan.inputs import may_set_groups
from pyoci.plan.plan import Plan
from pyoci.steps.host.context import HostContext, run
from pyoci.steps.step import During
from pyoci.undo import Undo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyoci.config import Config

_UNTRACKED = (
    "creating a rootless container with no cgroup and no private pid namespace: "
    "kill and delete can end its first process only, nobody knows the others"
)


def create(options: CreateOptions) -> None:
    """Make the container, or nothing. Raises Error; ends by the signal that interrupted it."""
    try:
        make(options, ConsoleOwner(options.console_socket, detach=True), Interrupts(ENDING))
    except Interrupted as interrupted:
        signals.die(interrupted)
        raise


def make(
    options: CreateOptions,
    terminal: ConsoleOwner,
    interrupts: Interrupts,
    before_start: Callable[[], object] | None = None,
    foreground: bool = False,
) -> Container:
    """Make the container and return it as it is once created. Raises Error, Interrupted.

    `before_start`: it will be started at once, for which `process` is required; this is called before, while the
    container's process is at work. foreground: the caller waits for its end, and serves its streams.
    """
    state.check_id(options.id)
    config, raw = loader.load(options.bundle, needs_process=before_start is not None)
    capabilities.warn(config)
    if not options.systemd_cgroup:
        _warn_of_systemd_path(config.linux.cgroups_path or "")
    if config.linux.personality is not None and config.linux.personality.flags:
        log.warning(f"ignoring unsupported personality flags: {', '.join(config.linux.personality.flags)}")
    inputs = create_inputs(config, options, foreground)
    made = plan.make(config, inputs)
    user = config.process.user if config.process is not None else None
    if user is not None and user.additional_gids and not may_set_groups(config, inputs.host):
        from pyoci.container import groups

        groups.without(user)
    check_preserved(options.preserve_fds)
    terminal.check(config.process is not None and config.process.terminal)
    container = Container(
        root=options.root,
        id=options.id,
        bundle=options.bundle,
        rootfs=inputs.rootfs,
        created=now(),
        annotations=config.annotations,
        creating=True,
        runtime_pid=os.getpid(),
        runtime_start=_start_time(os.getpid()),
        cgroups=inputs.cgroups,
        unit=None if inputs.unit is None else dict(inputs.unit.__dict__),
        namespaces=tuple((one.type, one.path) for one in config.linux.namespaces),
        private_pid=made.private_pid,
        has_process=config.process is not None,
        keyring=inputs.keyring,
        notify=bool(inputs.notify),
        rdt_path=inputs.rdt.path if inputs.rdt is not None else "",
        rdt_monitor=inputs.rdt.monitor if inputs.rdt is not None else "",
        rdt_remove=inputs.rdt.removed() if inputs.rdt is not None else (),
        hooks={kind: raw["hooks"][kind] for kind in ("poststart", "poststop") if raw.get("hooks", {}).get(kind)},
    )
    interrupts.install()
    with Undo() as undo:
        undo.add(interrupts.close)
        creation = _Creation(options, made, config, raw, container, terminal, undo)
        return creation.carry_out(interrupts, inputs.pipes, before_start)


def _warn_of_systemd_path(path: str) -> None:
    """As in runc it is a path like any other, with colons; nobody can have meant that."""
    slice, *rest = path.split(":")
    if len(rest) == 2 and "/" not in path and (not slice or slice.endswith(".slice")):
        log.warning(
            f"config.json#/linux/cgroupsPath: {path!r} has the form that systemd's driver reads, slice:prefix:name: "
            "without --systemd-cgroup it is the path of a cgroup of that name"
        )


class _Creation:
    """One create under way."""

    def __init__(
        self,
        options: CreateOptions,
        made: Plan,
        config: Config,
        raw: dict[str, Any],
        container: Container,
        terminal: ConsoleOwner,
        undo: Undo,
    ) -> None:
        self.raw = raw
        self.options = options
        self.plan = made
        self.config = config
        self.container = container
        self.terminal = terminal
        self.undo = undo
        self.directory = -1

    def carry_out(
        self, interrupts: Interrupts, pipes: tuple[int, ...], meanwhile: Callable[[], object] | None
    ) -> Container:
        options, undo = self.options, self.undo
        pidfd_socket = console.connect(options.pidfd_socket, "--pidfd-socket") if options.pidfd_socket else None
        with During("make the container's directory"):
            self._make_directory()
        context = contexts.begin(options.root, interrupts, undo)
        contexts.follow(self.plan, context)
        context.bundle = os.open(options.bundle, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        undo.add(os.close, context.bundle)
        context.shared = self._refuse_shared
        undo.add(close_trees, context)
        if options.trace:
            from pyoci.steps import trace

            context.trace = context.init.trace = trace.begin(options.trace)
            undo.add(trace.end, context.trace)
        with During("make the fifo that start opens"):
            self._make_fifo(context)
        try:
            run(self.plan.prepare, context)
        except Error as error:
            if error.pointer.startswith("/mounts/"):  # a source, which other runtimes open in the container's process
                error.prefixed(_IN_INIT)
            raise
        self.terminal.separate(pipes, host_root(self.config), context.init)
        if self.container.unit is None:
            self._note_cgroups(context)
        handshake = Handshake(self.plan, context, self.terminal.receive, meanwhile)
        try:
            handshake.clone(lambda: self._record(context.pid))
            self.terminal.cloned()
            if self.container.unit is not None:  # which was made around the process
                self._note_cgroups(context)
            handshake.complete()
        except Error as error:
            raise _explained(error, context, self.plan) from None
        if pidfd_socket is not None:
            console.send(pidfd_socket, "standard", context.pidfd, "--pidfd-socket")
            pidfd_socket.close()
        self._record(context.pid, creating=False, identity=context.identity)
        try:
            handshake.release()
        except Error as error:
            raise _explained(error, context, self.plan) from None
        interrupts.check()
        if options.pid_file:
            write_pid_file(options.pid_file, context.pid)
        if context.trace >= 0:
            trace.end(context.trace)
        return self.container

    def _make_directory(self) -> None:
        """mkdir decides between two creates of the same name."""
        try:
            root = state.open_root(self.options.root, make=True)
            self.undo.add(os.close, root)
            os.mkdir(self.options.id, 0o700, dir_fd=root)
        except PermissionError as error:
            raise StateError(
                f"make the container's directory: {self.options.root}/{self.options.id}: permission denied",
                pointer="--root",
                errno=error.errno or 0,
                hint="name a directory of your own with --root, or let $XDG_RUNTIME_DIR name one",
            ) from error
        except FileExistsError:
            raise _in_use(self.options.root, self.options.id) from None
        self.undo.add(_remove_empty, root, self.options.id)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        self.directory = os.open(self.options.id, flags, dir_fd=root)
        self.undo.add(os.close, self.directory)
        self.undo.add(_remove_directory, root, self.options.id, self.directory)
        state.save(self.container, self.directory)
        saved_config.save(self.raw, self.options.no_new_keyring, self.directory)

    def _note_cgroups(self, context: HostContext) -> None:
        """Write down that the cgroups are there, and ours."""
        inodes = processes.identities(context.cgroups)
        self._change(cgroups=context.cgroups, cgroups_made=True, cgroup_ids=inodes)
        if not self.plan.private_pid:
            if not context.cgroups:
                log.warning(_UNTRACKED)
            if context.cgroups_new:
                self.undo.add(_kill_members, self.container)

    def _refuse_shared(self) -> None:
        """The cgroup was there before: it must not be another container's. Both are on record before they make it, so
        that of two creates at once at least one sees the other."""
        from pyoci.container import sharing

        sharing.refuse(self.container)

    def _record(self, pid: int, creating: bool = True, **more: Any) -> None:
        """Write down that the process exists, or that the container is complete."""
        self._change(pid=pid, start_time=_start_time(pid), creating=creating, **more)

    def _change(self, **changed: Any) -> None:
        self.container = self.container.replace(**changed)
        with During("write state.json"):
            state.save(self.container, self.directory)

    def _make_fifo(self, context: HostContext) -> None:
        """The fifo where start and the process meet; the process gets an O_PATH descriptor, never the directory.

        What is written to it is what `start` believes. Into the directory comes nobody but the runtime's user, so that
        only who holds the descriptor can open it: as the program's user, whose it is. That user is not known where a
        user namespace is joined, and another user than root cannot give it away: then anybody who comes so far may.
        """
        mask = os.umask(0)
        os.mkfifo(state.FIFO, 0o640, dir_fd=self.directory)  # our group: without CAP_DAC_OVERRIDE start reads it, too
        os.umask(mask)
        uid = program_user(self.config)
        try:
            if uid is None:
                os.chmod(state.FIFO, 0o622, dir_fd=self.directory)
            elif uid != os.geteuid():
                os.chown(state.FIFO, uid, -1, dir_fd=self.directory, follow_symlinks=False)
        except OSError as error:
            if error.errno == EINVAL:
                raise ConfigError(
                    f"the program's user is mapped to {uid}, an id that does not exist here",
                    pointer="/linux/uidMappings",
                    hint="the host's ids are those of the runtime's own user namespace (/proc/self/uid_map)",
                ) from None
            if error.errno != EPERM or os.geteuid() == 0:
                raise
            os.chmod(state.FIFO, 0o622, dir_fd=self.directory)
        fifo = os.open(state.FIFO, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.directory)
        self.undo.add(os.close, fifo)
        context.init.descriptors["fifo"] = fifo
        if self.container.notify:
            os.mkdir("notify", 0o755, dir_fd=self.directory)
            os.chmod("notify", 0o755, dir_fd=self.directory)


# What runc says before whatever goes wrong in the container's process.
_IN_INIT = "unable to start container process: error during container init"


def _in_use(root: str, id: str) -> StateError:
    from pyoci.container import advice

    try:
        found = state.status(state.load(root, id))
    except DamagedError:
        found = "damaged"
    except ForeignError as error:
        found = error.message
    except (Error, OSError):
        found = ""
    return advice.in_use(root, id, found)


def _remove_empty(root: int, id: str) -> None:
    """Undo of mkdir as long as there is nothing in it; later _remove_directory() comes first."""
    try:
        os.rmdir(id, dir_fd=root)
    except FileNotFoundError:
        pass


def _remove_directory(root: int, id: str, directory: int) -> None:
    """Undo of mkdir, unless a delete was faster and the name is another container's by now."""
    if state.is_named(root, id, directory):
        state.remove_directory(root, id)


def _kill_members(container: Container) -> None:
    """What hooks have left in the cgroups that were made for a container without a pid namespace of its own."""
    from pyoci.container.kill import kill_cgroup

    kill_cgroup(container)


def _explained(error: Error, context: HostContext, made: Plan) -> Error:
    """runc's words before what went wrong in the container's process."""
    if error.errno == ENOMEM:
        from pyoci.container.process import oom

        error = oom.explained(error, context.cgroups, oom.limit_pointer(made))
    return error.prefixed(_IN_INIT)


def _start_time(pid: int) -> int:
    found = state.process(pid)
    return found[1] if found else 0


def now() -> str:
    """RFC 3339 with nanoseconds, UTC."""
    nanoseconds = time.time_ns()
    fraction = f"{nanoseconds % 1_000_000_000:09d}".rstrip("0")
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(nanoseconds // 1_000_000_000))
    return f"{seconds}.{fraction}Z" if fraction else f"{seconds}Z"
