"""A container's cgroup with another container's below it, and cgroups that are not the container's any more: what is
another one's is neither killed nor removed, whoever asks."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.container.box import Box, alive, until
from tests.container.test_life_cycle import refused
from tests.container.test_pause import shared
from tests.container.test_shared_cgroup import at, cgroups, left_over, stopped

pytestmark = pytest.mark.root

IN_IT = "unable to kill all processes: container inner is in the cgroup of outer"
COMMANDS = (("delete", "outer"), ("delete", "--force", "outer"), ("kill", "outer", "KILL"))


def start(box: Box, id: str, path: str, *changes: Callable[[dict[str, Any]], object], program: str = "sleep") -> int:
    bundle = box.bundle(*program.split(), change=at(f"/{box.mark}/{path}", *changes))
    assert box("run", "--detach", "--bundle", str(bundle), id).stderr == ""
    pid: int = box.state(id)["pid"]
    return pid


def end(box: Box, id: str) -> None:
    os.kill(box.state(id)["pid"], signal.SIGKILL)
    box.wait(id, "stopped")


@pytest.mark.parametrize("status", ["stopped", "running"])
def test_one_without_a_pid_namespace_does_not_kill_the_one_below(either_box: Box, status: str) -> None:
    box = either_box
    first = start(box, "outer", "outer", shared)
    inner = start(box, "inner", "outer/inner")
    if status == "stopped":
        end(box, "outer")
    for command in COMMANDS if status == "stopped" else COMMANDS[1:]:
        done = box(*command)
        refused(done, IN_IT)
        assert "hint: inner is running: end and delete it first; its cgroup is " in done.stderr
        assert (alive(inner), alive(first)) == (True, status == "running")
        assert (box.status("inner"), box.status("outer")) == ("running", status)
    assert box("delete", "--force", "inner").stderr == ""
    assert box("delete", "--force", "outer").stderr == ""


@pytest.mark.parametrize("change", [lambda config: None, shared], ids=["own pids", "no pid namespace"])
def test_the_cgroup_below_stays_while_it_is_a_containers(
    either_box: Box, change: Callable[[dict[str, Any]], object]
) -> None:
    """Also without processes: of one that has ended, in whose cgroup its memory's high mark can be read."""
    box = either_box
    start(box, "outer", "outer", change)
    start(box, "inner", "outer/inner", program="exit 0")
    box.wait("inner", "stopped")
    end(box, "outer")
    places = cgroups(box, "inner")
    for force in ((), ("--force",)):
        refused(box("delete", *force, "outer"), "unable to remove container's cgroup: container inner is in it")
        assert all(place.is_dir() for place in places) and box.status("outer") == "stopped"
    assert box("delete", "inner").stderr == ""
    assert box("delete", "outer").stderr == ""


def test_names_are_compared_by_component(either_box: Box) -> None:
    """/web-2 is not below /web, and what a container has made below its own cgroup is its own."""
    box = either_box
    first = start(box, "outer", "web", shared)
    other = start(box, "inner", "web-2")
    for place in cgroups(box, "outer"):
        (place / "slice/empty").mkdir(parents=True)
        for name in ("cpuset.cpus", "cpuset.mems") if not (place / "cgroup.controllers").exists() else ():
            if (place / name).exists():  # without any it takes no process
                (place / "slice" / name).write_text((place / name).read_text())
        (place / "slice/cgroup.procs").write_text(str(first))
    assert box("delete", "--force", "outer").stderr == ""
    assert (alive(first), alive(other)) == (False, True)


@pytest.mark.parametrize("either_box", ["v2"], indirect=True)
def test_undoing_a_create_does_not_kill_the_one_below(either_box: Box) -> None:
    """It came while a container without a pid namespace was created."""
    box = either_box
    gate = box.gate()

    def change(config: dict[str, Any]) -> None:
        shared(config)
        config["hooks"] = {"createRuntime": [gate.hook, {"path": "/bin/false"}]}

    bundle = box.bundle("sleep", change=at(f"/{box.mark}/outer", change))
    creating = box.begin("create", "--bundle", str(bundle), "outer")
    gate.wait()
    inner = start(box, "inner", "outer/inner")
    gate.open()
    done = creating.end()
    assert done.returncode == 1 and "createRuntime hook" in done.stderr, done
    assert alive(inner) and box.status("inner") == "running" and not (box.root / "outer").exists()
    place = cgroups(box, "inner")[0].parent
    assert box("delete", "--force", "inner").stderr == ""
    place.rmdir()


