"""linux.seccomp.listenerPath: the agent gets the filter's listener (config-linux.md, "The Container Process State").

The process that loads the filter can send nothing afterwards: nothing but execve(2) may follow, and even that may be a
call which the agent has to answer. Nobody can fetch the descriptor either: the process is non-dumpable. So the runtime
makes a helper first, and the helper makes the container's process, with CLONE_FILES: the two have one table of
descriptors until execve(2), and what the filter's load returns in one of them the other can send. The helper stays on
the host's side, with the runtime's namespaces and identity, and waits for `start`; it ends before the program's first
instruction that the agent could care about is answered, and with the container's process at the latest.

With exec most filters do without all that: listener/early.py.

    runtime -> helper               agent PID   the container is created; its process in the runtime's namespace
    helper -> container's process   begin       the helper has done its part of the birth
    container's process -> helper   arm         the filter comes next
    helper -> container's process   armed       connected to the agent; or an error

Each startContainer hook has a listener of its own, which a relay takes (steps/hooks/relay.py); the helper sends it:

    relay -> helper                 hook        a hook's filter comes next
    helper -> relay                 armed       connected to the agent; or an error
    relay -> helper                 listener    it comes along, and a pidfd of the hook; neither: the hook has ended
    helper -> relay                 sent        the agent has it; or an error
"""

from __future__ import annotations

import _socket
import fcntl
import select
import struct
import time
from errno import ENAMETOOLONG, EPROTOTYPE

from pyoci import SPEC_VERSION, channel, os
from pyoci.errors import Error, StepError, system_call
from pyoci.jsonfile import dumps
from pyoci.kernel import textfile
from pyoci.kernel.process import has_ended, pidfd_send_signal
from pyoci.steps.hooks.state import HookState
from pyoci.steps.init.launch import report_error
from pyoci.steps.step import Context, Step

__all__ = [
    "ArmListener",
    "FindAgent",
    "HandOverListener",
    "Handover",
    "NameProcess",
    "appears",
    "ask",
    "lowest_free",
]

_SPARE = 8  # descriptors above the program's that the container's process moves about while it gets ready
_LONGEST = 107  # bytes of a path in struct sockaddr_un
_PATIENCE = 10  # seconds for an agent that does not accept, or does not read
_FIRST_PAUSE, _LONGEST_PAUSE = 0.0001, 0.005  # seconds, between two looks for the listener
_SIGKILL = 9


class Handover:
    """What the container's process and its helper share: numbers in the one table of descriptors that they have."""

    def __init__(self, first: int) -> None:
        """`first`: none of the numbers is below it."""
        near, far = channel.pair()
        self.near = _moved(near, first)  # the container's end
        self.far = _moved(far, first)  # the helper's
        # To become pidfds: of the helper, of what it has cloned, of the container's process if that is another one.
        self.helper, self.cloned, self.process = (
            fcntl.fcntl(self.near.fileno(), fcntl.F_DUPFD_CLOEXEC, first) for _ in range(3)
        )
        self._only_process = False

    def descriptors(self) -> list[int]:
        every = [self.near.fileno(), self.far.fileno(), self.helper, self.cloned, self.process]
        return [one for one in every if one >= 0]

    def forget_helper(self) -> None:
        """For a process in a container that others run in: nothing it has open names a process of the host."""
        self.helper = -1

    def close(self) -> None:
        """In the runtime, whose copies nobody needs once the container is created. A second time does nothing."""
        self.near.close()
        self.far.close()
        for descriptor in (self.helper, self.cloned, self.process):
            if descriptor >= 0:
                os.close(descriptor)
        self.helper = self.cloned = self.process = -1

    def began(self, pidfd: int, stage_two: bool = False) -> None:
        """Called by whoever has just cloned the process behind `pidfd`: until now that has waited in await_begin()."""
        if not stage_two:  # the helper may be asleep with this one: a poll(2) does not notice that it was replaced
            os.dup2(pidfd, self.cloned, inheritable=False)
        os.dup2(pidfd, self.process, inheritable=False)
        self.far.send("begin")

    def await_begin(self) -> None:
        """In a process that shares its descriptors with the one that cloned it, before it closes any.

        Raises Closed if the helper has ended instead. Its end of the pair tells nothing: it is as open here as there.
        """
        if not self.answered():
            raise channel.Closed
        self.near.receive()

    def answered(self) -> bool:
        """Wait for the helper's next message. False: it has ended, or it does not answer."""
        helper = (self.helper,) if self.helper >= 0 else ()
        return self.near.fileno() in _poll(self.near.fileno(), *helper, timeout=_PATIENCE + 5)

    def next(self) -> channel.Message | None:
        """The next message for the helper; None once there is no container's process any more."""
        while True:
            ready = _poll(self.far.fileno(), self.process if self._only_process else self.cloned)
            if self.far.fileno() in ready:
                return self.far.receive()
            if self._only_process:
                return None
            self._only_process = True  # if what has ended was stage 1, there may be a stage 2


