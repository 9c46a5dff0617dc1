"""AppArmor on a kernel that has it: the guest's."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.container.box import Box
from tests.container.exec.started import process_file
from tests.steps.look import Change, changes, parse, process, writable

pytestmark = [pytest.mark.root, pytest.mark.guest]

PROFILES = """
profile pyoci-inner flags=(attach_disconnected, mediate_deleted) {
  file,
  network,
  capability,
  signal,
  deny /forbidden w,
}
profile pyoci-outer flags=(attach_disconnected, mediate_deleted) {
  file,
  network,
  capability,
  signal,
  ptrace,
  unix,
  userns,
  mount,
  remount,
  umount,
  pivot_root,
  change_profile,
}
"""


@pytest.fixture(scope="module", autouse=True)
def profiles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    file = tmp_path_factory.mktemp("apparmor") / "profiles"
    file.write_text(PROFILES)
    subprocess.run(["apparmor_parser", "--replace", "--skip-cache", file], check=True)
    yield
    subprocess.run(["apparmor_parser", "--remove", file], check=True)


def confined(name: str, no_new_privileges: bool = True) -> Change:
    return changes(process(apparmorProfile=name, noNewPrivileges=no_new_privileges), writable)


@pytest.mark.parametrize("no_new_privileges", [True, False])
def test_the_program_has_the_profile(box: Box, no_new_privileges: bool) -> None:
    """From execve(2) on, and it is enforced."""
    words = ("report", ",", "try", "open", "/forbidden", "create", ",", "try", "open", "/allowed", "create")
    bundle = box.bundle(*words, change=confined("pyoci-inner", no_new_privileges))
    done = box("run", "--bundle", str(bundle), "a")
    assert (done.returncode, done.stderr) == (0, "")
    seen, forbidden, allowed = parse(done)
    assert seen["label"] == "pyoci-inner (enforce)"
    assert (forbidden["error"], allowed["errno"]) == ("EACCES", 0)


@pytest.mark.parametrize("name", ["pyoci-nobody", "pyoci-inner x", "unconfined_foo", "pyoci-inner//&pyoci-nobody"])
def test_a_profile_that_is_not_loaded(box: Box, name: str) -> None:
    """Also names that begin like one that is, or like none."""
    done = box("run", "--bundle", str(box.bundle("report", change=confined(name))), "a")
    said = done.stderr.splitlines()
    assert done.returncode == 1
    assert f'unable to apply apparmor profile \\"{name}\\": profile not loaded"' in said[0]
    assert "  pointer: /process/apparmorProfile" in said
    assert os.listdir(box.root) == []


@pytest.mark.parametrize(
    ("no_new_privileges", "label"),
    [(True, "pyoci-inner//&pyoci-outer (enforce)"), (False, "pyoci-inner (enforce)")],
)
def test_a_runtime_that_is_confined_itself(box: Box, no_new_privileges: bool, label: str) -> None:
    """With no_new_privs the profile is added to the runtime's own; the kernel shows both, by name."""
    bundle = box.bundle("report", change=confined("pyoci-inner", no_new_privileges))
    box.prefix = ("aa-exec", "-p", "pyoci-outer", "--")
    done = box("run", "--bundle", str(bundle), "a")
    box.prefix = ()
    assert (done.returncode, done.stderr) == (0, "")
    [seen] = parse(done)
    assert seen["label"] == label


def running(box: Box, change: Change) -> None:
    """A container that sleeps."""
    done = box("run", "--detach", "--bundle", str(box.bundle("sleep", change=change)), "a")
    assert (done.returncode, done.stderr) == (0, "")


def test_exec(box: Box) -> None:
    """The profile that exec names, else that of config.json; through both of its stages, and enforced."""
    running(box, confined("pyoci-outer"))
    labels = []
    words: tuple[str, ...]
    for words in (
        ("--apparmor", "pyoci-inner", "a", "/reporter", "report"),
        ("a", "/reporter", "report"),
        ("--process", process_file(box), "a"),  # which names none
    ):
        done = box("exec", *words)
        assert (done.returncode, done.stderr) == (0, "")
        labels += [seen["label"] for seen in parse(done)]
    assert labels == ["pyoci-inner (enforce)", "pyoci-outer (enforce)", "pyoci-outer (enforce)"]
    done = box("exec", "--apparmor", "pyoci-inner", "a", "/reporter", "try", "open", "/forbidden", "create")
    assert '"EACCES"' in done.stdout


@pytest.mark.parametrize("flags", [("--apparmor", "pyoci-nobody"), ()], ids=["exec's", "the container's"])
def test_exec_with_a_profile_that_is_not_loaded(box: Box, tmp_path: Path, flags: tuple[str, ...]) -> None:
    """Or not any more: what confined the container is gone, and a process without it is not what was asked for."""
    file = tmp_path / "passing"
    file.write_text("profile pyoci-passing flags=(attach_disconnected) {\n  file,\n  signal,\n  capability,\n}\n")
    subprocess.run(["apparmor_parser", "--replace", "--skip-cache", file], check=True)
    running(box, confined("pyoci-passing"))
    subprocess.run(["apparmor_parser", "--remove", file], check=True)
    done = box("exec", *flags, "a", "/reporter", "report")
    assert (done.returncode, done.stdout) == (255, "")
    said = done.stderr.splitlines()
    name = "pyoci-nobody" if flags else "pyoci-passing"
    assert "exec failed: unable to start container process: " in said[0]
    assert f'unable to apply apparmor profile \\"{name}\\": profile not loaded"' in said[0]
    assert any("apparmor_parser" in line and name in line for line in said[1:])


def test_exec_writes_to_a_procfs_of_its_own(box: Box) -> None:
    """CVE-2019-16884, CVE-2025-52881: the container's /proc is a directory of its image, and what it holds stays."""

    def change(config: dict[str, Any]) -> None:
        confined("pyoci-outer")(config)
        config["mounts"] = [one for one in config["mounts"] if one["destination"] != "/proc"]
        config["linux"].update(maskedPaths=[], readonlyPaths=[])

    bundle = box.bundle("sleep", change=change)
    for name in ("self/attr/exec", "self/attr/apparmor/exec", "self/attr/apparmor/current", "self/attr/current"):
        (bundle / "rootfs/proc" / name).parent.mkdir(parents=True, exist_ok=True)
        (bundle / "rootfs/proc" / name).write_text("unconfined\n")
    assert box("run", "--detach", "--bundle", str(bundle), "a").stderr == ""
    for flags, label in ((("--apparmor", "pyoci-inner"), "pyoci-inner"), ((), "pyoci-outer")):
        pid_file = box.directory / f"pid-{label}"
        done = box("exec", "--detach", "--pid-file", str(pid_file), *flags, "a", "/reporter", "sleep")
        assert (done.returncode, done.stderr) == (0, "")
        assert Path(f"/proc/{pid_file.read_text()}/attr/current").read_text() == f"{label} (enforce)\n"
    files = [path.read_text() for path in (bundle / "rootfs/proc").rglob("*") if path.is_file()]
    assert files == ["unconfined\n"] * 4


def test_without_a_profile(box: Box) -> None:
    done = box("run", "--bundle", str(box.bundle("report")), "a")
    [seen] = parse(done)
    assert seen["label"] == Path("/proc/self/attr/current").read_text().strip() == "unconfined"
