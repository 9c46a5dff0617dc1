"""One cgroup and several users of it: what is not the container's own is never killed, removed or taken over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pyoci.container import create, state
from pyoci.container.kill import kill_cgroup
from tests.container.box import SOON, Box, alive, until
from tests.container.test_life_cycle import refused
from tests.container.test_pause import shared

pytestmark = pytest.mark.root

NOT_EMPTY = "container's cgroup is not empty: 1 process(es) found"


def cgroups(box: Box, id: str = "a") -> list[Path]:
    """The container's cgroups, as this process sees them."""
    paths: dict[str, str] = json.loads((box.root / id / "state.json").read_text())["cgroup_paths"]
    if box.prefix and os.path.isdir("/sys/fs/cgroup/unified"):
        return [Path(paths[""].replace("/sys/fs/cgroup", "/sys/fs/cgroup/unified", 1))]
    return [Path(path) for path in paths.values()]


@pytest.fixture
def stranger() -> Iterator[Callable[[list[Path]], subprocess.Popen[bytes]]]:
    """Puts a process of somebody else's into cgroups."""
    started = []

    def start(places: list[Path]) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(["sleep", "60"]))
        for place in places:
            (place / "cgroup.procs").write_text(str(started[-1].pid))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def at(path: str, *changes: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], None]:
    def change(config: dict[str, Any]) -> None:
        config["linux"]["cgroupsPath"] = path
        for one in changes:
            one(config)

    return change


def stopped(box: Box, *changes: Callable[[dict[str, Any]], object], id: str = "a") -> str:
    """A container that has ended, at /MARK/one."""
    path = f"/{box.mark}/one"
    assert box("run", "--detach", "--bundle", str(box.bundle("exit", "0", change=at(path, *changes))), id).stderr == ""
    box.wait(id, "stopped")
    return path


@pytest.mark.parametrize("force", [(), ("--force",)], ids=["plain", "force"])
def test_delete_kills_nobody_else(
    either_box: Box, stranger: Callable[[list[Path]], subprocess.Popen[bytes]], force: tuple[str, ...]
) -> None:
    """The kernel has ended all of a container with a pid namespace of its own: who is left is another's."""
    box = either_box
    stopped(box)
    process = stranger(cgroups(box))
    done = box("delete", *force, "a")
    refused(done, "unable to remove container's cgroup: Failed to remove paths: map[")
    assert f"process {process.pid} (sleep) in state S is still in it, and not of a, which has ended" in done.stderr
    assert alive(process.pid) and box.status("a") == "stopped"
    process.kill()
    process.wait()
    assert box("delete", *force, "a").stderr == ""


def test_forced_delete_of_one_that_runs_kills_nobody_else(
    either_box: Box, stranger: Callable[[list[Path]], subprocess.Popen[bytes]]
) -> None:
    box = either_box
    assert box("run", "--detach", "--bundle", str(box.bundle("sleep")), "a").stderr == ""
    process = stranger(cgroups(box))
    refused(box("delete", "--force", "a"), "unable to remove container's cgroup: ")
    assert alive(process.pid) and box.status("a") == "stopped"
    process.kill()
    process.wait()


@pytest.mark.parametrize("status", ["stopped", "created", "running"])
def test_create_refuses_the_cgroup_of_another(either_box: Box, status: str) -> None:
    box = either_box
    path = stopped(box) if status == "stopped" else f"/{box.mark}/one"
    if status != "stopped":
        command = ("create",) if status == "created" else ("run", "--detach")
        assert box(*command, "--bundle", str(box.bundle("sleep", change=at(path))), "a").stderr == ""
    places = cgroups(box)
    bundle = str(box.bundle("exit", "0", change=at(path)))
    for command in (("create",), ("run",)):
        done = box(*command, "--bundle", bundle, "b")
        refused(done, "container's cgroup is the one of container a" if status == "stopped" else NOT_EMPTY)
        assert "pointer: /linux/cgroupsPath" in done.stderr
        assert status != "stopped" or "hint: a is stopped: delete it first, or give this one another" in done.stderr
    assert box.status("a") == status and all(place.is_dir() for place in places)
    assert box("delete", "--force", "a").stderr == ""
    assert box("run", "--bundle", bundle, "b").stderr == ""


