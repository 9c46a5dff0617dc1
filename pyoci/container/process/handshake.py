"""The runtime's side of making a container's process: clone, maps, hooks, every message of the channel in its order."""

from __future__ import annotations

from pyoci import channel, os
from pyoci.container import identity
from pyoci.container.process import init
from pyoci.errors import Error, os_error_text
from pyoci.kernel import signals, textfile
from pyoci.kernel.clone import assert_single_thread
from pyoci.kernel.constants import SIGKILL
from pyoci.kernel.process import has_ended, pidfd_send_signal, wait_status
from pyoci.log import log
from pyoci.steps.host.cgroups import close_tasks
from pyoci.steps.host.context import HostContext, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyoci.plan.plan import Plan

    Console = Callable[[str, int], object]

ENDING = signals.ENDING
_SOON = 200  # ms in which a process that was killed has ended, unless something keeps it
_AT_LAST = 10_000  # ms, after which it is left to itself: a system call that hangs (state D) may last for good


class Handshake:
    """One container's process on its way from clone to `created`.

    `console` is called with the slave's name and the master's descriptor, when there is a terminal. `meanwhile` is what
    the runtime has to do anyway and does while the process is at work.
    """

    def __init__(
        self,
        plan: Plan,
        context: HostContext,
        console: Console,
        meanwhile: Callable[[], object] | None = None,
    ) -> None:
        self.plan = plan
        self.context = context
        self.console = console
        self.meanwhile = meanwhile
        self.first: tuple[int, int] | None = None  # pid and pidfd of stage 1, until it is reaped
        # Our children before the clone: another one, of whom nobody has told us yet, is stage 1's or the helper's.
        self.before: set[int] | None = None

    def clone(self, born: Callable[[], object]) -> None:
        """Make the process and its maps; `born` is called as soon as it has a pid. The process waits for `go`."""
        plan, context = self.plan, self.context
        if log.debugging:
            _debug()
        assert_single_thread()
        if plan.two_stage or plan.helper:
            self.before = children()
        body = self._stage_one if plan.two_stage else self._main
        flags = 0 if plan.two_stage else plan.clone_flags
        if plan.helper:
            from pyoci.container.process import helper

            pid, pidfd = helper.make(plan.helper, body, flags, context)
        else:
            pid, pidfd = init.make(body, flags, context.cgroup)
        try:
            if plan.helper:
                pid, pidfd = self._of_helper(pid, pidfd)
            context.init.channel.close()
            close_tasks(context)
            close_trees(context)
            self._admit(pid, pidfd, born)
        except channel.Closed:
            raise self.died() from None

    def _main(self) -> None:
        """Body of the container's process."""
        init.main(self.plan.inside + self.plan.finish + self.plan.launch, self.context.init)

    def _stage_one(self) -> None:
        plan = self.plan
        init.stage_one(plan.first, plan.clone_flags, plan.inside + plan.finish + plan.launch, self.context.init)

    def _of_helper(self, pid: int, pidfd: int) -> tuple[int, int]:
        """The process that the helper has made. Raises the error that kept it from doing so."""
        self.context.undo.add(self._end, pid, pidfd)
        message = self._receive(pidfd)
        if message.kind != "born":
            raise Error(f"the helper said {message.kind!r}")
        return int(message.fields[0]), message.descriptors[0]

    def _admit(self, pid: int, pidfd: int, born: Callable[[], object]) -> None:
        plan, context = self.plan, self.context
        if plan.two_stage:
            pid, pidfd = self._second(pid, pidfd)
        self.before = None  # all are known; who comes from here on may be a hook's daemon
        context.pid, context.pidfd = pid, pidfd
        context.undo.add(end, pid, pidfd)
        born()
        if not plan.two_stage:
            run(plan.maps, context)
        run(plan.admit, context)

    def _second(self, first: int, pidfd: int) -> tuple[int, int]:
        """Wait until stage 1 has made the container's process; pid and pidfd of that.

        Stage 1 ends by itself afterwards. Nobody waits for that here; _reap_stage_one() does later.
        """
        context = self.context
        context.pid = first
        try:
            if not self.plan.maps:
                self._use_the_time()
            message = self._receive(pidfd)
            if message.kind == "unshared":
                run(self.plan.maps, context)
                self._send("go")
                self._use_the_time()
                message = self._receive(pidfd)
            if message.kind == "listener":
                from pyoci.steps.host.listener import close_listener

                (context.listener,) = message.descriptors
                context.undo.add(close_listener, context)
                message = self._receive(pidfd)
            if message.kind != "stage2":
                raise Error(f"stage 1 said {message.kind!r}")
        except BaseException:
            self._end(first, pidfd)
            raise
        self.first = first, pidfd
        context.undo.add(self._end_first)
        return int(message.fields[0]), message.descriptors[0]

    def _use_the_time(self) -> None:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()

    def _reap_stage_one(self) -> None:
        """Reap stage 1, which has ended by itself, or is about to. Raises Interrupted while it waits."""
        if self.first is not None:
            assert self.context.interrupts is not None
            self.context.interrupts.wait(self.first[1])
            self._end_first()

    def _end(self, pid: int, pidfd: int) -> None:
        end(pid, pidfd, self.before)

    def _end_first(self) -> None:
        if self.first is not None:
            end(*self.first)
            self.first = None

    def complete(self) -> None:
        """From `go` to `ready`, with the hooks of the runtime's side in between."""
        try:
            self._send("go")
            self._use_the_time()
            if self.plan.mounted:
                self._expect("mounted")
                run(self.plan.mounted, self.context)
                self._send("hooked")
            self._expect("ready")
        except channel.Closed:
            raise self.died() from None
        self._reap_stage_one()

    def release(self) -> None:
        """Let the process live on without us. From here on it waits for `start`."""
        try:
            self._send("created")
            self._expect("waiting")
        except channel.Closed:
            raise self.died() from None
        self.context.channel.close()

    def execute(self) -> None:
        """From `go` to the program of exec. Raises Error, Interrupted."""
        try:
            self._send("go")
            self._expect("executing")
            self._expect_end()
        except channel.Closed:
            raise self.died() from None
        self.context.channel.close()
        self._reap_stage_one()

    def _expect_end(self) -> None:
        """End-of-file behind `executing` is execve(2); what else comes is why there was none."""
        try:
            self._receive(self.context.pidfd)
        except channel.Closed:
            return
        raise Error("the container's process said something after its last word")

    def _receive(self, pidfd: int) -> channel.Message:
        """The next message of this process that is for us; a terminal goes to its owner, a warning to the log, and what
        the container's namespaces are to the context.

        Raises Interrupted while it waits, and what channel.receive() raises.
        The end of the process counts as much as end-of-file: stage 2 keeps the channel open when stage 1 has died.
        """
        context = self.context
        while True:
            assert context.interrupts is not None
            context.interrupts.wait(context.channel.fileno(), pidfd)
            if not context.channel.is_readable():
                raise channel.Closed
            message = context.channel.receive()
            if message.kind == "map":
                from pyoci.steps.host import sources

                sources.map_for(context, message)
                continue
            if _logged(message):
                continue
            if message.kind == "identity":
                context.identity = identity.record(tuple(message.fields[0].split(",")), message.descriptors)
                continue
            if message.kind != "console":
                return message
            if len(message.descriptors) != 1:
                raise Error("the container's process sent a terminal that is none")
            self.console(message.fields[0], message.descriptors[0])

    def _send(self, kind: str) -> None:
        """Raises Closed, or the error that the process has sent before it ended."""
        try:
            self.context.channel.send(kind)
        except channel.Closed:
            while True:  # what it said before comes first
                _logged(self.context.channel.receive())

    def _expect(self, kind: str) -> None:
        message = self._receive(self.context.pidfd)
        if message.kind != kind:
            raise Error(f"the container's process said {message.kind!r} instead of {kind!r}")

    def died(self) -> Error:
        """Why the process ended without a word, as far as its cgroup and its wait status tell."""
        from pyoci.container.process import oom

        killed = oom.explanation(self.context.cgroups, oom.limit_pointer(self.plan))
        return killed or Error("the container's process died before it was ready", hint="see the kernel's log (dmesg)")