class FindAgent(Step):
    """Before there is anything to undo: somebody listens at the path, and we may connect.

    A datagram socket asks without making the agent a connection, which it would take for a container's.
    """

    pointer: str = "/linux/seccomp/listenerPath"
    path: str

    def describe(self) -> str:
        return f"find the seccomp agent at {self.path}"

    def execute(self, context: Context) -> None:
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
        try:
            _connect(sock, self.path, shared=False)
            reason = EPROTOTYPE  # it takes datagrams: no stream socket
        except OSError as error:
            reason = error.errno or 0
            if reason == EPROTOTYPE:
                context.handover = Handover(context.preserved + _SPARE)
                context.undo.add(context.handover.close)
                return
        finally:
            sock.close()
        raise _unreachable(self, reason)


class NameProcess(Step):
    """Tell the helper whom it will speak of."""

    pointer: str = "/linux/seccomp/listenerPath"

    def describe(self) -> str:
        return "tell the helper the process's number"

    def execute(self, context: Context) -> None:
        assert context.handover is not None
        context.handover.near.send("agent", str(context.pid))
        context.handover.close()


class ArmListener(Step):
    """Have the helper connect to the agent. From here on no descriptor is opened but the listener."""

    pointer: str = "/linux/seccomp/listenerPath"

    def describe(self) -> str:
        return "have the helper connect to the seccomp agent"

    def execute(self, context: Context) -> None:
        handover = context.handover
        assert handover is not None
        ask(handover, "arm")


class HandOverListener(Step):
    """In the helper: wait for `arm`, connect, wait for the listener, send it with the container process state."""

    pointer: str = "/linux/seccomp/listenerPath"
    path: str
    metadata: str
    state: HookState
    status: str
    container: int  # the first process of the container that exec enters; 0: it is the one that is being made
    keep: int  # where the process has the fifo that `start` reads, or the channel that exec does

    def describe(self) -> str:
        return f"hand the seccomp listener over to {self.path}"

    def execute(self, context: Context) -> None:
        handover = context.handover
        assert handover is not None
        pid = 0
        while (message := handover.next()) is not None:
            if message.kind == "agent":
                pid = int(message.fields[0])
                continue
            try:
                sock = self.connect(shared=True)
                if message.kind == "hook":
                    self._serve_hook(handover, sock, pid)
                    continue
            except Error as error:
                handover.far.send("error", *channel.encode_error(error))
                return
            expected = lowest_free()
            handover.far.send("armed")
            self._hand_over(context, handover, sock, expected, pid)
            return

    def _serve_hook(self, handover: Handover, sock: _socket.socket, pid: int) -> None:
        """Send the listener of a startContainer hook of the container of `pid`. Raises StepError."""
        handover.far.send("armed")
        message = handover.next()
        descriptors = () if message is None else message.descriptors
        try:
            if descriptors:
                listener, process = descriptors
                self.send(sock, listener, pid, _pid_of(process))
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
            sock.close()
        handover.far.send("sent")

    def connect(self, shared: bool) -> _socket.socket:
        """Connected to the agent. `shared`: see _connect(). Raises StepError."""
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDTIMEO, struct.pack("ll", _PATIENCE, 0))
        try:
            _connect(sock, self.path, shared)
        except OSError as error:
            sock.close()
            raise _unreachable(self, error.errno or 0) from None
        return sock

    def _hand_over(self, context: Context, handover: Handover, sock: _socket.socket, listener: int, pid: int) -> None:
        """Both descriptors are closed in the process too, if it still waits in execve(2): the agent alone holds it."""
        try:
            if appears(listener, handover.process):
                self.send(sock, listener, self.container or pid, pid)
                os.close(listener)
        except StepError as failure:
            self._report(context, failure)
            pidfd_send_signal(handover.process, _SIGKILL)  # its calls would fail one by one
        finally:
            sock.close()

    def send(self, sock: _socket.socket, listener: int, container: int, pid: int) -> None:
        """The state of the process `pid` of the container, and its listener. Raises StepError."""
        try:
            _send_all(sock, self.text(container, pid).encode("utf-8", "surrogateescape"), listener)
        except OSError as error:
            raise StepError(
                f"cannot send seccomp fd to {self.path}: {os.strerror(error.errno or 0).lower()}",
                pointer=self.pointer,
                step=type(self).__name__,
                call=system_call(error),
                errno=error.errno or 0,
                hint="the agent has accepted the connection and did not read from it",
            ) from error

    def _report(self, context: Context, failure: StepError) -> None:
        """In the place of the process, which may already be its program."""
        fields = channel.encode_error(failure)
        if self.container:
            context.channel.adopt(self.keep)
            context.channel.send("error", *fields)
        else:
            context.descriptors["start"] = self.keep
            report_error(context, fields)

    def text(self, container: int, pid: int) -> str:
        """The container process state; both as the runtime sees them."""
        state: dict[str, object] = {"ociVersion": SPEC_VERSION, "fds": ["seccompFd"], "pid": pid}
        if self.metadata:
            state["metadata"] = self.metadata
        state["state"] = self.state.fields(self.status, container)
        return dumps(state)


