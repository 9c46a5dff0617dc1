"""A node on which pyoci takes the place of runc: the containers that runc has made go on, command by command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.container.box import Box, alive, until
from tests.container.runcs import Theirs, runc
from tests.container.test_life_cycle import MISSING, refused

__all__ = ["runc"]
pytestmark = pytest.mark.root


@pytest.fixture
def theirs(runc: str, either_box: Box) -> Theirs:
    return Theirs(runc, either_box)


def same(theirs: Theirs, *commands: tuple[str, ...]) -> None:
    """pyoci prints, byte for byte, what runc prints."""
    for command in commands:
        done = theirs.box(*command)
        assert (done.returncode, done.stderr) == (0, ""), command
        assert done.stdout == theirs(*command), command


LOOKS = (("state", "a"), ("list", "-f", "json"), ("list",), ("list", "-q"), ("ps", "-f", "json", "a"))


def hooks(log: Path) -> dict[str, Any]:
    script = f'printf "$0 $VALUE " >> {log}; cat >> {log}; echo >> {log}'
    return {
        kind: [{"path": "/bin/sh", "args": ["sh", "-c", script.replace("$0", kind)], "env": ["VALUE=1"], "timeout": 9}]
        for kind in ("poststart", "poststop")
    }


def test_from_created_to_deleted(theirs: Theirs) -> None:
    box = theirs.box
    log = box.directory / "hooks.log"

    def change(config: dict[str, Any]) -> None:
        config.update(hooks=hooks(log), annotations={"b": "x", "a=b": "c=d"})

    bundle = box.bundle("sleep", change=change)
    theirs("create", "--bundle", str(bundle), "a")
    same(theirs, *LOOKS)
    assert box.status("a") == "created"
    at_create = log.read_text() if log.exists() else ""  # runc 1.5 runs poststart already

    assert box("start", "a").stderr == ""
    assert box.status("a") == "running"
    same(theirs, *LOOKS)
    started = log.read_text().removeprefix(at_create)
    told = json.loads(started.removeprefix("poststart 1 "))
    assert (told["id"], told["status"], told["bundle"]) == ("a", "running", str(bundle))
    refused(box("start", "a"), "cannot start an already running container")

    assert box("pause", "a").stderr == ""
    same(theirs, *LOOKS)
    assert box.status("a") == "paused"
    assert box("resume", "a").stderr == ""
    theirs("pause", "a")
    assert box.status("a") == "paused"
    theirs("resume", "a")
    same(theirs, *LOOKS)

    stats = json.loads(box("events", "--stats", "a").stdout)
    assert stats["id"] == "a" and stats["data"].keys() == json.loads(theirs("events", "--stats", "a"))["data"].keys()

    refused(box("delete", "a"), "cannot delete container a that is not stopped: running")
    assert box("kill", "a", "KILL").stderr == ""
    box.wait("a", "stopped")
    same(theirs, *LOOKS)
    refused(box("kill", "a"), "container not running")
    refused(box("start", "a"), "cannot start a container that has stopped")
    log.write_text("")
    assert box("delete", "a").stderr == ""
    told = json.loads(log.read_text().removeprefix("poststop 1 "))
    assert (told["id"], told["status"], told["bundle"]) == ("a", "stopped", str(bundle))
    assert told["annotations"] == {"b": "x", "a": "b=c=d"}  # as runc itself reads its labels
    refused(box("state", "a"), MISSING)
    assert list(box.root.iterdir()) == []


@pytest.mark.parametrize("status", ["created", "running", "paused"])
def test_delete_with_force_leaves_nothing(theirs: Theirs, status: str) -> None:
    """The box itself looks for processes, cgroups, mounts and directories."""
    box = theirs.box
    theirs("create", "--bundle", str(box.bundle("sleep")), "a")
    if status != "created":
        theirs("start", "a")
    if status == "paused":
        theirs("pause", "a")
    assert box.status("a") == status
    done = box("delete", "--force", "a")
    assert (done.returncode, done.stderr) == (0, "")
    assert list(box.root.iterdir()) == []


def test_without_a_pid_namespace_of_its_own(theirs: Theirs) -> None:
    """KILL reaches what the program has left in the cgroup, as with runc."""
    box = theirs.box

    def change(config: dict[str, Any]) -> None:
        config["linux"]["namespaces"] = [one for one in config["linux"]["namespaces"] if one["type"] != "pid"]

    theirs("run", "--detach", "--bundle", str(box.bundle("sleep", change=change)), "a")
    assert box("exec", "--detach", "a", "/reporter", "sleep").stderr == ""
    pids = json.loads(box("ps", "-f", "json", "a").stdout)
    assert len(pids) == 2
    same(theirs, *LOOKS)
    assert box("delete", "--force", "a").stderr == ""
    assert not any(alive(pid) for pid in pids)


def test_the_end_of_a_stream_of_events(theirs: Theirs) -> None:
    box = theirs.box
    theirs("run", "--detach", "--bundle", str(box.bundle("sleep")), "a")
    if box.view == "v2":  # without the memory controller, that is for --stats alone
        refused(box("events", "a"), "memory controller missing")
    else:
        stream = box.begin("events", "--interval", "10ms", "a")
        until(lambda: stream.output.with_suffix(".out").stat().st_size, "statistics are printed")
        assert box("kill", "a", "KILL").stderr == ""
        done = stream.end()
        assert (done.returncode, done.stderr) == (0, "")
    assert box("delete", "--force", "a").stderr == ""


def test_runc_goes_on_with_what_pyoci_has_begun(theirs: Theirs) -> None:
    """pyoci leaves nothing in the directory that runc minds."""
    box = theirs.box
    theirs("create", "--bundle", str(box.bundle("sleep")), "a")
    assert box("start", "a").stderr == ""
    assert box("pause", "a").stderr == ""
    assert box("resume", "a").stderr == ""
    theirs("exec", "a", "/reporter", "exit", "0")
    theirs("delete", "--force", "a")
    assert list(box.root.iterdir()) == []
