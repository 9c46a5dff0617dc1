"""process.apparmorProfile. No lane but the guest has AppArmor; here it is what procfs offers that decides."""

from __future__ import annotations

import os
from errno import EINVAL, ENOENT
from pathlib import Path

import pytest

from pyoci.errors import StepError
from pyoci.kernel import procfs
from pyoci.steps.security import SetAppArmorProfile
from pyoci.steps.step import Context
from tests.container.box import Box

ENABLED = Path("/sys/module/apparmor/parameters/enabled")


def apply(errno: int, has: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Which file is written; `errno` is what the kernel answers."""
    written: list[tuple[str, str]] = []
    for name in has:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    def write(proc: int, name: str, text: str) -> None:
        written.append((name, text))
        if errno:
            raise OSError(errno, os.strerror(errno))

    monkeypatch.setattr(procfs, "write", write)
    made = Context(None, None)  # type: ignore[arg-type]
    made.proc = os.open(tmp_path, os.O_PATH)
    try:
        SetAppArmorProfile(profile="engine-default").execute(made)
    finally:
        os.close(made.proc)
    return written


def test_the_file_of_apparmor_and_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = ("self/attr/apparmor/exec", "self/attr/exec")
    assert apply(0, both, tmp_path / "new", monkeypatch) == [("self/attr/apparmor/exec", "exec engine-default")]
    assert apply(0, both[1:], tmp_path / "old", monkeypatch) == [("self/attr/exec", "exec engine-default")]


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
    assert "unable to apply apparmor profile" in done.stderr
    assert "/process/apparmorProfile" in done.stderr
