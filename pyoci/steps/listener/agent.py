"""The seccomp agent: reached at linux.seccomp.listenerPath, and given the listener of a filter with the container
process state (config-linux.md, "The Container Process State")."""

from __future__ import annotations

import _socket
import struct
from errno import ENAMETOOLONG

from pyoci import SPEC_VERSION, os
from pyoci.errors import StepError, system_call
from pyoci.jsonfile import dumps
from pyoci.kernel import rights
from pyoci.record import Record
from pyoci.steps.hooks.state import HookState

POINTER = "/linux/seccomp/listenerPath"

_LONGEST = 107  # bytes of a path in struct sockaddr_un
_PATIENCE = 10  # seconds for an agent that does not accept, or does not read


class Agent(Record):
    """Whom the listeners of a container's filter are for, and what it is told of the container.

    status: the container's in that state; container: the first process of the container that exec enters, 0 if it is
    the one that is being made.
    """

    path: str
    metadata: str
    state: HookState
    status: str
    container: int

    def connect(self, shared: bool) -> _socket.socket:
        """Connected to the agent. `shared`: see connect_to(). Raises StepError."""
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDTIMEO, struct.pack("ll", _PATIENCE, 0))
        try:
            connect_to(sock, self.path, shared)
        except OSError as error:
            sock.close()
            raise unreachable(self.path, error.errno or 0) from None
        return sock

    def send(self, sock: _socket.socket, listener: int, container: int, pid: int) -> None:
        """The state of the process `pid` of the container, and its listener. Raises StepError."""
        try:
            _send_all(sock, self.text(container, pid).encode("utf-8", "surrogateescape"), listener)
        except OSError as error:
            raise StepError(
                f"cannot send seccomp fd to {self.path}: {os.strerror(error.errno or 0).lower()}",
                pointer=POINTER,
                call=system_call(error),
                errno=error.errno or 0,
                hint="the agent has accepted the connection and did not read from it",
            ) from error

    def text(self, container: int, pid: int) -> str:
        """The container process state; both as the runtime sees them."""
        state: dict[str, object] = {"ociVersion": SPEC_VERSION, "fds": ["seccompFd"], "pid": pid}
        if self.metadata:
            state["metadata"] = self.metadata
        state["state"] = self.state.fields(self.status, container)
        return dumps(state)


def connect_to(sock: _socket.socket, path: str, shared: bool) -> None:
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


def unreachable(path: str, errno: int) -> StepError:
    """The error, in runc's words, for an agent that cannot be connected to."""
    return StepError(
        "failed to connect with seccomp agent specified in the seccomp profile: "
        f"dial unix {path}: connect: {os.strerror(errno).lower()}",
        pointer=POINTER,
        call=f'connect("{path}")',
        errno=errno,
        hint="SCMP_ACT_NOTIFY needs an agent that listens there on a stream socket, from create on",
    )


def _send_all(sock: _socket.socket, data: bytes, descriptor: int) -> None:
    sent = rights.send(sock, data, descriptor)
    if sent < len(data):
        sock.sendall(data[sent:], _socket.MSG_NOSIGNAL)
