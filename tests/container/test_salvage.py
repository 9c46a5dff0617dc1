"""delete --force of real containers whose state.json was damaged: nothing that can be told for certain is left, what
cannot be told is named, and list goes on. The box looks for what was left."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.container.box import Box, alive, until
from tests.container.runcs import Theirs, runc
from tests.container.test_life_cycle import refused

__all__ = ["runc"]
pytestmark = pytest.mark.root


def damage(box: Box, change: Any) -> dict[str, Any]:
    """Change state.json of container "a": its value, or the bytes of it. What stood there."""
    path = box.root / "a/state.json"
    before: dict[str, Any] = json.loads(path.read_text())
    new = change(json.loads(path.read_text()))
    path.write_bytes(new if isinstance(new, bytes) else json.dumps(new).encode())
    return before


def without(*ways: str) -> Any:
    def change(value: dict[str, Any]) -> dict[str, Any]:
        for way in ways:
            *above, key = way.split("/")
            one = value
            for part in above:
                one = one[part]
            one[key] = False
        return value

    return change


def later(value: dict[str, Any]) -> dict[str, Any]:
    value["pyoci"]["version"] = 99
    return value


CHANGES = {
    "config": without("config"),
    "labels": without("config/labels"),
    "created": without("created"),
    "own": without("pyoci"),
    "hooks": without("pyoci/hooks"),
    "unit": without("pyoci/unit"),
    "later": later,
}


@pytest.mark.parametrize("which", CHANGES)
@pytest.mark.parametrize("status", ["created", "running", "paused"])
def test_all_of_it_goes_when_process_and_cgroups_are_told(either_box: Box, which: str, status: str) -> None:
    box = either_box
    assert box("create", "--bundle", str(box.bundle("sleep")), "a").stderr == ""
    if status != "created":
        assert box("start", "a").stderr == ""
    if status == "paused":
        assert box("pause", "a").stderr == ""
    before = damage(box, CHANGES[which])
    refused(box("state", "a"), f"{box.root}/a/state.json")
    refused(box("delete", "a"), f"{box.root}/a/state.json")
    assert alive(before["init_process_pid"])
    done = box("delete", "--force", "a")
    assert done.returncode == 0, done.stderr
    assert f"{box.root}/a/state.json" in done.stderr and "level=warning" in done.stderr
    assert not alive(before["init_process_pid"])
    assert not any(Path(path).exists() for path in before["cgroup_paths"].values())
    assert list(box.root.iterdir()) == []


def test_of_a_file_that_was_cut_off_the_process_is_told(box: Box) -> None:
    """Its cgroups are not: they are named as unknown, and left, and nobody in them is killed."""
    assert box("run", "--detach", "--bundle", str(box.bundle("sleep")), "a").stderr == ""
    before = damage(box, lambda value: json.dumps(value).encode()[:200])
    done = box("delete", "--force", "a")
    assert done.returncode == 0, done.stderr
    assert f"{box.root}/a/state.json did not tell its cgroups, its unit of systemd, its poststop hooks" in done.stderr
    assert not alive(before["init_process_pid"]) and list(box.root.iterdir()) == []
    for path in before["cgroup_paths"].values():
        Path(path).rmdir()


@pytest.mark.parametrize("text", [b"", b"{", b"\0\0\0\0", b"[]", b'{"init_process_pid": 1, "init_process_start": 2}'])
def test_of_an_empty_one_nothing_is_told(box: Box, text: bytes) -> None:
    """A running process that nobody can name is left, which is said; also when the numbers are process 1's, but not
    its start time."""
    assert box("run", "--detach", "--bundle", str(box.bundle("sleep")), "a").stderr == ""
    before = damage(box, lambda _: text)
    done = box("delete", "--force", "a")
    assert done.returncode == 0, done.stderr
    assert "did not tell its " in done.stderr and "left as they are, if there are any" in done.stderr
    assert alive(before["init_process_pid"]) and list(box.root.iterdir()) == []
    subprocess.run(["kill", "-9", str(before["init_process_pid"])], check=True)
    until(lambda: not alive(before["init_process_pid"]), "it has ended")
    for path in before["cgroup_paths"].values():
        until(lambda path=path: not Path(path, "cgroup.procs").read_text(), "it is empty")  # type: ignore[misc]
        Path(path).rmdir()


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("name", ["{id}", "docker-{id}.scope"])
def test_a_cgroup_of_its_name_is_named_with_who_is_in_it(box: Box, name: str, empty: bool) -> None:
    """Where an operator has to look; another one whose name is longer is none of it."""
    id = f"{box.mark}x"
    own, other = (f"/{box.mark}/{name.format(id=one)}" for one in (id, f"{id}-2"))
    bundle = box.bundle("sleep", change=lambda config: config["linux"].update(cgroupsPath=own))
    assert box("run", "--detach", "--bundle", str(bundle), id).stderr == ""
    path = box.root / id / "state.json"
    before = json.loads(path.read_text())
    places = list(dict.fromkeys(before["cgroup_paths"].values()))
    for place in places:
        Path(place.removesuffix(own) + other).mkdir()
    path.write_text("{")
    pid = before["init_process_pid"]
    if empty:
        end(pid, places)
    done = box("delete", "--force", id)
    assert done.returncode == 0, done.stderr
    assert f"{other} has" not in done.stderr
    what = (
        "it is empty: rmdir removes it" if empty else f"1 process(es) are in it, {pid}: if they are its own, end them"
    )
    assert f"{own} has the container's name; {what}" in done.stderr
    if not empty:
        end(pid, places)
    for place in places:
        Path(place).rmdir()
        Path(place.removesuffix(own) + other).rmdir()


def end(pid: int, cgroups: list[str]) -> None:
    subprocess.run(["kill", "-9", str(pid)], check=True)
    until(lambda: not alive(pid), "it has ended")
    for path in cgroups:
        until(lambda path=path: not Path(path, "cgroup.procs").read_text(), "it is empty")  # type: ignore[misc]


def test_a_process_that_is_not_told_keeps_its_cgroup(box: Box) -> None:
    """Being in a cgroup that a damaged file names is no reason to die."""
    assert box("run", "--detach", "--bundle", str(box.bundle("sleep")), "a").stderr == ""
    before = damage(box, without("init_process_start"))
    done = box("delete", "--force", "a")
    assert done.returncode == 0, done.stderr
    pid = before["init_process_pid"]
    assert alive(pid) and f"is left: 1 process(es) are in it, {pid}" in done.stderr
    assert "did not tell its first process" in done.stderr
    subprocess.run(["kill", "-9", str(pid)], check=True)
    until(lambda: not alive(pid), "it has ended")
    for path in before["cgroup_paths"].values():
        until(lambda path=path: not Path(path, "cgroup.procs").read_text(), "it is empty")  # type: ignore[misc]
        Path(path).rmdir()


def test_nothing_but_a_cgroup_is_removed_as_one(box: Box) -> None:
    """An empty directory of the host, a hierarchy itself, and a cgroup's way out of the file system."""
    assert box("create", "--bundle", str(box.bundle("sleep")), "a").stderr == ""
    bait = box.directory / "bait"
    bait.mkdir()

    def change(value: dict[str, Any]) -> dict[str, Any]:
        value["cgroup_paths"] |= {"x": str(bait), "y": "/sys/fs/cgroup/pids", "z": "/sys/fs/cgroup"}
        value["config"]["labels"] = 7
        return value

    damage(box, change)
    done = box("delete", "--force", "a")
    assert done.returncode == 0, done.stderr
    assert bait.is_dir() and list(box.root.iterdir()) == []
    for path in (bait, "/sys/fs/cgroup/pids", "/sys/fs/cgroup"):
        assert f"the cgroup {path} is left" not in done.stderr, "it never was the container's cgroup"


