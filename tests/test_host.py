"""What a plan needs to know about the machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyoci import host
from tests.isolation import CLONE_NEWUSER, in_namespace


def test_this_machine() -> None:
    found = host.read()
    assert (found.euid, found.egid) == (os.geteuid(), os.getegid())
    assert found.kcore == Path("/proc/kcore").exists()


@pytest.mark.root
def test_root_of_the_machine_and_of_a_user_namespace() -> None:
    """Ids 0 and a full map are no proof; the namespace's inode is."""
    assert host.read().privileged()
    for id_map in ("0 100000 65536\n", "0 0 4294967295\n"):
        found = in_namespace(host.read, CLONE_NEWUSER, id_map)
        assert (found.euid, found.user_namespace, found.privileged()) == (0, True, False)


@pytest.mark.root
def test_a_user() -> None:
    def body() -> host.Host:
        os.setresgid(1000, 1000, 1000)
        os.setresuid(1000, 1000, 1000)
        return host.read()

    found = in_namespace(body, 0)
    assert (found.euid, found.egid, found.user_namespace, found.privileged()) == (1000, 1000, False, False)
