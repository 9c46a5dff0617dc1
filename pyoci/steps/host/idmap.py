"""User namespace mappings, written by the runtime: for the container and for id-mapped mounts (user_namespaces(7))."""

from __future__ import annotations

from errno import EPERM

from pyoci import environment, os
from pyoci.config.namespaces import IdMapping
from pyoci.errors import Error, StepError
from pyoci.kernel import procfs, textfile
from pyoci.kernel.clone import clone
from pyoci.kernel.constants import CLONE_NEWUSER, SIGKILL
from pyoci.kernel.execute import Image
from pyoci.kernel.process import pidfd_send_signal, wait_status
from pyoci.kernel.spawn import spawn
from pyoci.steps.host.context import HostContext, HostStep
from pyoci.steps.step import failed

_HELPERS = {"uid": "newuidmap", "gid": "newgidmap"}


class WriteIdMappings(HostStep):
    """Write uid_map and gid_map of the container's process; unprivileged, with newuidmap(1) and newgidmap(1).

    An unprivileged runtime that maps nothing but its own group must forbid setgroups(2) first.
    """

    pointer: str = "/linux/uidMappings"
    uid_mappings: tuple[IdMapping, ...]
    gid_mappings: tuple[IdMapping, ...]
    deny_setgroups: bool
    helpers: bool  # unprivileged: direct writing may be refused

    def describe(self) -> str:
        return f"map uids {text(self.uid_mappings, '; ')} and gids {text(self.gid_mappings, '; ')}"

    def execute(self, context: HostContext) -> None:
        if self.deny_setgroups:
            procfs.write(context.proc, f"{context.pid}/setgroups", "deny")
        for kind, mappings in (("uid", self.uid_mappings), ("gid", self.gid_mappings)):
            self._write(context, kind, mappings)

    def _write(self, context: HostContext, kind: str, mappings: tuple[IdMapping, ...]) -> None:
        try:
            procfs.write(context.proc, f"{context.pid}/{kind}_map", text(mappings, "\n"))
        except OSError as error:
            if error.errno != EPERM:
                raise
            if not self.helpers:
                raise self._refused(context, kind, error) from None
            self._help(kind, context.pid, mappings)

    def _refused(self, context: HostContext, kind: str, error: OSError) -> StepError:
        """Root may map all that it has itself; a range that is two of its own has to be written as two."""
        failure = failed(self, error)
        failure.pointer = f"/linux/{kind}Mappings"
        own = "; ".join(_ranges(f"self/{kind}_map", context.proc))
        failure.hint = (
            f"each range of the host's ids must lie in one range of the runtime's own namespace, which has {own}"
        )
        return failure

    @staticmethod
    def _help(kind: str, pid: int, mappings: tuple[IdMapping, ...]) -> None:
        name = _HELPERS[kind]
        path = environment.find_program(name)
        if not path:
            raise Error(
                f"cannot map {kind}s: {name} is not installed",
                pointer=f"/linux/{kind}Mappings",
                hint="install the package uidmap, or map only your own id",
            )
        arguments = (name, str(pid), *text(mappings, " ").split(" "))
        inherited = tuple(f"{name}={value}" for name, value in environment.variables().items() if name == "PATH")
        reading, writing = os.pipe2(os.O_CLOEXEC)
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        try:
            child, pidfd = spawn(os.fsencode(path), Image(arguments, inherited, spare=0), (null, writing, writing))
        finally:
            os.close(writing)
            os.close(null)
        os.close(pidfd)
        with open(reading, "rb") as file:
            said = file.read(4096).decode("utf-8", "backslashreplace").strip()
        if os.waitpid(child, 0)[1] != 0:
            raise Error(
                f"cannot map {kind}s: {name}: {said}",
                pointer=f"/linux/{kind}Mappings",
                hint=f"the ranges must be allowed in /etc/sub{kind}",
            )


def _ranges(file: str, proc: int) -> list[str]:
    """The lines of a uid_map or gid_map, with one blank between the numbers."""
    return [b" ".join(line.split()).decode() for line in textfile.lines(textfile.read(file, proc))]


def text(mappings: tuple[IdMapping, ...], separator: str) -> str:
    """Mappings as uid_map takes them: "container host size" each."""
    return separator.join(f"{one.container_id} {one.host_id} {one.size}" for one in mappings)


class CheckIdMappings(HostStep):
    """Mappings beside the path of a user namespace have to be those that it has. What is not given is not compared."""

    pointer: str = "/linux/uidMappings"
    uid_mappings: tuple[IdMapping, ...]
    gid_mappings: tuple[IdMapping, ...]

    def describe(self) -> str:
        return "compare the id mappings with those of the joined user namespace"

    def execute(self, context: HostContext) -> None:
        for kind, mappings in (("uid", self.uid_mappings), ("gid", self.gid_mappings)):
            found = sorted(_ranges(f"{context.pid}/{kind}_map", context.proc))
            if mappings and found != sorted(text((one,), "") for one in mappings):
                raise StepError(
                    "user namespaces enabled, but both namespace path and non-matching mapping specified"
                    " -- you may only provide one",
                    pointer=f"/linux/{kind}Mappings",
                    hint=f"the namespace has {'; '.join(found) or 'no mappings'}",
                )


class OpenIdMapping(HostStep):
    """A user namespace that only holds mappings, for an id-mapped mount.

    `joined`: the pointer of the container's, if that one is joined, and open; its name may lead elsewhere by now.
    """

    uid_mappings: tuple[IdMapping, ...]
    gid_mappings: tuple[IdMapping, ...]
    joined: str = ""

    def describe(self) -> str:
        if self.joined:
            return "take the mappings of the user namespace that is joined"
        return f"prepare mappings of uids {text(self.uid_mappings, '; ')} and gids {text(self.gid_mappings, '; ')}"

    def execute(self, context: HostContext) -> None:
        if self.joined:
            context.init.descriptors[self.pointer] = context.init.descriptors[self.joined]
            return
        descriptor = self._make(context)
        context.undo.add(os.close, descriptor)
        context.init.descriptors[self.pointer] = descriptor

    def _make(self, context: HostContext) -> int:
        reading, writing = os.pipe2(os.O_CLOEXEC)

        def wait() -> None:
            os.close(writing)
            os.read(reading, 1)  # until the runtime has opened the namespace, or has died

        pid, pidfd = clone(wait, CLONE_NEWUSER)
        try:
            for kind, mappings in (("uid", self.uid_mappings), ("gid", self.gid_mappings)):
                procfs.write(context.proc, f"{pid}/{kind}_map", text(mappings, "\n"))
            return os.open(f"{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC, dir_fd=context.proc)
        finally:
            os.close(reading)
            os.close(writing)
            pidfd_send_signal(pidfd, SIGKILL)
            os.close(pidfd)
            wait_status(pid)
