"""The loopback device of a new network namespace."""

from __future__ import annotations

import socket

import pytest

from pyoci.kernel.network import loopback_up
from tests.isolation import CLONE_NEWNET, CLONE_NEWUSER, in_namespace


def reachable() -> bool:
    with socket.socket() as server, socket.socket() as client:
        try:
            server.bind(("127.0.0.1", 0))
            server.listen()
            client.settimeout(5)
            client.connect(server.getsockname())
        except OSError:
            return False
        return True


@pytest.mark.root
@pytest.mark.parametrize("flags", [CLONE_NEWNET, CLONE_NEWNET | CLONE_NEWUSER])
def test_loopback_carries_connections(flags: int) -> None:
    def body() -> tuple[bool, bool]:
        before = reachable()
        loopback_up()
        loopback_up()
        return before, reachable()

    assert in_namespace(body, flags) == (False, True)
