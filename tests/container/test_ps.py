"""ps: the container's processes as JSON, and as the lines that the host's ps prints about them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.container.box import Box, until
from tests.container.test_life_cycle import MISSING, in_state, refused

pytestmark = pytest.mark.root


def several(box: Box, count: int = 3) -> list[int]:
    """A container with `count` processes; their pids."""
    bundle = box.bundle("spawn", str(count - 1), ",", "sleep")
    assert box("run", "--detach", "--bundle", str(bundle), "a").stderr == ""
    until(lambda: len(pids(box)) == count, "it has all its processes")
    return pids(box)


def pids(box: Box) -> list[int]:
    found: list[int] = json.loads(box("ps", "--format", "json", "a").stdout)
    return found


def test_json(either_box: Box) -> None:
    """One line of numbers and nothing else: containerd reads both streams together."""
    box = either_box
    found = several(box)
    assert found == sorted(found) and box.state("a")["pid"] in found
    for command in (("ps", "--format", "json", "a"), ("ps", "-f", "json", "a", "ignored"), ("ps", "-f=json", "a")):
        done = box(*command)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"[{','.join(map(str, found))}]\n", "")


@pytest.mark.parametrize(
    "options", [(), ("--",), ("-ef",), ("--", "-ef"), ("-e", "-o", "user,pid,comm"), ("axu",), ("-eL",)]
)
def test_table(box: Box, options: tuple[str, ...]) -> None:
    found = several(box)
    done = box("ps", "a", *options)
    assert (done.returncode, done.stderr) == (0, "")
    header, *lines = done.stdout.splitlines()
    column = header.split().index("PID")
    assert sorted(int(line.split()[column]) for line in lines) == found
    if options[-1:] in ((), ("--",), ("-ef",)):
        assert header.split()[:3] == ["UID", "PID", "PPID"]
        assert all("/reporter spawn 2 , sleep" in line for line in lines)


def test_options_behind_the_id_are_those_of_ps(box: Box) -> None:
    """--format here is one of the host's ps."""
    found = several(box)
    done = box("ps", "a", "--format", "pid,comm", "-e")
    assert done.stdout.splitlines()[0].split() == ["PID", "COMMAND"]
    assert len(done.stdout.splitlines()) == 1 + len(found)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("-o", "comm"), "couldn't find PID field in ps output"),
        (("-e", "--no-headers"), "couldn't find PID field in ps output"),
        (("--bogus",), "exit status 1: error: unknown gnu long option"),
        (("-e", "-o", "comm=PID"), "unable to parse pid: strconv.Atoi: parsing "),
    ],
)
def test_refused(box: Box, options: tuple[str, ...], text: str) -> None:
    several(box, 1)
    done = box("ps", "a", *options)
    assert (done.returncode, done.stdout) == (1, "")
    assert text in done.stderr


def test_no_ps(box: Box, tmp_path: Path) -> None:
    several(box, 1)
    refused(box("ps", "a", env={"PATH": str(tmp_path)}), 'exec: \\"ps\\": executable file not found in $PATH')
    assert box("ps", "-f", "json", "a", env={"PATH": str(tmp_path)}).returncode == 0


def test_no_ps_of_a_relative_directory(box: Box, tmp_path: Path) -> None:
    """Nor one of the directory that the command is called in."""
    several(box, 1)
    here = box.directory  # the caller's
    (here / "bin").mkdir()
    for place in (here / "ps", here / "bin/ps"):
        place.write_text(f"#!/bin/sh\n: > {tmp_path}/called; echo PID\n")
        place.chmod(0o755)
    for search in (".", "bin", "bin:.:"):
        refused(box("ps", "a", env={"PATH": search}), 'exec: \\"ps\\": executable file not found in $PATH')
    assert not (tmp_path / "called").exists()
    assert box("ps", "a", env={"PATH": str(here / "bin")}).stdout == "PID\n"  # the control
    assert (tmp_path / "called").exists()


def test_every_status(either_box: Box) -> None:
    box = either_box
    refused(box("ps", "a"), MISSING)
    refused(box("ps", "--format", "xml", "a"), MISSING)
    in_state(box, "created")
    assert pids(box) == [box.state("a")["pid"]]
    refused(box("ps", "--format", "xml", "a"), "invalid format option")
    assert box("kill", "a", "KILL").stderr == ""
    box.wait("a", "stopped")
    assert box("ps", "--format", "json", "a").stdout == "null\n"
    assert box("ps", "a").stdout.split()[:2] == ["UID", "PID"] and len(box("ps", "a").stdout.splitlines()) == 1
