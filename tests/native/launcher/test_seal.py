"""The commands that make containers run from an executable through which the host's cannot be changed
(the launcher's part)."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.native.launcher.conftest import Installation
from tests.native.launcher.kernel import refuse

SEALED = [
    ["create"],
    ["run"],
    ["exec"],
    ["restore"],
    ["--root", "/state", "create", "c"],
    ["--root", "state", "run", "c"],
    ["-root", "state", "run", "c"],
    ["--root=state", "run", "c"],
    ["--log", "/log", "--log-format", "json", "--systemd-cgroup", "--debug", "exec", "c"],
    ["--rootless", "true", "create"],
    ["--rootless=auto", "create"],
    ["--", "create"],
    ["--debug=false", "--", "run"],
]
NOT_SEALED = [
    [],
    ["state", "create"],
    ["kill", "run"],
    ["--version"],
    ["--root", "create", "state", "c"],
    ["--log", "run", "delete"],
    ["--", "state", "create"],
    ["-", "create"],
    ["--root"],
    ["list", "--", "run"],
    ["creat"],
    ["created"],
    [""],
]
F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE, F_SEAL_EXEC = 1, 2, 4, 8, 0x20
ALL = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE

Install = Callable[..., Installation]


@pytest.mark.parametrize("words", SEALED, ids=" ".join)
def test_sealed(installation: Installation, words: list[str]) -> None:
    seen = installation.run(*words)
    assert seen["env"]["PYOCI_SEALED"] in ("overlay", "memfd")
    assert seen["argv"] == words


@pytest.mark.parametrize("words", NOT_SEALED, ids=" ".join)
def test_not_sealed(installation: Installation, words: list[str]) -> None:
    seen = installation.run(*words)
    assert "PYOCI_SEALED" not in seen["env"]
    assert seen["exe"] == seen["cmdline"][0]
    assert seen["argv"] == words


@pytest.mark.root
def test_overlay_is_detached(installation: Installation) -> None:
    """On a mount that is in nobody's list; the host's list does not change while it exists."""
    before = Path("/proc/self/mountinfo").read_text()
    with subprocess.Popen([installation.program, "create", "wait"], stdin=-1, stdout=-1) as child:
        assert child.stdin is not None and child.stdout is not None
        seen = json.loads(child.stdout.readline())
        assert Path("/proc/self/mountinfo").read_text() == before
        child.stdin.close()
    assert seen["env"]["PYOCI_SEALED"] == "overlay"
    assert seen["exe_mount"] not in seen["mounts"]


def run_memfd(install: Install) -> dict[str, Any]:
    return install().run("create", preexec_fn=lambda: refuse("fsopen"))


def test_memory_copy_where_mounting_is_refused(install: Install) -> None:
    seen = run_memfd(install)
    assert seen["env"]["PYOCI_SEALED"] == "memfd"
    assert seen["exe"].startswith("/memfd:pyoci")
    assert seen["seals"] & ALL == ALL


def test_memory_copy_cannot_become_unexecutable_or_writable(install: Install) -> None:
    version = tuple(int(part) for part in os.uname().release.split(".")[:2])
    expected = F_SEAL_EXEC if version >= (6, 3) else 0
    assert run_memfd(install)["seals"] & F_SEAL_EXEC == expected


@pytest.mark.root
def test_memory_copy_for_an_ordinary_user(installation: Installation) -> None:
    seen = installation.run("create", user=65534, group=65534, extra_groups=[])
    assert seen["env"]["PYOCI_SEALED"] == "memfd"


def test_memory_copy_by_build_option(install: Install) -> None:
    installation = install("lib/python3/dist-packages", "ONLY_MEMFD=1")
    assert installation.run("create")["env"]["PYOCI_SEALED"] == "memfd"


def test_no_way_of_sealing_is_an_error(installation: Installation) -> None:
    """Never unsealed; and a command that needs no sealing is not affected."""
    text = installation.refused("create", preexec_fn=lambda: refuse("fsopen", "memfd_create"))
    assert text.startswith("pyoci: cannot seal the interpreter, refusing to run unsealed")
    assert text.endswith(": Operation not permitted\n")
    installation.run("state", preexec_fn=lambda: refuse("fsopen", "memfd_create"))


def overwrite(installation: Installation, *words: str, refused: tuple[str, ...] = ()) -> tuple[bool, bool]:
    """Attacks /proc/PID/exe as CVE-2019-5736 does: held by a descriptor, written when the program has ended.

    Returns whether a write succeeded, and whether the interpreter's file is unchanged."""
    interpreter = installation.own_interpreter()
    before = hashlib.sha256(interpreter.read_bytes()).digest()
    process = subprocess.Popen(
        [installation.program, *words, "wait"],
        stdin=-1,
        stdout=-1,
        preexec_fn=lambda: refuse(*refused) if refused else None,
    )
    with process as child:
        assert child.stdin is not None and child.stdout is not None
        child.stdout.readline()
        held = os.open(f"/proc/{child.pid}/exe", os.O_PATH)
        child.stdin.close()
    try:
        writable = os.open(f"/proc/self/fd/{held}", os.O_WRONLY)
        os.write(writable, b"#!/bin/evil")
        os.close(writable)
        written = True
    except OSError:
        written = False
    try:
        os.close(os.open(f"/proc/self/fd/{held}", os.O_WRONLY | os.O_TRUNC))
    except OSError:
        pass
    os.close(held)
    return written, hashlib.sha256(interpreter.read_bytes()).digest() == before


@pytest.mark.root
def test_overlay_cannot_be_written(installation: Installation) -> None:
    assert overwrite(installation, "create") == (False, True)


def test_memory_copy_cannot_be_written(installation: Installation) -> None:
    assert overwrite(installation, "create", refused=("fsopen",)) == (False, True)


def test_the_attack_works_on_an_unsealed_program(installation: Installation) -> None:
    """Control: without it the two tests above would prove nothing."""
    assert overwrite(installation, "state") == (True, False)
