"""pause and resume: what becomes of the processes, in which states they are refused, and that nothing stays frozen."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pyoci.cgroups import hierarchies
from pyoci.cgroups import processes as members
from tests.cgroups import stuck
from tests.container import tracer
from tests.container.box import SOON, Box, Running, alive, until
from tests.container.test_life_cycle import MISSING, in_state, refused

pytestmark = pytest.mark.root


def cgroups(box: Box) -> dict[str, Path]:
    """The container's cgroups by controller, as this process sees them."""
    paths: dict[str, str] = json.loads((box.root / "a/state.json").read_text())["cgroup_paths"]
    if box.prefix and os.path.isdir("/sys/fs/cgroup/unified"):
        return {"": Path(paths[""].replace("/sys/fs/cgroup", "/sys/fs/cgroup/unified", 1))}
    return {key: Path(path) for key, path in paths.items()}


def kernel_says(box: Box) -> str:
    paths = cgroups(box)
    if "freezer" in paths:
        return (paths["freezer"] / "freezer.state").read_text().strip()
    return "FROZEN" if "frozen 1" in (paths[""] / "cgroup.events").read_text() else "THAWED"


@pytest.mark.parametrize("status", ["created", "running"])
def test_pause_and_resume(either_box: Box, status: str) -> None:
    box = either_box
    in_state(box, status)
    pid = box.state("a")["pid"]
    for _ in range(2):
        done = box("pause", "a")
        assert (done.returncode, done.stdout, done.stderr, kernel_says(box)) == (0, "", "", "FROZEN")
        assert (box.status("a"), box.state("a")["pid"]) == ("paused", pid)
        assert box("list").stdout.splitlines()[1].split()[:3] == ["a", str(pid), "paused"]
        assert json.loads(box("ps", "--format", "json", "a").stdout) == [pid]
        refused(box("pause", "a"), "container not running")
        assert box.status("a") == "paused"
        done = box("resume", "a")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        until(lambda: kernel_says(box) == "THAWED", "it goes on")
        assert box.status("a") == status
    if status == "created":
        assert box("start", "a").stderr == ""
        assert box.status("a") == "running"


@pytest.mark.parametrize(("status", "text"), [("missing", MISSING), ("stopped", "container not running")])
def test_pause_is_refused(box: Box, status: str, text: str) -> None:
    in_state(box, status)
    refused(box("pause", "a"), text)


@pytest.mark.parametrize("status", ["missing", "created", "running", "stopped"])
def test_resume_is_refused(box: Box, status: str) -> None:
    in_state(box, status)
    refused(box("resume", "a"), MISSING if status == "missing" else "container not paused")
    assert status == "missing" or box.status("a") == status


def test_a_container_still_being_created(box: Box) -> None:
    gate = box.gate()

    def change(config: dict[str, Any]) -> None:
        config["hooks"] = {"createRuntime": [gate.hook]}

    creating = box.begin("create", "--bundle", str(box.bundle("sleep", change=change)), "a")
    gate.wait()
    refused(box("pause", "a"), "container not running")
    refused(box("resume", "a"), "container not paused")
    gate.open()
    assert creating.end().returncode == 0


def test_a_signal_waits_until_it_goes_on(either_box: Box) -> None:
    box = either_box
    in_state(box, "paused")
    pid = box.state("a")["pid"]
    assert box("kill", "a", "TERM").stderr == ""
    time.sleep(0.1)
    assert alive(pid) and box.status("a") == "paused"
    assert box("resume", "a").stderr == ""
    assert box("kill", "a", "KILL").stderr == ""
    box.wait("a", "stopped")


def shared(config: dict[str, Any]) -> None:
    """No pid namespace: the other processes outlive the first."""
    config["linux"]["namespaces"] = [one for one in config["linux"]["namespaces"] if one["type"] != "pid"]
    config["mounts"] = [one for one in config["mounts"] if one["type"] != "proc"]


def test_one_that_loses_its_process_while_paused(either_box: Box) -> None:
    """On v2 SIGKILL ends a frozen process. Others are left: the container is paused as long as they are, as in runc."""
    box = either_box
    bundle = box.bundle("spawn", "2", ",", "sleep", change=shared)
    assert box("run", "--detach", "--bundle", str(bundle), "a").stderr == ""
    until(lambda: len(json.loads(box("ps", "-f", "json", "a").stdout)) == 3, "it has children")
    assert box("pause", "a").stderr == ""
    pid = box.state("a")["pid"]
    os.kill(pid, signal.SIGKILL)
    if "freezer" not in cgroups(box):
        until(lambda: not alive(pid), "the first process has ended")
        assert box.status("a") == "paused"
        refused(box("delete", "a"), "cannot delete container a that is not stopped: paused")
        refused(box("kill", "a", "TERM"), "container not running")
        assert box("kill", "--all", "a", "TERM").stderr == ""
    assert box("resume", "a").stderr == ""
    until(lambda: not alive(pid), "the first process has ended")
    assert box.status("a") == "stopped"
    assert box("delete", "a").stderr == ""


