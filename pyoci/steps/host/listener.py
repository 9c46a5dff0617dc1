"""A filter's listener, on the runtime's side: the agent is looked for, the helper told, or the listener sent."""

from __future__ import annotations

import _socket
from errno import EPROTOTYPE

from pyoci import os
from pyoci.steps.host.context import HostContext, HostStep
from pyoci.steps.listener.agent import POINTER, Agent, connect_to, unreachable
from pyoci.steps.listener.handover import Handover

_SPARE = 8  # descriptors above the program's that the container's process moves about while it gets ready


class FindAgent(HostStep):
    """Before there is anything to undo: somebody listens at the path, and we may connect.

    A datagram socket asks without making the agent a connection, which it would take for a container's.
    """

    pointer: str = POINTER
    path: str

    def describe(self) -> str:
        return f"find the seccomp agent at {self.path}"

    def execute(self, context: HostContext) -> None:
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
        try:
            connect_to(sock, self.path, shared=False)
            reason = EPROTOTYPE  # it takes datagrams: no stream socket
        except OSError as error:
            reason = error.errno or 0
            if reason == EPROTOTYPE:
                context.init.handover = Handover(context.init.preserved + _SPARE)
                context.undo.add(context.init.handover.close)
                return
        finally:
            sock.close()
        raise unreachable(self.path, reason)


class NameProcess(HostStep):
    """Tell the helper whom it will speak of."""

    pointer: str = POINTER

    def describe(self) -> str:
        return "tell the helper the process's number"

    def execute(self, context: HostContext) -> None:
        handover = context.init.handover
        assert handover is not None  # FindAgent has made it
        handover.near.send("agent", str(context.pid))
        handover.close()


class SendListener(HostStep):
    """exec, where stage 1 has loaded the filter and has given its listener to the runtime: nobody shares descriptors,
    and what the container can see of exec, and perhaps trace, has neither the listener nor the connection to the agent.

    Before the process goes on. What the filter allows is all that it does until its program begins."""

    pointer: str = POINTER
    agent: Agent

    def describe(self) -> str:
        return f"send the seccomp listener to {self.agent.path}"

    def execute(self, context: HostContext) -> None:
        sock = self.agent.connect(shared=False)
        try:
            self.agent.send(sock, context.listener, self.agent.container, context.pid)
        finally:
            sock.close()
        close_listener(context)  # the agent alone has it: when that ends, calls fail and do not wait for ever


def close_listener(context: HostContext) -> None:
    """Close the runtime's copy of the filter's listener, if there is one."""
    if context.listener >= 0:
        os.close(context.listener)
        context.listener = -1
