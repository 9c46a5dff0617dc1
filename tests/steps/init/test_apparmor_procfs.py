"""process.apparmorProfile. No lane but the guest has AppArmor; here it is what procfs offers that decides."""

from __future__ import annotations

import os
from errno import EINVAL, ENOENT
from pathlib import Path
from typing import Any

import pytest

from pyoci.errors import StepError
from pyoci.kernel import procfs
from pyoci.steps.init import apparmor
from pyoci.steps.init.apparmor import SetAppArmorProfile
from pyoci.steps.init.context import InitContext, run
from tests.container.box import Box

ENABLED = Path("/sys/module/apparmor/parameters/enabled")


def apply(
    errno: int, has: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, current: str = "", **more: Any
) -> list[tuple[str, str]]:
    """Which file is written; `errno` is what the kernel answers, `current` what it says of the runtime itself."""
    written: list[tuple[str, str]] = []
    for name in has:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
        if current:
            (tmp_path / name).with_name("current").write_text(current)

    def write(proc: int, name: str, text: str) -> None:
        written.append((name, text))
        if errno:
            raise OSError(errno, os.strerror(errno))

    monkeypatch.setattr(procfs, "write", write)
    made = InitContext(None)  # type: ignore[arg-type]
    made.proc = os.open(tmp_path, os.O_PATH)
    try:
        run((SetAppArmorProfile(profile="engine-default", **more),), made)
    finally:
        os.close(made.proc)
    return written


def test_the_file_of_apparmor_and_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = ("self/attr/apparmor/exec", "self/attr/exec")
    assert apply(0, both, tmp_path / "new", monkeypatch) == [("self/attr/apparmor/exec", "exec engine-default")]
    assert apply(0, both[1:], tmp_path / "old", monkeypatch) == [("self/attr/exec", "exec engine-default")]


@pytest.mark.parametrize(
    ("current", "no_new_privileges", "verb"),
    [
        ("unconfined\n", True, "exec"),
        ("unconfined\n", False, "exec"),
        ("lxc-container-default (enforce)\n", False, "exec"),
        ("lxc-container-default (enforce)\n", True, "stack"),
        ("unconfined_foo (enforce)\n", True, "stack"),
        ("", True, "exec"),
    ],
)
def test_stacking(
    current: str, no_new_privileges: bool, verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Confined, and with no_new_privs, a process may only add to its own profile: all else fails in execve(2)."""
    has = ("self/attr/apparmor/exec",)
    [written] = apply(0, has, tmp_path, monkeypatch, current, no_new_privileges=no_new_privileges)
    assert written == (has[0], f"{verb} engine-default")


@pytest.mark.parametrize(
    ("parameter", "directory", "expected"),
    [("Y\n", False, True), ("Y", False, True), ("N\n", True, False), (None, False, False), (None, True, True)],
)
def test_enabled(
    parameter: str | None, directory: bool, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the module's parameter, one byte is enough; where /sys is hidden, by AppArmor's directory in procfs."""
    monkeypatch.setattr(apparmor, "_ENABLED", str(tmp_path / "enabled"))
    if parameter is not None:
        (tmp_path / "enabled").write_text(parameter)
    if directory:
        (tmp_path / "self/attr/apparmor").mkdir(parents=True)
    proc = os.open(tmp_path, os.O_PATH)
    try:
        assert apparmor.enabled(proc) is expected
    finally:
        os.close(proc)


@pytest.mark.parametrize(("errno", "reason"), [(ENOENT, "profile not loaded"), (EINVAL, "invalid argument")])
def test_runcs_words(errno: int, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """podman looks for them."""
    with pytest.raises(StepError) as caught:
        apply(errno, ("self/attr/exec",), tmp_path, monkeypatch)
    assert caught.value.message == f'unable to apply apparmor profile "engine-default": {reason}'
    assert (caught.value.pointer, caught.value.errno) == ("/process/apparmorProfile", errno)


@pytest.mark.root
@pytest.mark.skipif(ENABLED.exists(), reason="this kernel has AppArmor: the guest's tests load a profile")
def test_a_kernel_without_apparmor_refuses(box: Box) -> None:
    """A container never runs without the confinement that was asked for."""
    bundle = box.bundle("report", change=lambda config: config["process"].update(apparmorProfile="engine-default"))
    done = box("run", "--bundle", str(bundle), "apparmor")
    assert done.returncode == 1
    assert 'unable to apply apparmor profile \\"engine-default\\": apparmor is not enabled' in done.stderr
    assert "  pointer: /process/apparmorProfile" in done.stderr
