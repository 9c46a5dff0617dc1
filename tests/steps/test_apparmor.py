"""AppArmor on a kernel that has it: the guest's."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.container.box import Box
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


def test_a_profile_that_is_not_loaded(box: Box) -> None:
    done = box("run", "--bundle", str(box.bundle("report", change=confined("pyoci-nobody"))), "a")
    said = done.stderr.splitlines()
    assert done.returncode == 1
    assert 'unable to apply apparmor profile \\"pyoci-nobody\\": profile not loaded"' in said[0]
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


def test_without_a_profile(box: Box) -> None:
    done = box("run", "--bundle", str(box.bundle("report")), "a")
    [seen] = parse(done)
    assert seen["label"] == Path("/proc/self/attr/current").read_text().strip() == "unconfined"