@pytest.mark.parametrize("how", ["kill", "delete"])
def test_all_of_a_paused_container_end(either_box: Box, how: str) -> None:
    box = either_box
    bundle = box.bundle("spawn", "2", ",", "sleep", change=shared)
    assert box("run", "--detach", "--bundle", str(bundle), "a").stderr == ""
    until(lambda: len(json.loads(box("ps", "-f", "json", "a").stdout)) == 3, "it has children")
    assert box("pause", "a").stderr == ""
    processes = json.loads(box("ps", "-f", "json", "a").stdout)
    done = box("delete", "--force", "a", timeout=SOON) if how == "delete" else box("kill", "a", "KILL")
    assert (done.returncode, done.stderr) == (0, "")
    until(lambda: not any(alive(pid) for pid in processes), "all have ended")


@pytest.fixture
def unfreezable(box: Box) -> Iterator[Callable[[], int]]:
    """Puts a process into the container's cgroups that waits in the kernel and cannot be frozen."""
    started = []

    def start() -> int:
        command = [sys.executable, stuck.__file__, str(box.directory)]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        assert started[-1].stdout
        pid = int(started[-1].stdout.readline())
        for path in cgroups(box).values():
            (path / "cgroup.procs").write_text(str(pid))
        return pid

    yield start
    for running in box.running:  # of a test that failed
        if running.is_running():
            running.signal(signal.SIGKILL)
    for process in started:
        if (box.root / "a/state.json").exists():
            members.thaw({key: str(path) for key, path in cgroups(box).items()})
        process.communicate(timeout=30)
        assert process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_pause_that_is_interrupted_thaws(box: Box, unfreezable: Callable[[], int], number: int) -> None:
    in_state(box, "running")
    unfreezable()
    pausing = box.begin("pause", "a")
    box.wait("a", "paused")  # or on the way there
    assert pausing.is_running()
    pausing.signal(number)
    done = pausing.end(SOON)
    assert (done.returncode, done.stdout) == (-number, "")
    assert (kernel_says(box), box.status("a")) == ("THAWED", "running")


def stop_while_freezing(box: Box, pausing: Running) -> None:
    """On v1 a pause begins afresh now and then, with a thaw: killed at that moment it would leave nothing to resume."""
    while True:
        pausing.signal(signal.SIGSTOP)
        os.waitid(os.P_PID, pausing.pid, os.WSTOPPED)
        if box.status("a") == "paused":
            return
        pausing.signal(signal.SIGCONT)
        time.sleep(0.02)


def test_a_pause_that_is_killed_can_be_taken_back(box: Box, unfreezable: Callable[[], int]) -> None:
    in_state(box, "running")
    unfreezable()
    pausing = box.begin("pause", "a")
    box.wait("a", "paused")
    stop_while_freezing(box, pausing)
    waiting = box.begin("resume", "a")  # one change at a time
    time.sleep(0.2)
    assert waiting.is_running()
    pausing.signal(signal.SIGKILL)
    assert pausing.end().returncode == -signal.SIGKILL
    assert waiting.end(SOON).returncode == 0
    assert (kernel_says(box), box.status("a")) == ("THAWED", "running")


def test_a_pause_that_fails_thaws(box: Box, unfreezable: Callable[[], int]) -> None:
    """The one test that waits for the ten seconds that runc waits, too."""
    in_state(box, "running")
    pid = unfreezable()
    refused(done := box("pause", "a"), "unable to freeze")
    assert f"process {pid} does not leave a system call (state D, in request_wait_answer)" in done.stderr
    assert (kernel_says(box), box.status("a")) == ("THAWED", "running")


@pytest.mark.skipif(not tracer.SUPPORTED, reason="the tracer knows x86_64 only")
@pytest.mark.parametrize("what", ["errno", "signal"])
def test_nothing_stays_frozen_whatever_fails(either_box: Box, what: str) -> None:
    """Each system call from the opening of the cgroup on fails once, or is followed by SIGTERM: the container is paused
    and the command has succeeded, or it runs."""
    box = either_box
    in_state(box, "running")
    request = {"calls": ["openat", "openat2", "read", "write", "poll"], "begin": ["openat2"]}
    done, answer = box.trace("pause", "a", **request)
    assert done.returncode == 0 and box("resume", "a").stderr == ""
    assert "write" in answer["calls"]
    thawed = 0
    for index in range(len(answer["calls"])):
        done, _ = box.trace(
            "pause", "a", **request, at=index, **{what: errno.EIO if what == "errno" else signal.SIGTERM}
        )
        expected = "paused" if done.returncode == 0 else "running"
        assert box.status("a") == expected, (index, done)
        thawed += done.returncode != 0
        if expected == "paused":
            assert box("resume", "a").stderr == ""
    assert thawed


@pytest.mark.parametrize("round", range(5))
def test_pauses_at_once(box: Box, round: int) -> None:
    """One of them pauses; what the others do does not take that back."""
    in_state(box, "running")
    done = [one.end(SOON) for one in [box.begin("pause", "a") for _ in range(3)]]
    assert sorted(one.returncode for one in done) == [0, 1, 1], done
    assert (kernel_says(box), box.status("a")) == ("FROZEN", "paused")


def test_delete_does_not_wait_for_a_pause(box: Box, unfreezable: Callable[[], int]) -> None:
    in_state(box, "running")
    pid = unfreezable()
    pausing = box.begin("pause", "a")
    box.wait("a", "paused")
    here = hierarchies.detect()
    for controller in cgroups(box):  # it is not the container's
        Path(f"{here.mounts[controller]}{here.own[controller]}/cgroup.procs").write_text(str(pid))
    assert box("delete", "--force", "a", timeout=SOON).stderr == ""
    pausing.end(SOON)
