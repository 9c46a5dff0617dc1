"""NOTIFY_SOCKET: pass the container's READY=1 on to whoever started us (sd_notify(3))."""

from __future__ import annotations

import _socket
import os
import select

from pyoci.container.state import Container
from pyoci.kernel.process import pidfd_open

_BARRIER_SECONDS = 30


def forward(container: Container) -> None:
    """Wait until the container says READY=1 or ends; tell the service manager, with the container's pid."""
    target = os.environ.get("NOTIFY_SOCKET", "")
    if not target:
        return
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    path = f"{container.root}/{container.id}/notify/notify.sock"
    try:
        sock.bind(path)
        os.chmod(path, 0o777)
        _relay(sock, target, container)
    finally:
        sock.close()


def _relay(sock: _socket.socket, target: str, container: Container) -> None:
    try:
        pidfd = pidfd_open(container.pid)
    except ProcessLookupError:
        return
    try:
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLIN)
        poll.register(pidfd, select.POLLIN)
        while True:
            ready = dict(poll.poll())
            if sock.fileno() in ready:
                for line in sock.recv(4096).split(b"\n"):
                    if line.startswith(b"READY="):
                        _tell(target, line, container.pid)
                        return
            elif pidfd in ready:
                return
    finally:
        os.close(pidfd)


def _tell(target: str, ready: bytes, pid: int) -> None:
    address = "\0" + target[1:] if target.startswith("@") else target
    sender = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        sender.connect(address)
        sender.send(ready + b"\nMAINPID=%d" % pid)
        reading, writing = os.pipe2(os.O_CLOEXEC)
        try:
            rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, writing.to_bytes(4, "little"))
            sender.sendmsg([b"BARRIER=1"], [rights])
        finally:
            os.close(writing)
        poll = select.poll()
        poll.register(reading, select.POLLIN)
        poll.poll(_BARRIER_SECONDS * 1000)
        os.close(reading)
    finally:
        sender.close()
