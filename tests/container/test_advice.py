"""What is said of containers that are not there, in the way, or not in a state for the command."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from pyoci import environment
from pyoci import os as pyoci_os
from pyoci.cli.list import containers
from pyoci.container import advice, state
from pyoci.errors import Error
from tests.container.box import Box, Done
from tests.isolation import in_namespace


def hint(done: Done) -> str:
    lines = [line.removeprefix("  hint: ") for line in done.stderr.splitlines() if line.startswith("  hint: ")]
    assert done.returncode in (1, 255) and len(lines) == 1, done
    return lines[0]


@pytest.fixture
def runtime_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(environment, "variable", lambda name: str(tmp_path / "xdg"))
    return tmp_path / "xdg"


@pytest.mark.parametrize(
    ("place", "file"),
    [
        ("pyoci", "state.json"),
        ("runc", "state.json"),
        ("crun", "status"),
        ("containerd/runc/k8s.io", "state.json"),
        ("k3s/containerd/runc/k8s.io", "state.json"),
        ("docker/runtime-runc/moby", "state.json"),
    ],
)
def test_where_one_of_the_name_is(runtime_directory: Path, tmp_path: Path, place: str, file: str) -> None:
    directory = runtime_directory / place / "pyoci-web"
    directory.mkdir(parents=True)
    error = advice.missing("/nowhere", "pyoci-web")
    assert (error.message, error.hint) == ("container does not exist", "there is no pyoci-web below /nowhere")
    (directory / file).touch()
    error = advice.missing("/nowhere", "pyoci-web")
    there = runtime_directory / place
    assert error.message == "container does not exist"
    assert error.hint == f"there is no pyoci-web below /nowhere, but one is below {there} (--root {there})"
    assert advice.missing(str(there), "pyoci-web").hint == f"there is no pyoci-web below {there}"


def test_without_a_runtime_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's own containers are below it; root needs none."""
    monkeypatch.setattr(environment, "variable", lambda name: "")
    for uid, told in ((0, False), (1000, True)):
        monkeypatch.setattr(pyoci_os, "geteuid", lambda uid=uid: uid)
        assert ("$XDG_RUNTIME_DIR is not set" in advice.missing("/run/pyoci", "pyoci-web").hint) == told