@pytest.mark.parametrize("text", ['{"cgroup_paths": 7}', "", "{"])
def test_one_that_cannot_be_read_may_be_the_one(box: Box, text: str) -> None:
    left = left_over(box)
    (box.root / "x").mkdir(mode=0o700)
    (box.root / "x/state.json").write_text(text)
    for command in (("delete", "a"), ("delete", "--force", "a"), ("kill", "a", "KILL")):
        done = box(*command)
        refused(done, "unable to kill all processes: the cgroup of a may be the one of container x too")
        assert f"{box.root}/x/state.json" in done.stderr and all(map(alive, left))
    assert box("delete", "--force", "x").returncode == 0
    assert box("kill", "a", "KILL").stderr == ""
    until(lambda: not any(map(alive, left)), "all have ended")


def damage(box: Box, id: str) -> None:
    file = box.root / id / "state.json"
    record = json.loads(file.read_text())
    del record["created"]
    file.write_text(json.dumps(record))


def test_one_that_is_damaged_and_below(either_box: Box) -> None:
    """Where it is can be told."""
    box = either_box
    start(box, "outer", "outer", shared)
    inner = start(box, "inner", "outer/inner")
    other = start(box, "other", "other", shared)
    damage(box, "inner")
    refused(box("kill", "outer", "KILL"), IN_IT)
    assert alive(inner)
    assert box("kill", "other", "KILL").stderr == ""
    until(lambda: not alive(other), "it has ended")
    assert box("delete", "--force", "inner").returncode == 0
    assert box("delete", "--force", "outer").stderr == ""


def test_others_in_a_sticky_root_are_no_containers(box: Box) -> None:
    """A directory that another user has made there keeps nobody from being killed."""
    left = left_over(box)
    box.root.chmod(0o1777)
    (box.root / "x").mkdir()
    os.chown(box.root / "x", 1234, 1234)
    assert box("kill", "a", "KILL").stderr == ""
    until(lambda: not any(map(alive, left)), "all have ended")
    (box.root / "x").rmdir()
    box.root.chmod(0o700)


def made_anew(box: Box, id: str = "a") -> list[Path]:
    """Somebody has removed the container's cgroups, and made others of the same names, which are frozen."""
    places = cgroups(box, id)
    for place in places:
        place.rmdir()
    for place in places:
        place.mkdir()
        for name, text in (("freezer.state", "FROZEN"), ("cgroup.freeze", "1")):
            if (place / name).exists():
                (place / name).write_text(text)
    return places


def test_a_frozen_cgroup_of_somebody_else_is_no_pause(either_box: Box) -> None:
    box = either_box
    pid = start(box, "a", "one")
    aside = []
    for place in cgroups(box):
        if (place / "cgroup.controllers").exists():  # v2: where controllers are passed on there must be no process
            aside.append(place.parent / "aside")
            aside[-1].mkdir()
            (aside[-1] / "cgroup.procs").write_text(str(pid))
        else:
            (place.parents[1] / "cgroup.procs").write_text(str(pid))
    places = made_anew(box)
    assert box.status("a") == "running"
    refused(box("resume", "a"), "container not paused")
    assert box("kill", "a", "KILL").stderr == ""
    box.wait("a", "stopped")
    assert box("delete", "--force", "a").stderr == ""
    for place in (*places, *aside):
        place.rmdir()  # it is there


@pytest.mark.parametrize("old", [False, True], ids=["", "older pyoci"])
def test_salvage_spares_the_cgroup_that_came_after(either_box: Box, old: bool) -> None:
    """delete --force of a damaged container, of which it can still be told that these cgroups are not its own."""
    box = either_box
    stopped(box)
    for place in cgroups(box):
        place.rmdir()
    (box.root / "a").rename(box.directory / "kept")
    inner = start(box, "b", "one")
    (box.directory / "kept").rename(box.root / "a")
    for place in cgroups(box, "b"):
        (place / "empty").mkdir()
    damage(box, "a")
    if old:  # which noted the inode of one hierarchy
        file = box.root / "a/state.json"
        record = json.loads(file.read_text())
        first = next(name for name in ("devices", "freezer", "pids", "") if name in record["cgroup_paths"])
        record["pyoci"]["cgroup_id"] = record["pyoci"].pop("cgroup_ids")[first]
        file.write_text(json.dumps(record))
    assert box("delete", "--force", "a").returncode == 0
    assert alive(inner) and all((place / "empty").is_dir() for place in cgroups(box, "b"))
    assert box("delete", "--force", "b").stderr == ""
