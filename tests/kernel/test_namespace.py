"""setns(2), unshare(2), and whether we are in the initial user namespace."""

from __future__ import annotations

import os
import socket
from errno import EINVAL

import pytest

from pyoci.kernel import namespace
from pyoci.kernel.constants import INITIAL_USER_INODE
from tests.isolation import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    in_namespace,
    user_namespace,
)

pytestmark = pytest.mark.root


def kind(name: str) -> str:
    return os.readlink(f"/proc/self/ns/{name}")


def test_unshare_leaves_only_what_is_named() -> None:
    before = kind("uts"), kind("ipc"), kind("net")

    def body() -> tuple[bool, bool, bool]:
        namespace.unshare(CLONE_NEWUTS | CLONE_NEWIPC)
        return kind("uts") != before[0], kind("ipc") != before[1], kind("net") != before[2]

    assert in_namespace(body, 0) == (True, True, False)


def test_join_comes_back() -> None:
    def body() -> tuple[str, str]:
        home = os.open("/proc/self/ns/uts", os.O_RDONLY)
        namespace.unshare(CLONE_NEWUTS)
        socket.sethostname("elsewhere")
        there = socket.gethostname()
        namespace.join(home, CLONE_NEWUTS)
        return there, socket.gethostname()

    assert in_namespace(body, 0) == ("elsewhere", socket.gethostname())


def test_a_namespace_of_another_kind_is_refused() -> None:
    """The file at a path of config.json decides nothing: the type does."""

    def body() -> None:
        namespace.join(os.open("/proc/self/ns/uts", os.O_RDONLY), CLONE_NEWNET)

    with pytest.raises(OSError, match="Invalid argument") as caught:
        in_namespace(body, 0)
    assert caught.value.errno == EINVAL
    assert caught.value.__notes__[0].startswith("setns(")


def test_the_initial_user_namespace() -> None:
    assert in_namespace(namespace.in_user_namespace, CLONE_NEWUSER)
    # A full map proves nothing.
    assert in_namespace(namespace.in_user_namespace, CLONE_NEWUSER, "0 0 4294967295\n")
    if kind("user") == f"user:[{INITIAL_USER_INODE}]":
        assert not namespace.in_user_namespace()


def test_join_a_user_namespace() -> None:
    descriptor = user_namespace("0 5000 10\n")

    def body() -> str:
        namespace.join(descriptor, CLONE_NEWUSER)
        with open("/proc/self/uid_map") as file:
            return " ".join(file.read().split())

    assert in_namespace(body, 0) == "0 5000 10"
    os.close(descriptor)


def test_the_kind_of_what_is_open() -> None:
    found = {}
    for name in ("user", "net", "uts", "mnt"):
        descriptor = os.open(f"/proc/self/ns/{name}", os.O_RDONLY)
        found[name] = namespace.kind(descriptor)
        os.close(descriptor)
    assert found == {"user": CLONE_NEWUSER, "net": CLONE_NEWNET, "uts": CLONE_NEWUTS, "mnt": CLONE_NEWNS}
    for one in (*os.pipe(), os.open("/", os.O_RDONLY), os.open("/dev/null", os.O_RDONLY)):
        assert namespace.kind(one) == 0
        os.close(one)
