"""create, start, state, kill, delete, run: in every order and every state."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import Any

import pytest

from tests.container.box import Box, Done, alive, until

pytestmark = pytest.mark.root

MISSING = "container does not exist"


def refused(done: Done, text: str) -> None:
    """Exit status 1, nothing on standard output, one error whose first line ends in `text`."""
    assert (done.returncode, done.stdout) == (1, ""), done
    assert text in done.stderr.splitlines()[0]
    assert done.stderr.count("level=error") == 1


def in_state(box: Box, status: str) -> None:
    """Bring the container "a" there."""
    if status == "missing":
        return
    program = ("exit", "0") if status == "stopped" else ("sleep",)
    assert box("create", "--bundle", str(box.bundle(*program)), "a").stderr == ""
    if status == "created":
        return
    assert box("start", "a").stderr == ""
    if status == "paused":
        assert box("pause", "a").stderr == ""
    box.wait("a", status)


STATUSES = ["missing", "created", "running", "paused", "stopped"]


@pytest.mark.parametrize("status", STATUSES)
def test_state(either_box: Box, status: str) -> None:
    box = either_box
    in_state(box, status)
    if status == "missing":
        refused(box("state", "a"), MISSING)
        return
    found = box.state("a")
    assert found["status"] == status
    assert (found["pid"] == 0) == (status == "stopped")
    assert box("list", "-q").stdout == "a\n"


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ("missing", MISSING),
        ("running", "cannot start an already running container"),
        ("paused", "cannot start a container in the paused state"),
        ("stopped", "cannot start a container that has stopped"),
    ],
)
def test_start_is_refused(box: Box, status: str, text: str) -> None:
    in_state(box, status)
    refused(box("start", "a"), text)
    if status != "missing":
        assert box.status("a") == status


@pytest.mark.parametrize("status", ["created", "running", "paused", "stopped"])
def test_create_of_a_name_that_is_taken(box: Box, status: str) -> None:
    in_state(box, status)
    for command in (("create",), ("run",), ("run", "--detach")):
        refused(box(*command, "--bundle", str(box.bundle("sleep")), "a"), "container with given ID already exists")
    assert box.status("a") == status


@pytest.mark.parametrize("number", ["KILL", "TERM", "0"])
@pytest.mark.parametrize(("status", "text"), [("missing", MISSING), ("stopped", "container not running")])
def test_kill_is_refused(box: Box, status: str, text: str, number: str) -> None:
    in_state(box, status)
    refused(box("kill", "a", number), text)


@pytest.mark.parametrize("status", ["created", "running", "paused"])
def test_kill(either_box: Box, status: str) -> None:
    """SIGKILL reaches a paused container as well."""
    box = either_box
    in_state(box, status)
    pid = box.state("a")["pid"]
    assert box("kill", "a", "0").stderr == ""
    assert box.status("a") == status
    assert box("kill", "a", "KILL").stderr == ""
    until(lambda: not alive(pid), "the process has ended")
    refused(box("start", "a"), "cannot start a container that has stopped")
    assert box("delete", "a").stderr == ""


@pytest.mark.parametrize("number", ["TERM", "INT", "HUP", "QUIT"])
def test_a_created_container_ends_by_the_usual_signals(box: Box, number: str) -> None:
    """As runc's init does; the first process of a pid namespace ignores what it does not handle."""
    in_state(box, "created")
    assert box("kill", "a", number).stderr == ""
    box.wait("a", "stopped")


@pytest.mark.parametrize("status", ["running", "paused"])
def test_delete_is_refused(box: Box, status: str) -> None:
    in_state(box, status)
    refused(box("delete", "a"), f"cannot delete container a that is not stopped: {status}")
    assert box.status("a") == status


@pytest.mark.parametrize("status", ["created", "stopped"])
def test_delete(either_box: Box, status: str) -> None:
    """A created container is killed and deleted, as runc does it."""
    in_state(either_box, status)
    done = either_box("delete", "a")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    refused(either_box("state", "a"), MISSING)
    refused(either_box("delete", "a"), MISSING)


def test_delete_of_nothing(box: Box) -> None:
    refused(box("delete", "a"), MISSING)
    assert box("delete", "--force", "a").stderr == ""


@pytest.mark.parametrize("status", STATUSES)
def test_forced_delete(either_box: Box, status: str) -> None:
    in_state(either_box, status)
    done = either_box("delete", "--force", "a")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    refused(either_box("state", "a"), MISSING)


