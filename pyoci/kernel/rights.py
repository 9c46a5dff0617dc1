"""Open descriptors that travel with a message of a Unix socket: SCM_RIGHTS of unix(7)."""

from __future__ import annotations

import _socket
import struct

_SIZE = 4  # of an int, which a descriptor is


def send(sock: _socket.socket, data: bytes, *descriptors: int) -> int:
    """One message and copies of these descriptors; how many bytes of `data` were taken, which a stream may cut short.

    Whoever has closed the other end makes it an OSError (EPIPE) and no SIGPIPE.
    """
    rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack(f"{len(descriptors)}i", *descriptors))]
    return sock.sendmsg([data], rights if descriptors else [], _socket.MSG_NOSIGNAL)


def receive(sock: _socket.socket, size: int, most: int) -> tuple[bytes, tuple[int, ...]]:
    """The next message, of at most `size` bytes, and the descriptors that came along, close-on-exec.

    There is room for `most` of them; the kernel closes the others. b"" and none at end-of-file.
    """
    data, ancillary, _, _ = sock.recvmsg(size, _socket.CMSG_LEN(most * _SIZE), _socket.MSG_CMSG_CLOEXEC)
    found: tuple[int, ...] = ()
    for level, kind, content in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            found += struct.unpack(f"{len(content) // _SIZE}i", content)
    return data, found
