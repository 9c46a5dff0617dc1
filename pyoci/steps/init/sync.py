"""The points where the container's process and the runtime wait for each other."""

from __future__ import annotations

from pyoci import os
from pyoci.errors import Error
from pyoci.kernel import prctl
from pyoci.log import log
from pyoci.steps.init.context import InitContext, InitStep


class Send(InitStep):
    """Tell the runtime how far we are."""

    kind: str

    def describe(self) -> str:
        return f"tell the runtime: {self.kind}"

    def execute(self, context: InitContext) -> None:
        context.channel.send(self.kind)


class Await(InitStep):
    """Wait until the runtime has done its part. End-of-file: it died, and so do we."""

    kind: str

    def describe(self) -> str:
        return f"wait for the runtime: {self.kind}"

    def execute(self, context: InitContext) -> None:
        message = context.channel.receive()
        if message.kind != self.kind:
            raise Error(f"the runtime said {message.kind!r} instead of {self.kind!r}")


class MakeUndumpable(InitStep):
    """Make the process non-dumpable before anything that it did not make can see it (CVE-2016-9962)."""

    def describe(self) -> str:
        return "make the process non-dumpable"

    def execute(self, context: InitContext) -> None:
        prctl.set_dumpable(False)


class Detach(InitStep):
    """Live on without the runtime: no death with the parent, no channel."""

    def describe(self) -> str:
        return "detach from the runtime"

    def execute(self, context: InitContext) -> None:
        log.silence()
        prctl.set_parent_death_signal(0)
        context.channel.send("waiting")
        context.channel.close()


class StartSession(InitStep):
    """Lead a session of our own: the caller's terminal is not ours (CVE-2016-10124)."""

    def describe(self) -> str:
        return "start a session"

    def execute(self, context: InitContext) -> None:
        os.setsid()