def _logged(message: channel.Message) -> bool:
    """Write what the container's process has for the log; False if it is something else."""
    if message.kind == "warning":
        log.warning(message.fields[0])
    elif message.kind == "debug":
        side, name, pointer, text = message.fields
        if name:
            log.step(name, pointer, text, side)
        else:
            log.debug(text)
    else:
        return False
    return True


def _debug() -> None:
    """For --debug, in runc's words, which its tests look for: on which of the first 64 CPUs the process begins. Those
    are the ones that we have now."""
    mask = sum(1 << cpu for cpu in os.sched_getaffinity(0) if cpu < 64)
    log.debug(f"nsexec[{os.getpid()}]: affinity: {mask:#x}")


def children() -> set[int]:
    """Those of this process. They may be others' than ours: of the shell that has become pyoci, of a hook."""
    return {int(number) for number in textfile.read_if_there(f"/proc/self/task/{os.getpid()}/children").split()}


def end(pid: int, pidfd: int, before: set[int] | None = None) -> None:
    """Kill and reap a process of ours: what undoes a clone. One that does not end is left, with a warning.

    before: our children when it was cloned, if it may have made one for us that we do not know yet.
    """
    try:
        pidfd_send_signal(pidfd, SIGKILL)
    except ProcessLookupError:
        pass
    if has_ended(pidfd, _SOON) or (_release(pid, before) and has_ended(pidfd, _AT_LAST)):
        wait_status(pid)
    else:
        log.warning(f"process {pid} was killed and has not ended yet")
    os.close(pidfd)


def _release(pid: int, before: set[int] | None) -> bool:
    """Free what we have killed, and what it has made for us, of a frozen v1 cgroup; a warning if we may not."""
    from pyoci.cgroups import freezer

    try:
        freezer.release({pid} if before is None else {pid} | (children() - before))
        return True
    except OSError as error:
        log.warning(f"cannot take process {pid} out of a frozen cgroup: {os_error_text(error)}")
        return False


def close_trees(context: HostContext) -> None:
    """The sources of bind mounts are the process's own by now, or nobody's any more."""
    for tree in context.init.trees.values():
        os.close(tree)
    context.init.trees = {}


def write_pid_file(path: str, pid: int) -> None:
    """Digits and nothing else, renamed into place: go-runc parses without trimming, conmon waits for the name."""
    directory, _, name = path.rpartition("/")
    temporary = f"{directory}/.{name}"
    try:
        try:
            os.unlink(temporary)  # left by a create that was killed
        except FileNotFoundError:
            pass
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            os.write(file, str(pid).encode())
        except OSError:
            os.unlink(temporary)
            raise
        finally:
            os.close(file)
        os.rename(temporary, path)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise Error(f"open {temporary}: {reason.lower()}", pointer="--pid-file", errno=error.errno or 0) from None
