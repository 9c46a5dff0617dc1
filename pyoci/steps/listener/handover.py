"""linux.seccomp.listenerPath: the agent gets the filter's listener (config-linux.md, "The Container Process State").

The process that loads the filter can send nothing afterwards: nothing but execve(2) may follow, and even that may be a
call which the agent has to answer. Nobody can fetch the descriptor either: the process is non-dumpable. So the runtime
makes a helper first, and the helper makes the container's process, with CLONE_FILES: the two have one table of
descriptors until execve(2), and what the filter's load returns in one of them the other can send. The helper stays on
the host's side, with the runtime's namespaces and identity, and waits for `start`. It ends as soon as the agent has the
listener: nothing that the program calls can be answered before. If the container's process ends first, so does the
helper.

With exec most filters do without all that: SendListener (steps/host/listener.py).

    runtime -> helper               agent PID   the container is created; its process in the runtime's namespace
    helper -> container's process   begin       the helper has done its part of making it (stage 1 says it to stage 2)
    container's process -> helper   arm         the filter comes next
    helper -> container's process   armed       connected to the agent; or an error

Each startContainer hook has a listener of its own, which a relay takes (steps/hooks/relay.py); the helper sends it:

    relay -> helper                 hook        a hook's filter comes next
    helper -> relay                 armed       connected to the agent; or an error
    relay -> helper                 listener    it comes along, and a pidfd of the hook; neither: the hook has ended
    helper -> relay                 sent        the agent has it; or an error
"""

from __future__ import annotations

import fcntl
import select
import time

from pyoci import channel, os
from pyoci.errors import StepError
from pyoci.kernel.process import has_ended

_PATIENCE = 15  # seconds for the helper, which has ten for the agent
_FIRST_PAUSE, _LONGEST_PAUSE = 0.0001, 0.005  # seconds, between two looks for the listener


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
        """Those that are open: what a process that takes part must keep."""
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
        return self.near.fileno() in _poll(self.near.fileno(), *helper, timeout=_PATIENCE)

    def next(self) -> channel.Message | None:
        """The next message for the helper; None once there is no container's process any more."""
        while True:
            ready = _poll(self.far.fileno(), self.process if self._only_process else self.cloned)
            if self.far.fileno() in ready:
                return self.far.receive()
            if self._only_process:
                return None
            self._only_process = True  # if what has ended was stage 1, there may be a stage 2


def ask(handover: Handover, kind: str, descriptors: tuple[int, ...] = ()) -> None:
    """Send a message to the helper and wait for its answer. Raises StepError: the one it answers, or of its end."""
    handover.near.send(kind, descriptors=descriptors)
    if not handover.answered():
        raise StepError(
            "the process that hands the seccomp listener over has ended",
            pointer="/linux/seccomp/listenerPath",
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
