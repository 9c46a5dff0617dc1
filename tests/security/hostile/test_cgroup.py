"""A first process that is not in the container's cgroup any more: exec, ps, events, kill and delete go by the one that
create has made, and follow it only where it is below that.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.container.box import alive, until
from tests.security.harness import Arena
from tests.security.hostile.program import NOTHING, Hostile, attack, beside, capable, every, with_cgroups

pytestmark = pytest.mark.root

MAY = every(capable("DAC_OVERRIDE"), with_cgroups)


def where(arena: Arena, *flags: str) -> str:
    done = arena("exec", *flags, "c", "/bin/cat", "/proc/self/cgroup")
    assert (done.returncode, done.stderr) == (0, ""), done
    (line,) = [line for line in done.stdout.split("\n") if line.startswith("0::")]
    return line.removeprefix("0::").rpartition(f"/{arena.mark}/")[2] if arena.mark in line else line


def moved_below(arena: Arena, id: str = "c") -> Hostile:
    """A first process that manages cgroups, as systemd does: itself in one, whose parent takes no process any more."""

    def change(config: dict[str, Any]) -> None:
        config["linux"]["cgroupsPath"] = f"/{arena.mark}/{id}"
        config["linux"].pop("resources", None)

    top = f"/cgroups/{arena.mark}/{id}"
    actions = (f"mkdir={top}/leaf", f"write={top}/leaf/cgroup.procs:0", f"write={top}/cgroup.subtree_control:+hugetlb")
    return attack(arena, *actions, "say", change=every(MAY, change), id=id)


def test_one_that_manages_cgroups_is_followed_below_the_container_s(unified: Arena) -> None:
    made = moved_below(unified)
    assert Path(f"/proc/{made.pid}/cgroup").read_text().count("/c/leaf\n") == 1
    done = unified("exec", "c", "/bin/true")
    assert (done.returncode, done.stderr) == (0, ""), done
    assert where(unified).endswith("/leaf")


@pytest.mark.parametrize("asked", ["/", ".", "/leaf/.."])
def test_a_cgroup_that_was_asked_for_and_takes_no_process(unified: Arena, asked: str) -> None:
    """runc: device or resource busy. The process landed in another cgroup, and the status was 0."""
    moved_below(unified)
    done = unified("exec", "--cgroup", asked, "c", "/bin/true")
    assert done.returncode == 255, done
    first, *more = done.stderr.split("\n")
    assert f"/{unified.mark}/c: device or resource busy" in first
    assert "  pointer: --cgroup" in more and any("name one of them with --cgroup" in line for line in more)
    assert where(unified, "--cgroup", "/leaf").endswith("/leaf")


def test_one_that_is_outside_is_not_followed(unified: Arena) -> None:
    """Its cgroup is no place for the caller's process, even when the container's takes none."""
    control = attack(unified, NOTHING, id="control")
    ((_, outside),) = beside(control)
    top = f"/cgroups/{unified.mark}/c"

    def change(config: dict[str, Any]) -> None:
        config["linux"]["cgroupsPath"] = f"/{unified.mark}/c"
        config["linux"].pop("resources", None)

    actions = (f"mkdir={outside}", f"write={outside}/cgroup.procs:0", "say")
    free = attack(unified, *actions, change=every(MAY, change))
    assert Path(f"/proc/{free.pid}/cgroup").read_text().count("/outside\n") == 1
    assert unified("exec", "c", "/bin/true").stderr == ""
    assert not where(unified).endswith("/outside")
    assert unified("delete", "--force", "c").stderr == ""
    leave = (f"mkdir={top}/leaf", *actions[:2], f"write={top}/cgroup.subtree_control:+hugetlb", "say")
    attack(unified, *leave, change=every(MAY, change))
    done = unified("exec", "c", "/bin/true")
    assert done.returncode == 255 and f"/{unified.mark}/c: device or resource busy" in done.stderr


def outside(arena: Arena) -> tuple[Hostile, Hostile]:
    """The control, and a container whose first process has left its cgroup in every hierarchy but cpuset."""
    control = attack(arena, NOTHING, id="control")
    moves = [action for _, path in beside(control) for action in (f"mkdir={path}", f"write={path}/cgroup.procs:0")]
    return control, attack(arena, *moves, "say", change=MAY)


def test_ps_shows_it_all_the_same(either_arena: Arena) -> None:
    for made in outside(either_arena):
        done = either_arena("ps", "--format", "json", made.id)
        assert (done.returncode, json.loads(done.stdout), done.stderr) == (0, [made.pid], "")
        assert either_arena.status(made.id) == "running"


def test_update_is_about_the_container_s_cgroup(arena: Arena) -> None:
    """Not about the one that the first process has gone to, which is not ours."""
    for made in outside(arena):
        assert arena("update", "--pids-limit", "77", made.id).stderr == ""
        paths = made.record()["cgroup_paths"]
        path = Path(paths.get("pids") or paths[""])
        assert (path / "pids.max").read_text() == "77\n"
        assert (path.parent / "outside/pids.max").read_text() == "max\n"


@pytest.mark.also_guest
def test_events_do_not_end_before_it_does(arena: Arena) -> None:
    """The cgroup is empty, and the container is not. In the guest on v2, which tells when a cgroup is empty."""
    for made in outside(arena):
        begun = arena.begin("events", "--interval", "100ms", made.id)
        output = begun.output.with_suffix(".out")
        until(lambda output=output: output.read_text().count("\n") >= 3, "three events")  # type: ignore[misc]
        assert begun.is_running()
        assert arena("kill", made.id, "KILL").stderr == ""
        assert begun.end(10).returncode == 0


def test_kill_and_delete_reach_it(either_arena: Arena) -> None:
    for made in outside(either_arena):
        done = either_arena("delete", made.id)
        assert done.returncode == 1 and "that is not stopped: running" in done.stderr
        assert either_arena("kill", made.id, "KILL").stderr == ""
        until(lambda made=made: not alive(made.pid), "it has ended")  # type: ignore[misc]
        assert either_arena("delete", made.id).stderr == ""


def test_delete_force_reaches_it(either_arena: Arena) -> None:
    for made in outside(either_arena):
        assert either_arena("delete", "--force", made.id).stderr == ""
        assert not alive(made.pid)


def freezes_itself(arena: Arena) -> tuple[Hostile, Hostile]:
    """The control, and a container whose first process has frozen the cgroup that it is in."""
    top = f"/cgroups/{'' if arena.view == 'v2' else 'freezer/'}{arena.mark}/c"
    name, word = ("cgroup.freeze", "1") if arena.view == "v2" else ("freezer.state", "FROZEN")

    def change(config: dict[str, Any]) -> None:
        config["linux"]["cgroupsPath"] = f"/{arena.mark}/c"

    made = attack(arena, "say", f"write={top}/{name}:{word}", change=every(MAY, change))
    arena.wait("c", "paused")
    return attack(arena, NOTHING, id="control"), made


def test_one_that_freezes_itself_is_paused(either_arena: Arena) -> None:
    """Which is so. It can be listed, resumed and killed, and nothing waits for it."""
    control, made = freezes_itself(either_arena)
    assert either_arena.status("control") == "running"
    assert json.loads(either_arena("ps", "--format", "json", "c").stdout) == [made.pid]
    done = either_arena("exec", "c", "/bin/true", timeout=10)
    assert done.returncode == 255 and "cannot exec in a paused container" in done.stderr
    assert either_arena("exec", "control", "/bin/true").stderr == ""
    assert either_arena("events", "--stats", "c", timeout=10).stderr == ""
    assert either_arena("kill", "c", "KILL", timeout=10).stderr == ""
    either_arena.wait("c", "stopped")
    assert not alive(made.pid) and alive(control.pid)


def test_one_that_freezes_itself_can_be_deleted(either_arena: Arena) -> None:
    control, made = freezes_itself(either_arena)
    assert either_arena("delete", "--force", "c", timeout=10).stderr == ""
    assert not alive(made.pid) and alive(control.pid)
