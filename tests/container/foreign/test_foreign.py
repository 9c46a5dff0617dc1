"""A node on which pyoci takes the place of runc: the containers that runc has made go on, command by command."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests import reporter
from tests.container.box import Box, alive, until
from tests.container.exec.started import common
from tests.container.rootless.users import Rootless
from tests.container.runcs import Theirs, runc
from tests.container.streams.test_notify import Bundle, Manager, bundle, env, manager, notifier, taken
from tests.container.test_life_cycle import MISSING, refused

__all__ = ["bundle", "manager", "notifier", "runc"]
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


def without_cgroups(config: dict[str, Any]) -> None:
    """runc's mount of cgroup2, without a cgroup namespace, takes nsdelegate from that of the whole machine."""
    config["mounts"] = [one for one in config["mounts"] if one["type"] != "cgroup"]


def test_from_created_to_deleted(theirs: Theirs) -> None:
    box = theirs.box
    log = box.directory / "hooks.log"

    def change(config: dict[str, Any]) -> None:
        without_cgroups(config)
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


@pytest.mark.parametrize("kind", ["host", "v2", "delegated"])
def test_of_a_user_without_privileges(runc: str, box: Box, kind: str) -> None:
    """Without cgroups that could be changed, runc notes some all the same: nothing there is the container's."""
    user = Rootless(box, kind)
    try:
        theirs = Theirs(runc, box)
        theirs("run", "--detach", "--bundle", str(user.bundle("sleep")), "a")
        pid = box.state("a")["pid"]
        same(theirs, *LOOKS[:-1])
        assert box("exec", "a", "/reporter", "exit", "7").returncode == 7
        if kind == "delegated":
            assert json.loads(box("ps", "-f", "json", "a").stdout) == [pid]
            assert box("pause", "a").stderr == "" and box("resume", "a").stderr == ""
        else:
            refused(box("ps", "-f", "json", "a"), "unable to get all container pids")
            refused(box("pause", "a"), "cannot toggle freezer: cgroups not configured for container")
        done = box("delete", "--force", "a")
        assert (done.returncode, done.stderr) == (0, "")
        assert not alive(pid) and list(box.root.iterdir()) == []
    finally:
        user.close()


def test_with_a_user_namespace(runc: str, box: Box) -> None:
    def change(config: dict[str, Any]) -> None:
        ids = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        config["linux"].update(uidMappings=ids, gidMappings=ids)
        config["linux"]["namespaces"].append({"type": "user"})

    theirs = Theirs(runc, box)
    path = box.bundle("sleep", change=change)
    os.chown(path / "rootfs", 100000, 100000)
    theirs("create", "--bundle", str(path), "a")
    same(theirs, *LOOKS)
    assert box("start", "a").stderr == ""
    same(theirs, *LOOKS)
    words = ("exec", "--user", "7:8", "a", "/reporter", "report")
    [ours], [others] = (reporter.parse(text.encode()) for text in (box(*words).stdout, theirs(*words)))
    for one in (ours, others):  # runc's now and then has a keyring of its own there
        del one["session_keyring"], one["session_keyring_description"]
    assert common(ours) == common(others)
    assert ours["uid_map"] and ours["uid"][0] == 7
    assert box("delete", "--force", "a").stderr == ""


def test_readiness_is_passed_on(runc: str, box: Box, manager: Manager, bundle: Bundle) -> None:
    """runc's container has its socket where pyoci's start makes it."""
    theirs = Theirs(runc, box)
    theirs("create", "--bundle", str(bundle("STATUS=soon", "READY=1", "-1")), "a", env=env(manager))
    pid = box.state("a")["pid"]
    status, error, messages = taken(box, manager, "start", "a")
    assert (status, error) == (0, "")
    assert messages[0] == f"READY=1\nMAINPID={pid}"
    assert box("delete", "--force", "a").stderr == ""