def ask(handover: Handover, kind: str, descriptors: tuple[int, ...] = ()) -> None:
    """Send a message to the helper and wait for its answer. Raises StepError: the one it answers, or of its end."""
    handover.near.send(kind, descriptors=descriptors)
    if not handover.answered():
        raise StepError(
            "the process that hands the seccomp listener over has ended",
            pointer="/linux/seccomp/listenerPath",
            step=ArmListener.__name__,
            hint="it is made with the container's process and waits beside it: was it killed?",
        )
    handover.near.receive()


def _moved(one: channel.Channel, first: int) -> channel.Channel:
    """The same, at a number from `first` on."""
    old = one.fileno()
    one.adopt(fcntl.fcntl(old, fcntl.F_DUPFD_CLOEXEC, first))
    os.close(old)
    return one


def _poll(*descriptors: int, timeout: int | None = None) -> dict[int, int]:
    """Wait, for `timeout` seconds if given, until one of them is readable, or at its end: which ones."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return dict(poll.poll(None if timeout is None else timeout * 1000))


def _connect(sock: _socket.socket, path: str, shared: bool) -> None:
    """connect(2); to a path too long for it by its last part, below its directory.

    `shared`: the table of descriptors is the container's process's, too, and where that is exec's, others could take
    the directory from there and walk about on the host. Then it is the helper's working directory for a moment.
    """
    if len(os.fsencode(path)) <= _LONGEST:
        sock.connect(path)
        return
    directory, _, name = path.rpartition("/")
    if len(os.fsencode(name)) > _LONGEST - 32:
        raise OSError(ENAMETOOLONG, os.strerror(ENAMETOOLONG), path)
    if shared:
        os.chdir(directory)
        try:
            return sock.connect(name)
        finally:
            os.chdir("/")
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sock.connect(f"/proc/self/fd/{descriptor}/{name}")
    finally:
        os.close(descriptor)


def _unreachable(step: Step, errno: int) -> StepError:
    path = getattr(step, "path")  # noqa: B009 - of either step
    return StepError(
        "failed to connect with seccomp agent specified in the seccomp profile: "
        f"dial unix {path}: connect: {os.strerror(errno).lower()}",
        pointer=step.pointer,
        step=type(step).__name__,
        call=f'connect("{path}")',
        errno=errno,
        hint="SCMP_ACT_NOTIFY needs an agent that listens there on a stream socket, from create on",
    )


def _pid_of(pidfd: int) -> int:
    """The process behind it, as the runtime sees it; -1: it has been reaped."""
    fields = dict(line.split(b":", 1) for line in textfile.lines(textfile.read(f"/proc/self/fdinfo/{pidfd}")))
    return int(fields[b"Pid"])


def lowest_free() -> int:
    """The number that the next descriptor of this table will have."""
    number = os.dup(0)
    os.close(number)
    return number


def appears(descriptor: int, process: int) -> bool:
    """Wait until it is open. False: the process has ended and it is not.

    The process cannot tell us, as no call may follow the filter, and no event is bound to a table of descriptors: all
    that is left is to look. It takes as long as one seccomp(2) in a process that is about to call it.
    """
    pause = _FIRST_PAUSE
    ended = False
    while True:
        try:
            fcntl.fcntl(descriptor, fcntl.F_GETFD)
            return True
        except OSError:
            if ended:
                return False
        ended = has_ended(process, int(pause * 1000))
        if pause < 0.001 and not ended:  # poll(2) counts in whole milliseconds
            time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)


def _send_all(sock: _socket.socket, data: bytes, descriptor: int) -> None:
    rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("i", descriptor))
    sent = sock.sendmsg([data], [rights], _socket.MSG_NOSIGNAL)
    if sent < len(data):
        sock.sendall(data[sent:], _socket.MSG_NOSIGNAL)
