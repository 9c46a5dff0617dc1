"""Commands at the same time on one container: who wins, and that nobody waits for a process that hangs."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.container.box import SOON, Box, Done, Gate, Running, alive, until
from tests.container.test_life_cycle import MISSING, refused, writable

pytestmark = pytest.mark.root

Change = Callable[[dict[str, Any]], object]


def hook(kind: str, *hooks: dict[str, Any]) -> Change:
    """A config.json with these hooks, and a root that a hook inside can write to."""

    def change(config: dict[str, Any]) -> None:
        writable(config)
        config.setdefault("hooks", {}).setdefault(kind, []).extend(hooks)

    return change


def judged(done: list[Done], text: str) -> None:
    """One success; every other is one clear error."""
    assert sorted(one.returncode for one in done) == [0] + [1] * (len(done) - 1), done
    for one in done:
        if one.returncode:
            refused(one, text)


@pytest.mark.parametrize("round", range(5))
def test_creates_at_once(box: Box, round: int) -> None:
    bundles = [str(box.bundle("sleep")) for _ in range(4)]
    running = [box.begin("create", "--bundle", bundle, "a") for bundle in bundles]
    judged([one.end() for one in running], "container with given ID already exists")
    assert box.status("a") == "created"


@pytest.mark.parametrize("program", ["sleep", "exit"])
@pytest.mark.parametrize("round", range(4))
def test_starts_at_once(box: Box, program: str, round: int) -> None:
    """runc 1.5 and 1.6 leave all but one of them waiting until the container ends."""
    assert box("create", "--bundle", str(box.bundle(program, "0")), "a").stderr == ""
    running = [box.begin("start", "a") for _ in range(5)]
    done = [one.end(SOON) for one in running]
    assert sorted(one.returncode for one in done) == [0, 1, 1, 1, 1], done
    for one in done:
        if one.returncode:
            refused(one, "cannot start a")


@pytest.mark.parametrize("round", range(5))
def test_deletes_at_once(box: Box, round: int) -> None:
    assert box("run", "--bundle", str(box.bundle("exit", "0")), "--keep", "a").returncode == 0
    running = [box.begin("delete", "a") for _ in range(4)]
    judged([one.end() for one in running], MISSING)


@pytest.mark.parametrize("round", range(3))
def test_forced_deletes_at_once(box: Box, round: int) -> None:
    """What is gone is no error for any of them."""
    assert box("run", "--bundle", str(box.bundle("sleep")), "--detach", "a").returncode == 0
    running = [box.begin("delete", "--force", "a") for _ in range(4)]
    assert [one.end().returncode for one in running] == [0] * 4


def test_create_delete_create(box: Box) -> None:
    """Deletes that come late do not touch the next container of that name."""
    for _ in range(5):
        assert box("run", "--bundle", str(box.bundle("exit", "0")), "--keep", "a").returncode == 0
        late = [box.begin("delete", "a") for _ in range(3)]
        until(lambda: not (box.root / "a").exists(), "the first delete has succeeded")
        assert box("create", "--bundle", str(box.bundle("sleep")), "a").stderr == ""
        for one in late:
            one.end()
        if (box.root / "a").exists():  # else: a delete that looked after the create was right to delete it
            assert box.status("a") == "created"
        assert box("delete", "--force", "a").returncode == 0


# One command stopped in a hook, every other command beside it. A row: which command, which hook, the hook is inside
# the container, the status that the others see.
STOPPED = {
    "create in createRuntime": (("create",), "createRuntime", False, "creating"),
    "create in createContainer": (("create",), "createContainer", False, "creating"),
    "run in prestart": (("run",), "prestart", False, "creating"),
    "start in startContainer": (("start",), "startContainer", True, "created"),
    "start in poststart": (("start",), "poststart", False, "running"),
    "run in poststart": (("run",), "poststart", False, "running"),
    "run -d in startContainer": (("run", "--detach"), "startContainer", True, "created"),
    "delete in poststop": (("delete",), "poststop", False, "missing"),
    "run in poststop": (("run",), "poststop", False, "missing"),
}
stopped = pytest.mark.parametrize("case", STOPPED)


def stop(box: Box, case: str) -> tuple[Running, Gate, str]:
    """A command that hangs in its hook, the hook, and the container's status meanwhile."""
    command, kind, inside, status = STOPPED[case]
    bundle = box.bundle(*(("exit", "0") if kind == "poststop" else ("sleep",)))
    gate = box.gate(bundle / "rootfs" if inside else None)
    change_config(bundle, hook(kind, gate.hook))
    if command[0] in ("start", "delete"):
        assert box("create", "--bundle", str(bundle), "a").stderr == ""
        running = box.begin(*command, "a")
    else:
        running = box.begin(*command, "--bundle", str(bundle), "a")
    gate.wait()
    return running, gate, status


def change_config(bundle: Path, change: Change) -> None:
    file = bundle / "config.json"
    config = json.loads(file.read_text())
    change(config)
    file.write_text(json.dumps(config))


@stopped
def test_state_and_list_do_not_wait(box: Box, case: str) -> None:
    running, gate, status = stop(box, case)
    if status == "missing":
        refused(box("state", "a", timeout=SOON), MISSING)
        assert box("list", "-q", timeout=SOON).stdout == ""
    else:
        assert box.status("a") == status
        assert box("list", "-q", timeout=SOON).stdout == "a\n"
    assert running.is_running()
    gate.open()
    if case != "run in poststart" and case != "run in prestart":  # a run goes on until the container ends
        assert running.end().returncode == 0
    else:
        box.wait("a", "running")
        assert box("kill", "a", "KILL").returncode == 0
        assert running.end().returncode == 128 + 9


