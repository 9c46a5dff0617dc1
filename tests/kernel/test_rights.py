"""Descriptors that travel with a message."""

from __future__ import annotations

import os
import signal
import socket

import pytest

from pyoci.kernel import rights
from tests.isolation import in_namespace


def pair(kind: int = socket.SOCK_SEQPACKET) -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, kind)


@pytest.mark.parametrize("count", range(4))
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_copies_arrive_in_their_order(count: int, kind: int) -> None:
    files = [os.memfd_create(f"number {one}") for one in range(count)]
    ours, theirs = pair(kind)
    with ours, theirs:
        assert rights.send(ours, b"text", *files) == 4
        data, found = rights.receive(theirs, 100, most=3)
        assert data == b"text"
        assert [os.readlink(f"/proc/self/fd/{one}") for one in found] == [
            os.readlink(f"/proc/self/fd/{one}") for one in files
        ]
        assert not set(found) & set(files)
        assert not any(os.get_inheritable(one) for one in found)
    for one in (*files, *found):
        os.close(one)


def test_the_kernel_closes_what_there_is_no_room_for() -> None:
    before = os.listdir("/proc/self/fd")
    file = os.memfd_create("file")
    ours, theirs = pair()
    with ours, theirs:
        rights.send(ours, b"x", *[file] * 5)
        _, found = rights.receive(theirs, 1, most=2)
        assert len(found) == 2
    for one in (file, *found):
        os.close(one)
    assert os.listdir("/proc/self/fd") == before


def test_the_end_is_no_message() -> None:
    ours, theirs = pair()
    with theirs:
        ours.close()
        assert rights.receive(theirs, 1, most=1) == (b"", ())


def test_nobody_listens() -> None:
    def body() -> None:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        ours, theirs = pair()
        theirs.close()
        with pytest.raises(BrokenPipeError):
            rights.send(ours, b"x", 0)

    in_namespace(body, 0)
