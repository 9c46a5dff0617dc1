"""ps: the processes of a container, and what the host's ps says about them."""

from __future__ import annotations

from errno import EACCES, ENOENT, EPERM

from pyoci import environment, os
from pyoci.cgroups import processes
from pyoci.cgroups.files import vanished
from pyoci.container import state
from pyoci.container.state import Container
from pyoci.errors import Error, os_error_text, system_call
from pyoci.kernel.ending import ending
from pyoci.kernel.execute import Image
from pyoci.kernel.process import wait_status
from pyoci.kernel.spawn import spawn
from pyoci.log import quote

DEFAULT = ("-ef",)
_CHUNK = 65536


def pids(root: str, id: str) -> list[int]:
    """The processes in the container's cgroup and below it, numbered by the host; none if it is gone. Raises Error.

    The first process is the container's wherever it has moved to.
    """
    container = state.load(root, id)
    try:
        cgroups = processes.own(container.cgroups, container.cgroup_ids) if container.cgroups_made else {}
        if not cgroups:
            return _without(container)
        found = processes.pids(cgroups)
        if container.pid not in found and state.is_alive(container.pid, container.start_time):
            found.append(container.pid)
        return found
    except OSError as error:
        if vanished(error) and state.status(container) == "stopped":
            return []
        raise Error(
            f"unable to get all container pids: {os_error_text(error)}",
            call=system_call(error),
            errno=error.errno or 0,
            hint="the container's cgroup cannot be read" if error.errno in (EACCES, EPERM) else "",
        ) from None


def _without(container: Container) -> list[int]:
    """A container without a cgroup of its own: nobody knows more than its first process."""
    if container.creating or not state.is_alive(container.pid, container.start_time):
        return []
    raise Error("unable to get all container pids: the container has no cgroup of its own", hint="see --rootless")


def listing(wanted: list[int], arguments: tuple[str, ...]) -> bytes:
    """The header line of `ps ARGUMENTS` and its lines about the processes `wanted`.

    They are told apart by the column PID, so that options without it are refused, in runc's words. Raises Error.
    """
    status, output = _run("ps", arguments or DEFAULT)
    if status:
        said = output.decode("utf-8", "backslashreplace")
        raise Error(f"{ending(status)}: {said}".rstrip("\n"))
    header, *lines = output.split(b"\n")
    if b"PID" not in header.split():
        raise Error(
            "couldn't find PID field in ps output", hint="without a header or a column PID, lines have no owner"
        )
    column = header.split().index(b"PID")
    own = frozenset(wanted)
    kept = [line for line in lines if line.strip() and _pid(line, column) in own]
    return b"".join(line + b"\n" for line in [header, *kept])


def _pid(line: bytes, column: int) -> int:
    fields = line.split()
    text = fields[column] if column < len(fields) else b""
    if not text.isdigit():
        shown = quote(text.decode("utf-8", "backslashreplace"))
        raise Error(f"unable to parse pid: strconv.Atoi: parsing {shown}: invalid syntax")
    return int(text)


def _run(name: str, arguments: tuple[str, ...]) -> tuple[int, bytes]:
    """Wait status and all output of a program found along PATH, in our environment."""
    inherited = tuple(f"{key}={value}" for key, value in environment.variables().items())
    image = Image((name, *arguments), inherited)
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        try:
            pid, pidfd = spawn(_find(name), image, (null, writing, writing))
        finally:
            os.close(null)
            os.close(writing)
        os.close(pidfd)
        parts = []
        while part := os.read(reading, _CHUNK):
            parts.append(part)
    finally:
        os.close(reading)
    return wait_status(pid) or 0, b"".join(parts)


def _find(name: str) -> bytes:
    """The program along PATH. Raises Error."""
    path = environment.find_program(name)
    if not path:
        raise Error(
            f'exec: "{name}": executable file not found in $PATH', errno=ENOENT, hint="install procps, or use json"
        )
    return os.fsencode(path)
