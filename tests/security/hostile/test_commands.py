"""The other commands and a first process that shows something else than it is: another name, a zombie.

What tells a program from a process that waits for start, and a zombie from one that lives, is the kernel's own account.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyoci.container import state
from tests.container.box import alive, until
from tests.security.harness import Arena
from tests.security.hostile.program import NAMES, NOTHING, WAITING, Hostile, attack

pytestmark = pytest.mark.root

Make = Callable[..., Hostile]

# A start that was killed after the process had become its program leaves the fifo.
LEFT = "exec.fifo"


def leave_the_fifo(made: Hostile) -> None:
    os.mkfifo(made.arena.root / made.id / LEFT)


@pytest.mark.parametrize("action", [NOTHING, WAITING])
def test_a_program_with_the_name_of_one_that_waits(hostile: Make, action: str) -> None:
    """It was `created`: start waited for it for ever, and delete needed no --force to kill it."""
    made = hostile(action, "say")
    assert (Path(f"/proc/{made.pid}/comm").read_text() == f"{state.WAITING_NAME}\n") is (action == WAITING)
    leave_the_fifo(made)
    arena = made.arena
    assert arena.status("c") == "running"
    done = arena("start", "c", timeout=10)
    assert done.returncode == 1 and "cannot start an already running container" in done.stderr
    done = arena("delete", "c")
    assert done.returncode == 1 and "is not stopped: running" in done.stderr
    assert alive(made.pid)
    assert arena("exec", "c", "/bin/true").stderr == ""


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_no_command_reads_its_name(hostile: Make, name: bytes) -> None:
    made = hostile("name=" + name.hex(), "say")
    arena = made.arena
    leave_the_fifo(made)
    assert arena.state("c")["pid"] == made.pid and arena.status("c") == "running"
    assert [one["status"] for one in json.loads(arena("list", "--format", "json").stdout)] == ["running"]
    assert json.loads(arena("ps", "--format", "json", "c").stdout) == [made.pid]
    assert arena("exec", "c", "/bin/true").stderr == ""
    assert arena("events", "--stats", "c").stderr == ""
    assert arena("update", "--pids-limit", "100", "c").stderr == ""
    for command in ("pause", "resume"):
        assert arena(command, "c").stderr == ""
    other = attack(arena, NOTHING, id="other")
    assert arena("kill", "c", "KILL").stderr == ""
    arena.wait("c", "stopped")
    assert not alive(made.pid) and alive(other.pid)
    assert arena("delete", "c").stderr == ""


@pytest.mark.parametrize("waiting", [False, True])
def test_a_process_that_waits_for_start_is_known_by_what_it_is(arena: Arena, waiting: bool) -> None:
    """The control: the same name, and no program yet."""
    made = attack(arena, NOTHING, command="create" if waiting else "run")
    assert arena.status("c") == ("created" if waiting else "running")
    found = state.process(made.pid)
    assert found is not None and found[2] is waiting
    if waiting:
        assert arena("start", "c").stderr == ""
        assert arena.status("c") == "running"


def ended_leader(arena: Arena) -> Hostile:
    """One whose first thread has ended, and shows "Z"; another one lives."""
    made = attack(arena, NOTHING, "leader")
    stat = Path(f"/proc/{made.pid}/stat")
    until(lambda: stat.read_bytes().rpartition(b")")[2].split()[0] == b"Z", "its first thread has ended")
    return made


def lives(pid: int) -> bool:
    """Whether any thread is left but a first one that has ended."""
    try:
        return alive(pid) or len(os.listdir(f"/proc/{pid}/task")) > 1
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_one_that_looks_like_a_zombie_runs(either_arena: Arena) -> None:
    """It was `stopped`, could not be killed, and delete --force left it behind: "failed to remove paths"."""
    made, control = ended_leader(either_arena), attack(either_arena, NOTHING, id="control")
    for one in (made, control):
        assert either_arena.status(one.id) == "running"
        assert json.loads(either_arena("ps", "--format", "json", one.id).stdout) == [one.pid]
        done = either_arena("delete", one.id)
        assert done.returncode == 1 and "is not stopped: running" in done.stderr
    assert either_arena("exec", "control", "/bin/true").stderr == ""
    done = either_arena("exec", "c", "/bin/true")
    assert done.returncode == 255 and "the container's first process shows no namespaces" in done.stderr
    for one in (made, control):
        assert either_arena("kill", one.id, "KILL").stderr == ""
        either_arena.wait(one.id, "stopped")
        until(lambda one=one: not lives(one.pid), "it has ended")  # type: ignore[misc]
        assert either_arena("delete", one.id).stderr == ""


@pytest.mark.parametrize("paused", [False, True])
def test_one_that_looks_like_a_zombie_is_deleted(either_arena: Arena, paused: bool) -> None:
    for made in (ended_leader(either_arena), attack(either_arena, NOTHING, id="control")):
        if paused:
            assert either_arena("pause", made.id).stderr == ""
            assert either_arena.status(made.id) == "paused"
        assert either_arena("delete", "--force", made.id, timeout=20).stderr == ""
        assert not lives(made.pid)


@pytest.mark.parametrize("command", [("kill", "c", "KILL"), ("delete", "--force", "c")])
def test_another_that_looks_like_a_zombie_ends_with_the_first(either_arena: Arena, command: tuple[str, ...]) -> None:
    """Without a pid namespace nobody but the cgroup knows of it, and cgroup.kill does not reach it."""
    arena = either_arena

    def change(config: dict[str, Any]) -> None:
        linux = config["linux"]
        linux["namespaces"] = [one for one in linux["namespaces"] if one["type"] != "pid"]

    attack(arena, NOTHING, change=change)
    pids = []
    for number, actions in enumerate(([NOTHING, "leader"], [NOTHING])):
        pid_file = arena.directory / f"pid-{number}"
        done = arena("exec", "--detach", "--pid-file", str(pid_file), "c", "/hostile", *actions)
        assert done.stderr == ""
        pids.append(int(pid_file.read_text()))
    stat = Path(f"/proc/{pids[0]}/stat")
    until(lambda: stat.read_bytes().rpartition(b")")[2].split()[0] == b"Z", "its first thread has ended")
    assert all(lives(pid) for pid in pids)
    assert arena(*command, timeout=20).stderr == ""
    for pid in pids:
        until(lambda pid=pid: not lives(pid), "it has ended")  # type: ignore[misc]


def test_events_of_one_that_looks_like_a_zombie(arena: Arena) -> None:
    for made in (ended_leader(arena), attack(arena, NOTHING, id="control")):
        begun = arena.begin("events", "--interval", "100ms", made.id)
        output = begun.output.with_suffix(".out")
        until(lambda output=output: output.read_text().count("\n") >= 3, "three events")  # type: ignore[misc]
        assert arena("kill", made.id, "KILL").stderr == ""
        assert begun.end(10).returncode == 0
