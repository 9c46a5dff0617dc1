"""events: statistics once and again, notices of the OOM killer, the end with the container."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pyoci.container import events
from pyoci.container.state import Container
from pyoci.errors import Error
from tests.container.box import SOON, Box, Done, Running, until

pytestmark = pytest.mark.root

KEYS = ["cpu", "cpuset", "memory", "pids", "blkio", "hugetlb", "intel_rdt", "network_interfaces"]
LIMIT = 24 << 20

HOG = 'import os, sys; open(sys.argv[1], "w").write(str(os.getpid())); x = b"x" * (100 << 20)'


def started(box: Box, id: str = "a") -> str:
    """A container that sleeps; the directory of its cgroup with memory, or its only one."""
    for done in (box("create", "--bundle", str(box.bundle("sleep")), id), box("start", id)):
        assert (done.returncode, done.stderr) == (0, "")
    paths = json.loads((box.root / id / "state.json").read_text())["cgroup_paths"]
    return str(paths.get("memory") or paths[""])


def lines(running: Running) -> list[dict[str, Any]]:
    """What has been printed so far, whole lines only."""
    text = running.output.with_suffix(".out").read_text()
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def kinds(running: Running) -> list[str]:
    return [line["type"] for line in lines(running)]


def write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def limit(cgroup: str) -> None:
    """So little memory that the hog must die."""
    write(f"{cgroup}/memory.max" if unified(cgroup) else f"{cgroup}/memory.limit_in_bytes", str(LIMIT))
    if unified(cgroup):
        write(f"{cgroup}/memory.swap.max", "0")
    elif os.path.exists(f"{cgroup}/memory.memsw.limit_in_bytes"):
        write(f"{cgroup}/memory.memsw.limit_in_bytes", str(LIMIT))


def unified(cgroup: str) -> bool:
    return os.path.exists(f"{cgroup}/cgroup.events")


def hog(cgroup: str) -> None:
    done = subprocess.run([sys.executable, "-c", HOG, f"{cgroup}/cgroup.procs"], check=False)
    assert done.returncode == -9, "the OOM killer did not come"


def refused(done: Done, message: str) -> None:
    assert (done.returncode, done.stdout) == (1, "")
    assert f'level=error msg="{message}"' in done.stderr.splitlines()[0]


def test_once(either_box: Box) -> None:
    """One line, of a created and of a running container."""
    box = either_box
    assert box("create", "--bundle", str(box.bundle("sleep")), "a").returncode == 0
    for _ in range(2):
        done = box("events", "--stats", "a")
        assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)
        event = json.loads(done.stdout)
        assert (list(event), event["type"], event["id"]) == (["type", "id", "data"], "stats", "a")
        assert list(event["data"]) == KEYS
        assert event["data"]["pids"]["current"] >= 1
        assert event["data"]["cpu"]["usage"]["total"] > 0
        box("start", "a")


@pytest.mark.also_guest
def test_stream_with_the_oom_killer(box: Box) -> None:
    """Statistics every interval; a notice at once when a process is killed; the end when the container ends."""
    cgroup = started(box)
    limit(cgroup)
    hog(cgroup)  # before we look: not reported
    stream = box.begin("events", "--interval", "100ms", "a")
    until(lambda: len(lines(stream)) >= 2, "two lines of statistics")
    assert set(kinds(stream)) == {"stats"}
    assert lines(stream)[-1]["data"]["memory"]["usage"]["limit"] == LIMIT
    hog(cgroup)
    until(lambda: "oom" in kinds(stream), "the notice")
    assert next(line for line in lines(stream) if line["type"] == "oom") == {"type": "oom", "id": "a"}
    count = len(lines(stream))
    until(lambda: len(lines(stream)) >= count + 3, "statistics go on")
    if unified(cgroup):  # there one kill is one notice; v1 tells whenever the limit is met
        assert kinds(stream).count("oom") == 1
    assert box("kill", "a", "KILL").returncode == 0
    done = stream.end(SOON)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.also_guest
def test_no_statistics_before_the_interval_and_the_end_at_once(box: Box) -> None:
    """The end does not wait for the next statistics."""
    cgroup = started(box)
    limit(cgroup)
    stream = box.begin("events", "--interval", "1h", "a")
    until(lambda: watches(stream.pid), "events watches")
    if unified(cgroup):
        write(f"{cgroup}/memory.oom.group", "1")  # so that the container's process dies of it too
    hog(cgroup)
    box("kill", "a", "KILL")
    done = stream.end(SOON)
    assert (done.returncode, done.stderr) == (0, "")
    assert {json.loads(line)["type"] for line in done.stdout.splitlines()} == {"oom"}


def watches(pid: int) -> bool:
    """Whether the process waits in poll(2), as it does once all is set up."""
    try:
        return "poll" in Path(f"/proc/{pid}/wchan").read_text()
    except OSError:
        return False


def test_the_end_of_an_idle_stream_by_removal(box: Box) -> None:
    """delete takes the cgroup away; two streams of one container end alike."""
    started(box)
    streams = [box.begin("events", "--interval", "1h", "a") for _ in range(2)]
    until(lambda: all(watches(stream.pid) for stream in streams), "both watch")
    assert box("delete", "--force", "a").returncode == 0
    for stream in streams:
        done = stream.end(SOON)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_errors(box: Box) -> None:
    """In runc's order: the container, the interval, its state."""
    refused(box("events", "--interval", "0", "a"), "container does not exist")
    started(box)
    for interval in ("0", "0s", "-5s"):
        refused(box("events", "--interval", interval, "a"), "duration interval must be greater than 0")
        refused(box("events", "--stats", "--interval", interval, "a"), "duration interval must be greater than 0")
    box("kill", "a", "KILL")
    box.wait("a", "stopped")
    refused(box("events", "--interval", "0", "a"), "duration interval must be greater than 0")
    refused(box("events", "a"), "container with id a is not running")
    refused(box("events", "--stats", "a"), "container with id a is not running")


