"""A session keyring of the container's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyoci.kernel import keyring
from tests.isolation import in_namespace


def sessions(name: str) -> list[str]:
    """Flags and permissions of the keyrings of that name, as /proc/keys shows them."""
    return [line.split()[4] for line in Path("/proc/keys").read_text().splitlines() if f" {name}:" in line]


@pytest.mark.root
def test_a_new_session_keyring_that_its_user_may_search() -> None:
    name = f"_ses.test-{os.getpid()}"

    def body() -> tuple[list[str], list[str]]:
        before = sessions(name)
        keyring.join_session(name)
        return before, sessions(name)

    before, after = in_namespace(body, 0)
    assert before == []
    [permissions] = after
    assert int(permissions, 16) & 0x080000, "KEY_USR_SEARCH"
