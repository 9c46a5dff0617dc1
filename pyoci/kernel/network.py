"""netdevice(7): bring the loopback device up."""

from __future__ import annotations

import _socket
import fcntl
import struct

from pyoci.kernel.constants import IFF_UP

_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914


def loopback_up() -> None:
    """Set IFF_UP on `lo` of this network namespace, by one ioctl pair: importing a netlink library costs 120 ms."""
    sock = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        request = struct.pack("16sH22x", b"lo", 0)
        flags = struct.unpack("16sH22x", fcntl.ioctl(sock.fileno(), _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(sock.fileno(), _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | IFF_UP))
    finally:
        sock.close()
