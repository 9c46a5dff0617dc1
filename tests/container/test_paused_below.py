"""Frozen cgroups below and above the container's: what is killed ends, and whoever waits can be ended."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.container.box import SOON, Box, alive, until
from tests.container.test_life_cycle import refused
from tests.container.test_pause import cgroups, shared
from tests.container.test_shared_cgroup import at

pytestmark = pytest.mark.root


def nothing(config: dict[str, Any]) -> None:
    """As it is: with a pid namespace."""


def freezer(box: Box) -> Path:
    found = cgroups(box)
    return found["freezer" if "freezer" in found else ""]


def freeze(place: Path, on: bool = True) -> None:
    if (place / "freezer.state").exists():
        (place / "freezer.state").write_text("FROZEN" if on else "THAWED")
    else:
        (place / "cgroup.freeze").write_text("1" if on else "0")


def processes(box: Box) -> list[int]:
    found: list[int] = json.loads(box("ps", "-f", "json", "a").stdout)
    return found


def with_children(box: Box, change: Callable[[dict[str, Any]], object]) -> list[int]:
    assert (
        box("run", "--detach", "--bundle", str(box.bundle("spawn", "2", ",", "sleep", change=change)), "a").stderr == ""
    )
    until(lambda: len(processes(box)) == 3, "it has children")
    return processes(box)


def below(box: Box, depth: int = 2) -> Path:
    """A cgroup some levels below the container's, in every hierarchy; the one that can be frozen."""
    for place in cgroups(box).values():
        (place / "/".join("x" * depth)).mkdir(parents=True)
    return freezer(box) / "/".join("x" * depth)


@pytest.mark.parametrize("change", [nothing, shared], ids=["own pids", "no pid namespace"])
@pytest.mark.parametrize("who", ["first", "child", "all"])
@pytest.mark.parametrize("how", ["kill", "delete"])
def test_a_frozen_cgroup_below(either_box: Box, how: str, who: str, change: Callable[[dict[str, Any]], object]) -> None:
    """A paused container inside the container, or one that has frozen itself: the kernel keeps a killed process in a
    frozen v1 cgroup."""
    box = either_box
    pids = with_children(box, change)
    first = box.state("a")["pid"]
    place = below(box)
    for pid in [first] if who == "first" else [pid for pid in pids if pid != first] if who == "child" else pids:
        (place / "cgroup.procs").write_text(str(pid))
    freeze(place)
    done = box("delete", "--force", "a", timeout=SOON) if how == "delete" else box("kill", "a", "KILL")
    assert (done.returncode, done.stderr) == (0, "")
    until(lambda: not any(map(alive, pids)), "all have ended")


def test_one_that_freezes_itself_again_and_again(box: Box) -> None:
    """Whoever may write to the cgroup can do so until the last moment."""
    pids = with_children(box, nothing)
    place = below(box, 1)
    for pid in pids:
        (place / "cgroup.procs").write_text(str(pid))
    ended = threading.Event()

    def freeze_again() -> None:
        while not ended.is_set():
            try:
                freeze(place)
            except OSError:
                return

    thread = threading.Thread(target=freeze_again)
    thread.start()
    try:
        done = box("delete", "--force", "a", timeout=3 * SOON)
    finally:
        ended.set()
        thread.join()
    assert (done.returncode, done.stderr) == (0, "")
    assert not any(map(alive, pids))


def test_who_is_below_counts(either_box: Box) -> None:
    """Paused as long as frozen processes are left, wherever in the container's cgroup they are."""
    box = either_box
    pids = with_children(box, shared)
    first = box.state("a")["pid"]
    place = below(box)
    for pid in pids:
        (place / "cgroup.procs").write_text(str(pid))
    os.kill(first, signal.SIGKILL)
    box.wait("a", "stopped")
    freeze(freezer(box))
    assert box.status("a") == "paused"
    refused(box("delete", "a"), "cannot delete container a that is not stopped: paused")
    assert box("resume", "a").stderr == ""
    assert box.status("a") == "stopped"


@pytest.mark.parametrize("flags", [("--detach",), ()], ids=["detached", "foreground"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("where", ["paused", "below"])
def test_an_exec_that_freezes_can_be_ended(either_box: Box, where: str, number: int, flags: tuple[str, ...]) -> None:
    """Its process freezes as it enters the cgroup, and the runtime waits for it: a signal ends both."""
    box = either_box
    assert box("run", "--detach", "--bundle", str(box.bundle("sleep")), "a").stderr == ""
    place = below(box, 1)
    entered = (place if where == "below" else freezer(box)) / "cgroup.procs"
    before = entered.read_text()
    freeze(place if where == "below" else freezer(box))
    sub = "freezer:/x" if "freezer" in cgroups(box) else "/x"
    option = ("--cgroup", sub) if where == "below" else ("--ignore-paused",)
    running = box.begin("exec", *flags, *option, "a", "/reporter", "sleep")
    until(lambda: entered.read_text() != before, "its process has entered")
    time.sleep(0.1)
    assert running.is_running()
    running.signal(number)
    done = running.end(SOON)
    assert (done.returncode, done.stdout, done.stderr) == (-number, "", "")
    until(lambda: entered.read_text() == before and len(processes(box)) == 1, "nothing is left of it")
    freeze(place if where == "below" else freezer(box), on=False)
    assert box("exec", *option, "a", "/reporter", "exit", "0").returncode == 0


def test_a_frozen_cgroup_above(either_box: Box) -> None:
    """Whatever entered would freeze at once, and create would wait for it: an error that names the frozen one."""
    box = either_box
    path = f"/{box.mark}/above"
    assert box("create", "--bundle", str(box.bundle("sleep", change=at(path))), "a").stderr == ""
    place = freezer(box)
    freeze(place)
    bundle = str(box.bundle("exit", "0", change=at(f"{path}/x/y")))
    for command in (("create",), ("run",)):
        done = box(*command, "--bundle", bundle, "b", timeout=SOON)
        refused(done, "container's cgroup unexpectedly frozen")
        assert (
            f"/{box.mark}/above is frozen, and with it all that is below: thaw it, or take another one" in done.stderr
        )
    assert not (place / "x").exists()
    freeze(place, on=False)