def test_poststop_hooks_that_are_told_run(box: Box) -> None:
    log = box.directory / "log"

    def change(config: dict[str, Any]) -> None:
        config["hooks"] = {"poststop": [{"path": "/bin/sh", "args": ["sh", "-c", f"cat > {log}"]}]}

    assert box("create", "--bundle", str(box.bundle("sleep", change=change)), "a").stderr == ""
    damage(box, without("created"))
    assert box("delete", "--force", "a").returncode == 0
    assert json.loads(log.read_text())["status"] == "stopped"


def test_runc_s_as_well(runc: str, box: Box) -> None:
    theirs = Theirs(runc, box)
    theirs("run", "--detach", "--bundle", str(box.bundle("sleep")), "a")
    before = damage(box, without("config/labels"))
    refused(box("state", "a"), f"{box.root}/a/state.json#/config/labels: not an array")
    done = box("delete", "--force", "a")
    assert done.returncode == 0, done.stderr
    assert not alive(before["init_process_pid"]) and list(box.root.iterdir()) == []


def test_list_names_it_and_goes_on(box: Box) -> None:
    for id in ("a", "b"):
        assert box("create", "--bundle", str(box.bundle("sleep")), id).stderr == ""
    written = (box.root / "a/state.json").read_text()
    for text in (written[:100], "", written.replace('"pyoci"', '"pyocj"'), '{"ociVersion": "1.0.2", "pid": 1}'):
        (box.root / "a/state.json").write_text(text)
        done = box("list", "-q")
        assert (done.returncode, done.stdout) == (0, "b\n")
        assert done.stderr.startswith(f"load container a: {box.root}/a") and done.stderr.count("\n") == 1, done.stderr
    (box.root / "a/state.json").write_text(written)
