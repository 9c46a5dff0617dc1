"""A container's session keyring is new. keyctl(2) finds keyrings by name, and anybody may make one beforehand."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pyoci.kernel import keyring
from tests.container.exec.started import report_of_init, seen
from tests.isolation import in_namespace
from tests.security.harness import Arena
from tests.security.hostile.program import NOTHING, attack

pytestmark = pytest.mark.root

# keyctl_setperm(3): of the possessor and of the user all but to change permissions; and but to view or to search.
NO_CHANGE, NO_VIEW, NO_SEARCH = 0x1F1F0000, 0x1E1E0000, 0x17170000
REVOKED = 0

SYS_ADD_KEY, SYS_KEYCTL = {"x86_64": (248, 250), "aarch64": (217, 219)}[os.uname().machine]
JOIN, SETPERM, SESSION, ANYBODY = 1, 5, -3, 0x3F3F3F3F


@contextmanager
def planted(name: str, uid: int) -> Iterator[str]:
    """While inside, the user has a keyring of that name that anybody may do anything with. Its serial number."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setresuid(uid, uid, uid)
            call = ctypes.CDLL(None, use_errno=True).syscall
            serial = call(SYS_KEYCTL, JOIN, name.encode())
            assert call(SYS_ADD_KEY, b"user", b"ticket", b"forged", 6, SESSION) > 0
            assert call(SYS_KEYCTL, SETPERM, serial, ANYBODY) == 0
            os.write(writing, str(serial).encode())
            signal.pause()
        finally:
            os._exit(1)
    try:
        yield os.read(reading, 32).decode()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reading)
        os.close(writing)


def serial_of(name: str) -> str:
    """The keyring that a process gets that joins one by its name, in a process of its own."""

    def body() -> str:
        keyring.join_session(name)
        return str(ctypes.CDLL(None).syscall(SYS_KEYCTL, 0, SESSION, 0))

    return in_namespace(body, 0)


def started(arena: Arena) -> Path:
    bundle = arena.bundle("/reporter", "report-to", "/init", ",", "sleep")
    done = arena("run", "--detach", "--bundle", str(bundle), "c")
    assert (done.returncode, done.stderr) == (0, "")
    return bundle


@pytest.mark.parametrize("uid", [12345, 0])
def test_a_keyring_that_somebody_has_made_before(arena: Arena, uid: int) -> None:
    with planted("_ses.c", uid) as serial:
        assert serial_of("_ses.c") == serial, "the trap is one"
        container = report_of_init(started(arena))
        assert str(container["session_keyring"]) != serial
        assert container["session_keyring_description"].split(";")[1] == "0"
        assert seen(arena)["session_keyring"] == container["session_keyring"]


def test_two_containers_of_one_name(arena: Arena, tmp_path: Path) -> None:
    """Below two roots, as two engines have them. exec finds the one of its own container."""
    first, other = arena.root, tmp_path / "other"
    bundles = {first: started(arena)}
    other.mkdir(mode=0o700)
    arena.root = other
    try:
        bundles[other] = started(arena)
        keyrings = {}
        for arena.root, bundle in bundles.items():
            keyrings[arena.root] = report_of_init(bundle)["session_keyring"]
            assert seen(arena)["session_keyring"] == keyrings[arena.root]
        assert keyrings[first] != keyrings[other]
    finally:
        arena.root = other
        arena("delete", "--force", "c")
        arena.root = first


def test_what_was_seen_after_create_changes_nothing(arena: Arena) -> None:
    """The older one of two with the same name is found, and that is the container's."""
    started(arena)
    container = seen(arena)
    name = str(container["session_keyring_description"]).split(";")[-1]
    with planted(name, 12345) as serial:
        assert serial != str(container["session_keyring"])
        assert seen(arena)["session_keyring"] == container["session_keyring"]


def without_capabilities(config: dict[str, Any]) -> None:
    """Root without any: what a keyring allows its user is all that counts."""
    config["process"]["capabilities"] = {}


@pytest.mark.parametrize("action", [NOTHING, *(f"keyring={bits:x}" for bits in (NO_CHANGE, NO_VIEW))])
def test_permissions_that_the_container_has_taken_away(arena: Arena, action: str) -> None:
    """Nothing is asked of the keyring but to join it: else every exec failed."""
    attack(arena, action, "say", change=without_capabilities)
    serials = []
    for _ in range(2):
        found = in_the_container(arena)
        serials.append(found["session_keyring"])
        assert serials[-1] != own_serial()
    assert serials[0] == serials[1]


@pytest.mark.parametrize("bits", [NO_SEARCH, REVOKED])
def test_a_keyring_that_cannot_be_joined_any_more(arena: Arena, bits: int) -> None:
    """exec has a new one then, and never the caller's."""
    attack(arena, f"keyring={bits:x}", "say", change=without_capabilities)
    first, second = in_the_container(arena), in_the_container(arena)
    assert first["session_keyring"] != own_serial() != second["session_keyring"]
    for found in (first, second):
        assert ";_ses.c." in found["session_keyring_description"]


def in_the_container(arena: Arena) -> dict[str, Any]:
    bundle = arena.root / "c"
    rootfs = Path(json.loads((bundle / "state.json").read_text())["config"]["rootfs"])
    shutil.copy(arena.reporter, rootfs / "reporter")
    return seen(arena)


def own_serial() -> int:
    """The test's, and so the caller's."""
    return int(ctypes.CDLL(None).syscall(SYS_KEYCTL, 0, SESSION, 0))