def test_a_cgroup_above_is_no_conflict(either_box: Box) -> None:
    """Kubernetes' pods and podman's: their containers are in cgroups below one that nobody's is."""
    box = either_box
    for id, path in (("a", "pod/a"), ("b", "pod/b"), ("c", "pod/a/c"), ("d", "pod")):
        if id == "d":  # which has processes below it
            done = box("run", "--bundle", str(box.bundle("exit", "0", change=at(f"/{box.mark}/{path}"))), id)
            refused(done, "container's cgroup is not empty: 3 process(es) found")
            continue
        bundle = box.bundle("sleep", change=at(f"/{box.mark}/{path}"))
        assert box("run", "--detach", "--bundle", str(bundle), id).stderr == ""
    for id in ("c", "a", "b"):
        assert box("delete", "--force", id).stderr == ""
    for hierarchy in (*os.listdir("/sys/fs/cgroup"), "."):
        pod = Path(f"/sys/fs/cgroup/{hierarchy}/{box.mark}/pod")
        if pod.is_dir():
            pod.rmdir()


@pytest.mark.parametrize("round", range(4))
def test_creates_with_one_cgroup_at_once(either_box: Box, round: int) -> None:
    """One of them has it, or none; never two. One that gives up removes what it has made, also of what another one
    has just found there: that one fails as well, where it next opens the cgroup."""
    box = either_box
    bundle = str(box.bundle("sleep", change=at(f"/{box.mark}/one")))
    done = [one.end() for one in [box.begin("create", "--bundle", bundle, id) for id in ("a", "b", "c")]]
    made = [id for id, one in zip("abc", done, strict=True) if one.returncode == 0]
    assert len(made) <= 1, done
    gone = ("cgroup configuration: cannot open the cgroup: ", "cgroup configuration: cannot make the cgroup: ")
    texts = (NOT_EMPTY, "container's cgroup is the one of", *gone)
    for one in done:
        assert not one.returncode or any(text in one.stderr for text in texts), one
    for id in made:
        assert box.status(id) == "created" and box("start", id).stderr == ""
        assert len(json.loads(box("ps", "-f", "json", id).stdout)) == 1


@pytest.mark.parametrize("change", [lambda config: None, shared], ids=["own pids", "no pid namespace"])
def test_one_that_was_removed_has_no_successor(either_box: Box, change: Callable[[dict[str, Any]], object]) -> None:
    """Somebody removes the cgroup of a container that has ended, and the next container has it: delete, kill and ps of
    the first one do not take that for its own."""
    box = either_box
    path = stopped(box, change)
    for place in cgroups(box):
        place.rmdir()
    assert box("run", "--detach", "--bundle", str(box.bundle("sleep", change=at(path, change))), "b").stderr == ""
    pid = box.state("b")["pid"]
    assert box.status("a") == "stopped"
    assert json.loads(box("ps", "-f", "json", "a").stdout or "null") is None
    done = box("kill", "a", "KILL")
    assert done.returncode == 1 and done.stderr.splitlines()[0].endswith('container not running"'), done
    assert box("pause", "b").stderr == ""
    assert (box.status("a"), box.status("b")) == ("stopped", "paused")
    assert box("delete", "--force", "a").stderr == ""
    assert (box.status("b"), alive(pid)) == ("paused", True)
    assert all(place.is_dir() for place in cgroups(box, "b"))


def test_one_that_was_removed_while_it_runs(either_box: Box) -> None:
    """Its process was moved away before. Nothing is done to the one that has its path by now."""
    box = either_box
    path = f"/{box.mark}/one"
    assert box("run", "--detach", "--bundle", str(box.bundle("sleep", change=at(path))), "a").stderr == ""
    pid = str(box.state("a")["pid"])
    aside = []
    for place in cgroups(box):
        if (place / "cgroup.controllers").exists():  # v2: where controllers are passed on there must be no process
            aside.append(place.parent / "aside")
            aside[-1].mkdir()
            (aside[-1] / "cgroup.procs").write_text(pid)
        else:
            (place.parents[1] / "cgroup.procs").write_text(pid)
        place.rmdir()
    assert box("run", "--detach", "--bundle", str(box.bundle("sleep", change=at(path))), "b").stderr == ""
    for command in (("exec", "a", "/reporter", "exit", "0"), ("update", "--pids-limit", "5", "a")):
        done = box(*command)
        assert done.returncode in (1, 255) and "the container's cgroup is gone" in done.stderr, done
    refused(box("pause", "a"), "cannot toggle freezer: cgroups not configured for container")
    refused(box("ps", "a"), "the container has no cgroup of its own")
    assert (box.status("a"), box.status("b")) == ("running", "running")
    assert box("delete", "--force", "a").stderr == ""
    assert len(json.loads(box("ps", "-f", "json", "b").stdout)) == 1
    for place in aside:
        until(lambda place=place: not (place / "cgroup.procs").read_text(), "it has ended")  # type: ignore[misc]
        place.rmdir()