@pytest.mark.parametrize("either_box", ["v2"], indirect=True)
def test_nobody_tells_of_memory(either_box: Box) -> None:
    """Without a controller there are no notices: refused, as by runc; --stats works."""
    box = either_box
    started(box)
    done = box("events", "a")
    refused(done, "memory controller missing")
    assert "memory.events is not there; events --stats does without" in done.stderr


def test_a_reader_that_is_gone(box: Box) -> None:
    """It dies of SIGPIPE, no endless loop."""
    started(box)
    reading, writing = os.pipe()
    os.close(reading)
    command = box.command("events", "--interval", "10ms", "a")
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False, timeout=SOON)
    os.close(writing)
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(box: Box, number: int) -> None:
    """The usual end: it dies of the signal and says nothing."""
    started(box)
    stream = box.begin("events", "--interval", "1h", "a")
    until(lambda: watches(stream.pid), "events watches")
    stream.signal(number)
    done = stream.end(SOON)
    assert (done.returncode, done.stdout, done.stderr) == (-number, "", "")


def test_a_container_that_got_no_cgroup() -> None:
    """A rootless one, maybe: what is at the paths that were planned for it is not its own."""
    planned = {"": "/sys/fs/cgroup", "memory": "/sys/fs/cgroup/memory"}
    without = Container(root="/", id="a", bundle="/", rootfs="/", created="", annotations={}, cgroups=planned)
    assert events.usage(without)["data"]["memory"] == {}
    with pytest.raises(Error, match="memory controller missing"):
        events.watch(without)


class Script(events.Watch):
    """A watch that tells what it was told to tell."""

    def __init__(self, *looks: tuple[bool, bool]) -> None:
        super().__init__()
        self.looks = list(looks)

    def look(self) -> tuple[bool, bool]:
        return self.looks.pop(0)


CONTAINER = Container(root="/", id="a", bundle="/", rootfs="/", created="", annotations={}, cgroups={})


def test_statistics_that_cannot_be_read_are_logged(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """And the next ones are tried; at the end there is no complaint about a cgroup that has just gone."""
    answers = iter([Error("first"), {"data": 1}, Error("last")])

    def usage(_container: Container) -> object:
        answer = next(answers)
        if isinstance(answer, Error):
            raise answer
        return answer

    looks = [(False, True), (False, True), (True, True), (False, True), (False, False)]
    monkeypatch.setattr(events, "watch", lambda _container: Script(*looks))
    monkeypatch.setattr(events, "usage", usage)
    assert list(events.stream(CONTAINER, 1)) == [{"type": "oom", "id": "a"}, {"data": 1}]
    captured = capfd.readouterr()
    assert "first" in captured.err
    assert "last" not in captured.err


def test_a_slow_reader_gets_no_heap_of_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was due meanwhile is left out, as by Go's ticker."""
    monkeypatch.setattr(events, "watch", lambda _container: Script(*[(False, True)] * 50))
    monkeypatch.setattr(events, "usage", lambda _container: {"at": time.monotonic_ns()})
    stream = events.stream(CONTAINER, 20_000_000)
    first = next(stream)["at"]
    time.sleep(0.1)
    times = [next(stream)["at"] for _ in range(3)]
    assert times[0] - first >= 100_000_000
    assert times[2] - first >= 120_000_000, "more than one of the five that were due was handed in"
