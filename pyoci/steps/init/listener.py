"""A filter's listener, in the container's process and its helper (steps/listener/handover.py has the whole)."""

from __future__ import annotations

import _socket

from pyoci import channel, os
from pyoci.errors import Error, StepError
from pyoci.kernel import textfile
from pyoci.kernel.constants import SIGKILL
from pyoci.kernel.process import pidfd_send_signal
from pyoci.steps.init.context import InitContext, InitStep
from pyoci.steps.init.launch import report_error
from pyoci.steps.listener.agent import POINTER, Agent
from pyoci.steps.listener.handover import Handover, appears, ask, lowest_free


class ArmListener(InitStep):
    """Have the helper connect to the agent. From here on no descriptor is opened but the listener."""

    pointer: str = POINTER

    def describe(self) -> str:
        return "have the helper connect to the seccomp agent"

    def execute(self, context: InitContext) -> None:
        assert context.handover is not None
        ask(context.handover, "arm")


class HandOverListener(InitStep):
    """In the helper: wait for `arm`, connect, wait for the listener, send it with the container process state."""

    pointer: str = POINTER
    agent: Agent
    keep: int  # where the process has the fifo that `start` reads, or the channel that exec does

    def describe(self) -> str:
        return f"hand the seccomp listener over to {self.agent.path}"

    def execute(self, context: InitContext) -> None:
        handover = context.handover
        assert handover is not None
        pid = 0
        while (message := handover.next()) is not None:
            if message.kind == "agent":
                pid = int(message.fields[0])
                continue
            try:
                sock = self.agent.connect(shared=True)
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
                self.agent.send(sock, listener, pid, _pid_of(process))
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
            sock.close()
        handover.far.send("sent")

    def _hand_over(
        self, context: InitContext, handover: Handover, sock: _socket.socket, listener: int, pid: int
    ) -> None:
        """Both descriptors are closed in the process too, if it still waits in execve(2): the agent alone holds it."""
        try:
            if appears(listener, handover.process):
                self.agent.send(sock, listener, self.agent.container or pid, pid)
                os.close(listener)
        except StepError as failure:
            self._report(context, failure)
            pidfd_send_signal(handover.process, SIGKILL)  # its calls would fail one by one
        finally:
            sock.close()

    def _report(self, context: InitContext, failure: StepError) -> None:
        """In the place of the process, which may already be its program."""
        fields = channel.encode_error(failure)
        if self.agent.container:
            context.channel.adopt(self.keep)
            context.channel.send("error", *fields)
        else:
            context.descriptors["start"] = self.keep
            report_error(context, fields)


def _pid_of(pidfd: int) -> int:
    """The process behind it, as the runtime sees it; -1: it has been reaped."""
    fields = dict(line.split(b":", 1) for line in textfile.lines(textfile.read(f"/proc/self/fdinfo/{pidfd}")))
    return int(fields[b"Pid"])