def test_delete_removes_what_an_older_create_or_delete_has_left(box: Box) -> None:
    """A directory without state.json is the rest of a create that was killed: gone, and still an error as in runc."""
    for name in ("a", "ab"):
        (box.root / name / "notify").mkdir(parents=True)
        os.mkfifo(box.root / name / "exec.fifo")
    refused(box("delete", "a"), MISSING)
    assert os.listdir(box.root) == ["ab"]
    assert box("delete", "--force", "ab").returncode == 0
    assert os.listdir(box.root) == []


def test_a_name_can_be_used_again(box: Box) -> None:
    for _ in range(3):
        in_state(box, "running")
        assert box("delete", "--force", "a").stderr == ""


def test_run(either_box: Box) -> None:
    box = either_box
    assert box("run", "--bundle", str(box.bundle("exit", "7")), "a").returncode == 7
    running = box.begin("run", "--bundle", str(box.bundle("sleep")), "a")
    os.kill(until_running(box, "a"), signal.SIGKILL)
    assert running.end().returncode == 128 + 9
    refused(box("state", "a"), MISSING)


def test_run_keep(box: Box) -> None:
    assert box("run", "--keep", "--bundle", str(box.bundle("exit", "7")), "a").returncode == 7
    assert box.status("a") == "stopped"
    assert box("delete", "a").stderr == ""


def test_run_forwards_signals(box: Box) -> None:
    running = box.begin("run", "--bundle", str(box.bundle("write", "/up", "x", ",", "trap", "9", change=writable)), "a")
    until(lambda: list(box.directory.glob("bundle-*/rootfs/up")), "the program runs")
    running.signal(signal.SIGTERM)
    assert running.end().returncode == 9
    refused(box("state", "a"), MISSING)


def writable(config: dict[str, Any]) -> None:
    config["root"]["readonly"] = False


def test_pid_file(box: Box) -> None:
    """Digits, no newline: go-runc does not trim."""
    bundle = str(box.bundle("sleep"))
    assert box("create", "--bundle", bundle, "--pid-file", "pid", "a").stderr == ""
    assert (box.directory / "pid").read_text() == str(box.state("a")["pid"])
    assert not (box.directory / ".pid").exists()


@pytest.mark.parametrize("command", [("create",), ("run",), ("run", "--detach")])
def test_no_pid_file_no_container(box: Box, command: tuple[str, ...]) -> None:
    before = box.snapshot()
    done = box(*command, "--bundle", str(box.bundle("sleep")), "--pid-file", "missing/pid", "a")
    refused(done, "missing/.pid: no such file or directory")
    box.remove_parents()
    assert box.differences(before) == []


def test_a_pid_file_replaces_an_older_one(box: Box) -> None:
    (box.directory / "pid").write_text("123456789")
    (box.directory / ".pid").write_text("left by one that was killed")
    assert box("create", "--bundle", str(box.bundle("sleep")), "--pid-file", "pid", "a").stderr == ""
    assert (box.directory / "pid").read_text() == str(box.state("a")["pid"])


def test_the_init_process_dies_before_start(box: Box) -> None:
    """start watches the process and the fifo; it was stopped, so that its end comes while start waits."""
    in_state(box, "created")
    pid = box.state("a")["pid"]
    os.kill(pid, signal.SIGSTOP)
    starting = box.begin("start", "a")
    with pytest.raises(subprocess.TimeoutExpired):  # it waits, as it must
        starting.process.wait(0.5)
    os.kill(pid, signal.SIGKILL)
    refused(starting.end(), "exec fifo is empty: container init did not signal execve readiness")


def test_a_recycled_pid_is_never_signalled(box: Box) -> None:
    """state.json names a pid that now belongs to somebody else: only the start time can tell."""
    in_state(box, "stopped")
    file = box.root / "a/state.json"
    state = json.loads(file.read_text())
    other = box.begin("run", "--bundle", str(box.bundle("sleep")), "other")
    box_pid = until_running(box, "other")
    state["init_process_pid"] = box_pid
    file.write_text(json.dumps(state))
    assert box.status("a") == "stopped"
    refused(box("kill", "a", "KILL"), "container not running")
    assert box("kill", "--all", "a", "KILL").stderr == ""
    assert box("delete", "--force", "a").stderr == ""
    assert box.status("other") == "running"
    assert box("kill", "other", "KILL").stderr == ""
    assert other.end().returncode == 128 + 9


def until_running(box: Box, id: str) -> int:
    until((box.root / id / "state.json").exists, f"{id} exists")
    box.wait(id, "running")
    return int(box.state(id)["pid"])
