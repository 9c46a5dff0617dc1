"""The messages that the runtime and the container's process exchange while the container is made.

A message is one packet of a SOCK_SEQPACKET pair: the kernel keeps the boundaries, so there is no length to get wrong
(CVE-2021-43784). Its text is a kind and a fixed number of fields, separated by NUL, which no field can contain.
End-of-file means that the other side has died.

    container -> runtime   unshared        stage 1 is in its user and time namespaces; its maps may be written
                           born PID        a helper has made the process; its pidfd comes along
                           listener        exec: that of the filter which stage 1 has loaded comes along
                           stage2 PID      the container's process exists; its pidfd comes along
                           map POINTER HOW ids of a detached mount, which comes along, are to be mapped: idmap or ridmap
                           mounted         mounts and devices are made; the root is not switched yet
                           console NAME    the pseudo-terminal's master comes along
                           identity NAMES  create: its namespaces and root come along (container/identity.py)
                           ready           everything is done but the last steps before execve(2)
                           waiting         the process no longer depends on the runtime
                           executing       exec: nothing is left but execve(2); end-of-file follows, or an error
                           warning TEXT    something to be told to the user; at any time
                           debug ...       with --debug, before each step until `waiting`: SIDE, STEP, POINTER, TEXT
                           error ...       a step failed: TYPE, POINTER, STEP, CALL, ERRNO, MESSAGE, HINT
    runtime -> container   go, hooked, created, mapped ERRNO

Where a helper hands a seccomp listener over, a second pair has agent, begin, arm and armed (steps/listener/), and hook,
listener and sent; a third one has born, failed and unready (steps/hooks/relay.py).
"""

from __future__ import annotations

import _socket
import select

from pyoci import os
from pyoci.errors import CloneError, Error, ExecuteError, HookError, StepError
from pyoci.kernel import rights
from pyoci.record import Record

FIELDS = {"unshared": 0, "stage2": 1, "mounted": 0, "console": 1, "ready": 0, "waiting": 0, "executing": 0}
FIELDS |= {"identity": 1, "error": 7, "warning": 1, "go": 0, "hooked": 0, "created": 0}
FIELDS |= {"born": 1, "agent": 1, "begin": 0, "arm": 0, "armed": 0}
FIELDS |= {"hook": 0, "listener": 0, "sent": 0, "failed": 1, "unready": 7}
FIELDS |= {"map": 2, "mapped": 1, "debug": 4}

_LIMIT = 65536  # bytes; above any message, far below the socket's buffer
_DESCRIPTORS = 8  # the most that come with one message
_FIELD_LIMIT = 2048  # characters of an error's field: six of them fit at four bytes each


_KINDS = {one.__name__: one for one in (HookError, StepError, CloneError, ExecuteError)}


class Closed(Exception):
    """The other side has ended."""


class Message(Record):
    """What receive() returns. descriptors: those that came along; they are the receiver's to close."""

    kind: str
    fields: tuple[str, ...] = ()
    descriptors: tuple[int, ...] = ()


class Channel:
    """One end of the pair."""

    def __init__(self, sock: _socket.socket) -> None:
        self._socket = sock

    def fileno(self) -> int:
        """The socket's descriptor, which stays the channel's."""
        return self._socket.fileno()

    def close(self) -> None:
        """The other side then reads end-of-file, unless a copy is open elsewhere."""
        self._socket.close()

    def adopt(self, descriptor: int) -> None:
        """Go on with `descriptor`, a copy of ours; ours has been closed behind the socket's back."""
        self._socket.detach()
        self._socket = _socket.socket(fileno=descriptor)

    def is_readable(self) -> bool:
        """Whether receive() would not wait."""
        poll = select.poll()
        poll.register(self._socket.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def send(self, kind: str, *fields: str, descriptors: tuple[int, ...] = ()) -> None:
        """Raises Closed when nobody listens any more."""
        data = encode(kind, fields)
        try:
            rights.send(self._socket, data, *descriptors)
        except (BrokenPipeError, ConnectionResetError):
            raise Closed from None

    def send_debug(self, side: str, step: str, pointer: str, text: str) -> None:
        """The message of --debug, for log.relay; long texts are cut. Raises Closed."""
        self.send("debug", *_cut(side, step, pointer, text))

    def receive(self) -> Message:
        """Wait for the next message. Raises Closed at end-of-file, and the error itself when the message is one."""
        try:
            data, descriptors = rights.receive(self._socket, _LIMIT + 1, _DESCRIPTORS)
        except ConnectionResetError:  # it died with a message of ours unread; what it said before comes after that
            data, descriptors = rights.receive(self._socket, _LIMIT + 1, _DESCRIPTORS)
        if not data:
            raise Closed
        try:
            name, fields = decode(data)
        except Error:
            for descriptor in descriptors:
                os.close(descriptor)
            raise
        if name == "error":
            raise decode_error(fields)
        return Message(kind=name, fields=fields, descriptors=descriptors)


def pair() -> tuple[Channel, Channel]:
    """The two ends, both close-on-exec."""
    kind = _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC
    one, other = _socket.socketpair(_socket.AF_UNIX, kind)
    return Channel(one), Channel(other)


def encode(kind: str, fields: tuple[str, ...]) -> bytes:
    """The packet of a message. Raises ValueError for one that the receiver would refuse, a bug of ours."""
    if FIELDS[kind] != len(fields):
        raise ValueError(f"{kind} has {FIELDS[kind]} fields, not {len(fields)}")
    if any("\0" in field for field in fields):
        raise ValueError(f"{kind}: a field holds NUL")
    data = "\0".join((kind, *fields)).encode("utf-8", "surrogateescape")
    if len(data) > _LIMIT:
        raise ValueError(f"{kind}: message of {len(data)} bytes")
    return data


def decode(data: bytes) -> tuple[str, tuple[str, ...]]:
    """Kind and fields of a packet. Raises Error for anything that encode() does not make."""
    kind, *fields = data.decode("utf-8", "surrogateescape").split("\0")
    if len(data) > _LIMIT or FIELDS.get(kind) != len(fields):
        raise Error("the container's process sent a message that is none of the protocol")
    return kind, tuple(fields)


def encode_error(error: Error) -> tuple[str, ...]:
    """The fields of the message "error"; texts that quote a long path are cut, so that they always fit."""
    fields = (error.pointer, error.step, error.call, str(error.errno), error.message, error.hint)
    return (type(error).__name__, *_cut(*fields))


def _cut(*fields: str) -> tuple[str, ...]:
    return tuple(field[:_FIELD_LIMIT].replace("\0", "") for field in fields)


def decode_error(fields: tuple[str, ...]) -> Error:
    """The error that the other side has sent, of the same kind; one of an unknown kind is an Error."""
    name, pointer, step, call, errno, message, hint = fields
    kind = _KINDS.get(name, Error)
    number = int(errno) if errno.isdecimal() else 0
    return kind(message, pointer=pointer, step=step, call=call, errno=number, hint=hint)