@pytest.mark.root
@pytest.mark.parametrize("variable", ["", "/run/user/1000"])
def test_a_root_that_a_user_may_not_open(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an ordinary user meets on a machine on which root has containers: which directory, and what to do."""

    def said(command: Callable[[], object]) -> tuple[str, str, str]:
        with pytest.raises(Error) as caught:
            command()
        return caught.value.message, caught.value.pointer, caught.value.hint

    def body() -> list[tuple[str, str, str]]:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "none", "/run"], check=True)
        for path, mode in (
            ("/run/pyoci", 0o700),
            ("/run/pyoci/a", 0o700),
            ("/run/open", 0o755),
            ("/run/open/a", 0o700),
        ):
            Path(path).mkdir(mode=mode)
        os.setresuid(1000, 1000, 1000)
        monkeypatch.setattr(environment, "variable", lambda name: variable)
        roots = ("/run/pyoci", "/run/pyoci/x", "/run/open")
        loads = [said(partial(state.load, root, "a")) for root in roots]
        return [*loads, said(lambda: containers("/run/pyoci", False)), said(lambda: containers("/run/pyoci/x", True))]

    closed, below, own, listed, listed_below = in_namespace(body)
    assert closed == listed and below == listed_below
    assert closed[:2] == ("open /run/pyoci: permission denied", "--root")
    assert below[:2] == ("open /run/pyoci/x: permission denied", "--root")
    assert own == ("open /run/open/a: permission denied", "--root", "uid 1000 may not open it: it is somebody else's")
    assert below[2] == own[2]
    unset = "$XDG_RUNTIME_DIR is not set, and without it --root is root's own, /run/pyoci: "
    unset += "export XDG_RUNTIME_DIR=/run/user/1000, or name a directory with --root"
    assert closed[2] == (own[2] if variable else unset)


def test_an_id_that_is_too_long() -> None:
    with pytest.raises(Error, match="invalid container ID format") as caught:
        state.check_id("a" * 300)
    assert caught.value.hint == "it has 300 characters; the name of a directory has at most 255"


@pytest.mark.root
def test_an_id_in_use(box: Box) -> None:
    """How it is there, and how it goes away."""
    bundle = str(box.bundle("sleep"))
    assert box("create", "--bundle", bundle, "a").stderr == ""

    def again() -> str:
        done = box("create", "--bundle", bundle, "a")
        assert 'msg="pyoci create failed: container with given ID already exists"' in done.stderr
        return hint(done).removesuffix("; or choose another ID")

    delete, force = (f"`pyoci --root {box.root} delete {words}a`" for words in ("", "--force "))
    assert again() == f"it is created: {delete} ends and removes it"
    assert box("start", "a").stderr == ""
    assert again() == f"it is running: {force} ends and removes it"
    assert box("pause", "a").stderr == ""
    assert again() == f"it is paused: {force} ends and removes it"
    assert hint(box("delete", "a")).startswith(f"`pyoci --root {box.root} resume a` lets it go on; {force} ends it")
    assert box("resume", "a").stderr == ""
    assert hint(box("delete", "a")) == f"`pyoci --root {box.root} kill a KILL` ends it; {force} ends it first"
    written = (box.root / "a/state.json").read_text()
    (box.root / "a/state.json").write_text("{")
    assert again() == f"its state.json is damaged: {force} stops and removes whatever it still identifies"
    (box.root / "a/state.json").write_text(written)
    assert box("kill", "a", "KILL").stderr == ""
    box.wait("a", "stopped")
    assert again() == f"it is stopped: {delete} removes it"
    (box.root / "a/state.json").rename(box.directory / "state.json")
    (box.root / "a/status").write_text("{}")
    assert again() == f"{box.root}/a is a container of crun"
    (box.root / "a/status").unlink()
    (box.directory / "state.json").rename(box.root / "a/state.json")


@pytest.mark.root
def test_a_root_that_is_a_file(box: Box) -> None:
    """Its own word for it, from whatever command, and which part of the path it is."""
    file = box.directory / "file"
    file.touch()
    bundle = str(box.bundle("sleep"))
    for root in (file, file / "x/y"):
        box.root = root
        for command in (("list",), ("state", "a"), ("delete", "--force", "a"), ("create", "--bundle", bundle, "a")):
            done = box(*command)
            assert done.returncode == 1 and f'{file} is not a directory"' in done.stderr, done
            assert "\n  pointer: --root\n" in done.stderr
    box.root = box.directory / "root"


@pytest.mark.root
def test_a_container_that_is_a_file(box: Box) -> None:
    (box.root / "a").touch()
    assert f"{box.root}/a is not a directory" in box("state", "a").stderr
    (box.root / "a").unlink()


@pytest.mark.root
def test_a_directory_without_state(box: Box) -> None:
    (box.root / "a").mkdir()
    done = box("state", "a")
    assert 'msg="container does not exist"' in done.stderr
    told = hint(done)
    begin = f"{box.root}/a is there without a state.json: its create or delete is under way, or was killed; "
    assert told.startswith(begin) and told.endswith("delete --force a` removes it in the second case")
    assert box("delete", "--force", "a").stderr == "" and os.listdir(box.root) == []


@pytest.mark.root
def test_a_bundle_without_a_config(box: Box) -> None:
    (box.directory / "empty").mkdir()
    done = box("create", "--bundle", str(box.directory / "empty"), "a")
    assert 'msg="pyoci create failed: JSON specification file config.json not found"' in done.stderr
    assert hint(done) == (
        f"there is none in {box.directory}/empty; --bundle names another directory, "
        "`pyoci spec` writes one to start from"
    )
    bundle = box.bundle("sleep")
    assert box("create", "--bundle", str(bundle), "a").stderr == ""
    (bundle / "config.json").unlink()
    done = box("exec", "a", "/reporter")
    assert hint(done) == f"{bundle}, the container's bundle, has none any more; --process FILE does without it"


@pytest.mark.root
def test_the_log_has_it_in_one_object(box: Box) -> None:
    """Engines match on msg."""
    log = box.directory / "log"
    assert box("--log", str(log), "--log-format", "json", "state", "nope").returncode == 1
    line = json.loads(log.read_text())
    assert (line["msg"], line["level"]) == ("container does not exist", "error")
    assert line["hint"] == f"there is no nope below {box.root}"
