"""startContainer hooks of a container whose filter has a listener: their calls go to the agent, as the program's do.

A hook has the filter in its own right, loaded right before execve(2), and so a listener of its own. It can send nothing
afterwards, and the descriptors that it begins with are not those of the container's process. So a relay makes it, and
the two have one table of descriptors until the hook's execve(2). The relay passes the listener to the helper of
steps/listener/, which alone knows the agent, and ends. It is a process of the container: what it has open is the
hook's standard streams and its ends of pairs to the two.

    relay -> container's process            born PID    the hook's process exists; its pidfd comes along
    hook's process -> container's process   failed N    errno of execve(2)
    hook's process -> container's process   unready ... what comes before it has failed: the fields of an error
"""

from __future__ import annotations

import fcntl

from pyoci import channel, os
from pyoci.errors import Error, StepError
from pyoci.kernel.clone import clone
from pyoci.kernel.constants import CLONE_FILES, CLONE_PARENT, SIGKILL
from pyoci.kernel.process import close_all_but, pidfd_send_signal
from pyoci.kernel.spawn import Unready, be_born
from pyoci.steps.listener.handover import Handover, appears, ask, lowest_free

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyoci.kernel.execute import Image

_APART = 16  # what is there for a moment stands from here on: the listener has to be below the hook's RLIMIT_NOFILE


class Relay:
    """Starts hooks, one after the other: spawn(), and finish() once the hook has ended."""

    def __init__(self, handover: Handover) -> None:
        self._handover = handover
        self._pid = 0  # the relay's process
        self._reports: channel.Channel | None = None

    def spawn(
        self,
        path: bytes,
        image: Image,
        stdio: tuple[int, int, int],
        directory: int,
        before: Callable[[], object] | None,
    ) -> tuple[int, int]:
        """As kernel.spawn.spawn(), but it does not wait for execve(2), which the agent may keep.

        Raises StepError where the agent cannot be reached; OSError of clone3(2).
        """
        near, far = channel.pair()

        def relay() -> None:
            be_born(stdio, directory)
            self._relay(far, lambda go: _hook(path, image, before, far, go))

        try:
            self._pid, pidfd = clone(relay)
            os.close(pidfd)
        except OSError:
            near.close()
            raise
        finally:
            far.close()
        self._reports = near
        try:
            message = near.receive()
        except channel.Closed:
            self.finish()
            raise StepError("the process that makes a startContainer hook has ended") from None
        except Error:
            self.finish()
            raise
        return int(message.fields[0]), message.descriptors[0]

    def finish(self) -> None:
        """Raises OSError, Unready if it was not the hook's program that has ended, StepError of relay and agent."""
        assert self._reports is not None
        try:
            os.waitpid(self._pid, 0)
            while True:
                message = self._reports.receive()
                if message.kind == "unready":
                    raise Unready(channel.encode("error", message.fields))
                if message.kind == "failed":
                    raise OSError(int(message.fields[0]), "")
        except channel.Closed:
            pass
        finally:
            self._reports.close()

    def _relay(self, reports: channel.Channel, program: Callable[[int], None]) -> None:
        """`program`: body of the hook's process; it waits for a byte from the descriptor that it is given."""
        handover = self._handover
        reports.adopt(_apart(reports.fileno()))
        go, going = (_apart(one) for one in os.pipe2(os.O_CLOEXEC))
        close_all_but([0, 1, 2, reports.fileno(), go, going, handover.near.fileno(), handover.helper])
        hook = -1
        try:
            ask(handover, "hook")
            pid, pidfd = clone(lambda: program(go), CLONE_FILES | CLONE_PARENT)
            hook = _apart(pidfd)
            os.close(pidfd)
            reports.send("born", str(pid), descriptors=(hook,))
            listener = lowest_free()
            os.write(going, b"x")
            _pass_on(handover, listener, hook)
        except Error as error:
            if hook >= 0:
                pidfd_send_signal(hook, SIGKILL)  # its calls would fail one by one
            reports.send("error", *channel.encode_error(error))


def _pass_on(handover: Handover, listener: int, hook: int) -> None:
    """Once the listener is there it is the helper's, and then the agent's alone. Raises StepError."""
    descriptors = (listener, hook) if appears(listener, hook) else ()
    try:
        ask(handover, "listener", descriptors)
    finally:
        if descriptors:
            os.close(listener)


def _hook(path: bytes, image: Image, before: Callable[[], object] | None, reports: channel.Channel, go: int) -> None:
    try:
        os.setpgid(0, 0)
        image.warm()
        os.read(go, 1)
        if before is not None:
            before()
        image.execve(path)
    except Unready as unready:
        reports.send("unready", *channel.decode(unready.report)[1])
        os._exit(127)
    except OSError as error:
        reports.send("failed", str(error.errno))
        os._exit(127)


def _apart(descriptor: int) -> int:
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _APART)
