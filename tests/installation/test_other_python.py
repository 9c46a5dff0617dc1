"""Python upgraded under the installation: the package is in lib/python3.N, and bin/python3 is another version."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.container.box import Box, alive
from tests.container.test_hooks import shell
from tests.container.test_together import hook
from tests.installation.conftest import Installation

pytestmark = pytest.mark.root

OWN = sys.version_info.minor
COMPILED = re.compile(r"\.cpython-3(\d+)(?=[-.])")


def _others() -> list[Path]:
    """Interpreters of other versions that pyoci can run on, if this machine has some."""
    places = [Path("/usr/bin"), Path("/usr/local/bin"), *Path("/root/.pyenv/versions").glob("*/bin")]
    found = [path for place in places for path in place.glob("python3.1[1-9]") if path.is_file()]
    return [path for path in found if path.name != f"python3.{OWN}"]


@pytest.fixture(params=["renamed", "another interpreter"])
def upgraded(request: pytest.FixtureRequest, installation: Installation) -> tuple[Installation, str, str]:
    """An installation that belongs to another version than its interpreter is; both versions.

    "renamed" works everywhere: the interpreter stays, the package and its compiled modules are named for another one.
    """
    library = installation.site.parent
    if request.param == "another interpreter":
        others = _others()
        if not others:
            pytest.skip("this machine has one version of Python only; the other parameter simulates a second one")
        (installation.prefix / "bin/python3").unlink()
        (installation.prefix / "bin/python3").symlink_to(others[0])
        return installation, f"3.{OWN}", others[0].name.removeprefix("python")
    older = library.with_name(f"python3.{OWN - 1}")
    older.mkdir()
    installation.site.rename(older / "site-packages")
    for path in older.rglob("*"):
        if COMPILED.search(path.name):
            path.rename(path.with_name(COMPILED.sub(f".cpython-3{OWN - 1}", path.name)))
    shutil.rmtree(library / "dist-packages", ignore_errors=True)  # the machine's own
    return Installation(installation.prefix), f"3.{OWN - 1}", f"3.{OWN}"


def test_what_makes_containers_says_what_has_happened(upgraded: tuple[Installation, str, str]) -> None:
    installation, made, found = upgraded
    said = f"pyoci: installed for Python {made}, {installation.prefix}/bin/python3 is {found}: install again\n"
    for words in (["run", "x"], ["create", "x"], ["exec", "x", "true"], ["start", "x"], ["features"], ["update", "x"]):
        done = subprocess.run([installation.program, *words], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", said), words


def test_what_stops_containers_works(upgraded: tuple[Installation, str, str], box: Box) -> None:
    """Without a word more than usual: containerd reads standard error and output of `state` as one."""
    installation, _, _ = upgraded
    stopped = box.directory / "stopped"
    for name in ("a", "b", "c"):
        bundle = box.bundle("trap", "0", change=hook("poststop", shell(f"cat >>{stopped}")))
        assert box("run", "--detach", "--bundle", str(bundle), name).stderr == ""
    pids = {name: box.state(name)["pid"] for name in ("a", "b", "c")}
    assert box("pause", "b").stderr == ""
    own, box.pyoci = box.pyoci, str(installation.program)
    try:
        assert box.state("a")["status"] == "running"
        listed = box("list", "-q")
        assert (listed.stdout.split(), listed.stderr) == (["a", "b", "c"], "")
        assert str(pids["a"]) in box("ps", "a").stdout
        assert box("kill", "a", "TERM").stderr == ""
        box.wait("a", "stopped")
        assert box("delete", "a").stderr == ""
        assert stopped.read_text().count('"a"') == 1
        for name in ("b", "c"):
            done = box("delete", "--force", name)
            assert (done.returncode, done.stderr) == (0, "")
            assert not alive(pids[name])
        assert box("list", "-q").stdout == ""
        assert box("--version").returncode == 0
        assert "kill" in box("help").stdout
    finally:
        box.pyoci = own
    assert stopped.read_text().count('"b"') == 1


def test_without_any_compiled_module_but_the_interpreters(installation: Installation, box: Box) -> None:
    """In the same version, too: python-prctl and rpds are gone, and an error says which is missed."""
    for path in installation.site.rglob("*.so"):
        path.unlink()
    assert box("run", "--detach", "--bundle", str(box.bundle("sleep")), "a").stderr == ""
    own, box.pyoci = box.pyoci, str(installation.program)
    try:
        refused = box("run", "--bundle", str(box.bundle("sleep")), "x")
        assert refused.returncode == 1 and "the Python module _prctl cannot be imported" in refused.stderr
        assert "install pyoci again" in refused.stderr and "report" not in refused.stderr
        assert box.status("a") == "running"
        for words in (["list"], ["ps", "a"], ["kill", "a", "KILL"], ["delete", "--force", "a"]):
            assert box(*words).stderr == "", words
    finally:
        box.pyoci = own


def test_a_violation_is_told_without_jsonschema(installation: Installation, box: Box) -> None:
    """rpds, which jsonschema needs, is compiled: the first violation comes without the others."""
    bundle = box.bundle("sleep", change=lambda config: config["process"].update(cwd=7, args=3))
    errors = []
    for damage in (lambda: None, lambda: [path.unlink() for path in installation.site.glob("rpds/*.so")]):
        damage()
        own, box.pyoci = box.pyoci, str(installation.program)
        errors.append(box("run", "--bundle", str(bundle), "x").stderr.splitlines())
        box.pyoci = own
    assert errors[0][0].partition("msg=")[2] == errors[1][0].partition("msg=")[2] != ""
    assert "also wrong" in "".join(errors[0]) and "internal error" not in "".join(errors[1])
    if list(installation.site.glob("rpds")):
        assert "also wrong" not in "".join(errors[1])


def test_an_interpreter_too_old_runs_nothing(installation: Installation, tmp_path: Path) -> None:
    old = tmp_path / "python3.9"
    old.write_text("#!/bin/sh\necho trapped\n")
    old.chmod(0o755)
    (installation.prefix / "bin/python3").unlink()
    (installation.prefix / "bin/python3").symlink_to(old)
    for command in ("state", "delete", "run"):
        done = subprocess.run([installation.program, command, "x"], capture_output=True, text=True, check=False)
        assert done.returncode == 1 and "python3 is 3.9: install again" in done.stderr and done.stdout == ""


def test_a_directory_for_every_version_is_fine(installation: Installation) -> None:
    """As Debian's lib/python3/dist-packages: what is there is there for the version that is installed."""
    common = installation.prefix / "lib/python3/dist-packages"
    common.parent.mkdir()
    installation.site.rename(common)
    done = subprocess.run([installation.program, "features"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr == ""
    assert os.path.exists(common / "pyoci")