def left_over(box: Box, id: str = "a") -> list[int]:
    """A container without a pid namespace whose first process is gone; who is left of it."""
    bundle = box.bundle("spawn", "2", ",", "sleep", change=shared)
    assert box("run", "--detach", "--bundle", str(bundle), id).stderr == ""
    until(lambda: len(json.loads(box("ps", "-f", "json", id).stdout)) == 3, "it has children")
    os.kill(box.state(id)["pid"], signal.SIGKILL)
    box.wait(id, "stopped")
    left: list[int] = json.loads(box("ps", "-f", "json", id).stdout)
    assert len(left) == 2 and all(map(alive, left))
    return left


def test_kill_ends_who_is_left(either_box: Box) -> None:
    """As runc: of a container without a pid namespace of its own; as long as it has a cgroup that is no error."""
    box = either_box
    left = left_over(box)
    for number in ("TERM", "0"):
        refused(box("kill", "a", number), "container not running")
        assert box("kill", "--all", "a", number).stderr == ""
    assert all(map(alive, left))
    for _ in range(2):
        assert (box("kill", "a", "KILL").returncode, box.status("a")) == (0, "stopped")
        until(lambda: not any(map(alive, left)), "all have ended")
    for place in cgroups(box):
        place.rmdir()
    refused(box("kill", "a", "KILL"), "unable to kill all processes: container not running")
    assert box("kill", "--all", "a", "KILL").stderr == ""


def test_delete_ends_who_is_left(either_box: Box) -> None:
    left = left_over(either_box)
    assert either_box("delete", "a", timeout=SOON).stderr == ""
    until(lambda: not any(map(alive, left)), "all have ended")


def test_two_that_an_older_pyoci_let_have_one_cgroup(box: Box) -> None:
    """Whose processes they are nobody can tell: an error, not a kill."""
    assert left_over(box)
    assert box("run", "--detach", "--bundle", str(box.bundle("sleep")), "b").stderr == ""
    file, other = box.root / "a/state.json", json.loads((box.root / "b/state.json").read_text())
    kept = file.read_text()
    state = json.loads(kept)
    state["cgroup_paths"] = other["cgroup_paths"]
    del state["pyoci"]["cgroup_ids"]
    file.write_text(json.dumps(state))
    for command in (("delete", "a"), ("delete", "--force", "a"), ("kill", "a", "KILL")):
        refused(box(*command), "unable to kill all processes: the cgroup of a is the one of container b too")
    assert box.status("b") == "running"
    file.write_text(kept)


def test_undoing_a_create_kills_nobody_else(
    either_box: Box, stranger: Callable[[list[Path]], subprocess.Popen[bytes]]
) -> None:
    """A cgroup that was there before, and somebody who comes into it while a container without a pid namespace is
    created: when that fails, that process lives, and the cgroup stays."""
    box = either_box
    gate = box.gate()

    def change(config: dict[str, Any]) -> None:
        shared(config)
        config["hooks"] = {"createRuntime": [gate.hook, {"path": "/bin/false"}]}

    stopped(box)  # makes it
    places = cgroups(box)
    (box.root / "a/state.json").rename(box.directory / "kept.json")  # a container of another root
    creating = box.begin("create", "--bundle", str(box.bundle("sleep", change=at(f"/{box.mark}/one", change))), "b")
    gate.wait()
    process = stranger(places)
    gate.open()
    done = creating.end()
    assert done.returncode == 1 and "createRuntime hook" in done.stderr, done
    assert alive(process.pid) and all(place.is_dir() for place in places)
    assert not (box.root / "b").exists()
    process.kill()
    process.wait()
    (box.directory / "kept.json").rename(box.root / "a/state.json")


def test_undoing_a_create_spares_a_cgroup_that_was_made_anew(
    box: Box, stranger: Callable[[list[Path]], subprocess.Popen[bytes]]
) -> None:
    """What hooks have left is killed in the cgroup that was made, and in no other one of its name."""
    stopped(box)
    container = state.load(str(box.root), "a")
    process = stranger(cgroups(box))
    anew = {name: inode + 1 for name, inode in container.cgroup_ids.items()}
    another = container.replace(cgroup_ids=anew)
    create._kill_members(another)
    assert not kill_cgroup(another)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    create._kill_members(container)
    assert process.wait(SOON) == -signal.SIGKILL