@stopped
def test_kill_does_not_wait(box: Box, case: str) -> None:
    running, gate, status = stop(box, case)
    done = box("kill", "a", "KILL", timeout=SOON)
    if status == "missing":
        refused(done, MISSING)
    else:
        assert done.stderr == ""
    gate.abandon()  # a hook of a process that was killed in its pid namespace is gone as well
    running.end()


@stopped
def test_start_does_not_wait(box: Box, case: str) -> None:
    running, _, status = stop(box, case)
    done = box("start", "a", timeout=SOON)
    assert done.returncode == 1
    refused(done, MISSING if status == "missing" else "cannot start a")
    assert running.is_running()


@stopped
def test_delete_does_not_wait(box: Box, case: str) -> None:
    running, _, status = stop(box, case)
    done = box("delete", "a", timeout=SOON)
    if status == "created":  # a created container may be deleted, here or by the run that finds it dead
        assert done.returncode == 0 or (case.startswith("run") and MISSING in done.stderr)
        assert running.end(SOON).returncode == 1
    else:
        refused(done, MISSING if status == "missing" else f"cannot delete container a that is not stopped: {status}")
        assert running.is_running()


@stopped
def test_forced_delete_does_not_wait(box: Box, case: str) -> None:
    """Also the runtime whose hook hangs ends, but for a hook that runs when the container is running or gone."""
    running, gate, status = stop(box, case)
    done = box("delete", "--force", "a", timeout=SOON)
    assert (done.returncode, done.stderr) == (0, "")
    refused(box("state", "a"), MISSING)
    if status in ("creating", "created"):
        assert running.end(SOON).returncode != 0
    gate.abandon()
    running.end()


@stopped
def test_create_does_not_wait(box: Box, case: str) -> None:
    running, _, status = stop(box, case)
    done = box("create", "--bundle", str(box.bundle("sleep")), "a", timeout=SOON)
    if status == "missing":
        assert done.stderr == ""
    else:
        refused(done, "container with given ID already exists")
    assert running.is_running()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer"])
@pytest.mark.parametrize("command", [("create",), ("run",), ("run", "--detach")])
def test_a_signal_while_a_hook_sleeps(either_box: Box, command: tuple[str, ...], kind: str, number: int) -> None:
    """Everything is undone, and the runtime dies of the signal (runc 1.6 dies too, and leaves a cgroup)."""
    box = either_box
    before = box.snapshot()
    gate = box.gate()
    pid_file = box.directory / "pid"
    bundle = str(box.bundle("sleep", change=hook(kind, gate.hook)))
    running = box.begin(*command, "--bundle", bundle, "--pid-file", str(pid_file), "a")
    gate.wait()
    running.signal(number)
    done = running.end(SOON)
    assert (done.returncode, done.stderr) == (-number, "")
    assert not pid_file.exists()
    box.remove_parents()
    assert box.differences(before) == []


def test_a_second_signal_does_not_stop_the_undoing(box: Box) -> None:
    before = box.snapshot()
    gate = box.gate()
    running = box.begin("create", "--bundle", str(box.bundle("sleep", change=hook("createRuntime", gate.hook))), "a")
    gate.wait()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        running.signal(number)
    assert running.end(SOON).returncode in (-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP)
    box.remove_parents()
    assert box.differences(before) == []


def test_what_the_caller_ignores_stays_ignored(box: Box) -> None:
    """nohup pyoci create: the terminal goes, the create goes on."""
    gate = box.gate()
    bundle = str(box.bundle("sleep", change=hook("createRuntime", gate.hook)))
    ignoring = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        running = box.begin("create", "--bundle", bundle, "a")
    finally:
        signal.signal(signal.SIGHUP, ignoring)
    gate.wait()
    running.signal(signal.SIGHUP)
    gate.open()
    assert running.end().returncode == 0


def test_a_killed_create_leaves_nothing_that_runs(box: Box) -> None:
    """SIGKILL while a hook sleeps: the process dies with the runtime, and `delete --force` finds the rest."""
    gate = box.gate()
    running = box.begin("create", "--bundle", str(box.bundle("sleep", change=hook("createRuntime", gate.hook))), "a")
    gate.wait()
    pid = box.state("a")["pid"]
    running.signal(signal.SIGKILL)
    running.end()
    until(lambda: not alive(pid), "the container's process has ended")
    assert box.status("a") == "stopped"
    gate.open()
    refused(box("start", "a"), "cannot start a container that has stopped")


def test_a_create_that_does_not_answer_is_killed(box: Box) -> None:
    """delete --force asks it first, so that it can undo; one that is stopped cannot."""
    gate = box.gate()
    running = box.begin("create", "--bundle", str(box.bundle("sleep", change=hook("createRuntime", gate.hook))), "a")
    gate.wait()
    running.signal(signal.SIGSTOP)
    begin = time.monotonic()
    assert box("delete", "--force", "a").returncode == 0
    assert time.monotonic() - begin < SOON
    assert running.end().returncode == -signal.SIGKILL
    gate.open()
