"""exec, where stage 1 can load the filter: its listener goes to the runtime, which hands it over to the agent.

Nobody shares descriptors then, and what the container can see of exec, and perhaps trace, has neither the listener nor
the connection to the agent.
"""

from __future__ import annotations

from pyoci import os
from pyoci.steps.listener.listener import HandOverListener
from pyoci.steps.step import Context, Step


class SendListener(Step):
    """Before the process goes on. What the filter allows is all that it does until its program begins."""

    pointer: str = "/linux/seccomp/listenerPath"
    handover: HandOverListener

    def describe(self) -> str:
        return f"send the seccomp listener to {self.handover.path}"

    def execute(self, context: Context) -> None:
        if context.listener < 0:
            return  # the empty object is no filter
        sock = self.handover.connect(shared=False)
        try:
            self.handover.send(sock, context.listener, self.handover.container, context.pid)
        finally:
            sock.close()
        close_listener(context)  # the agent alone has it: when that ends, calls fail and do not wait for ever


def close_listener(context: Context) -> None:
    if context.listener >= 0:
        os.close(context.listener)
        context.listener = -1
