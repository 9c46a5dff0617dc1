"""Rootless containers of a user with a systemd of its own: what is done from another cgroup, and in a delegated one."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.container.rootless.users import enter, without_user
from tests.isolation import user_namespace
from tests.systemd.conftest import TESTER, Done, Scopes, scopes_of, until

pytestmark = pytest.mark.booted

DELEGATED = ("systemd-run", "--user", "--scope", "--quiet", "-p", "Delegate=yes")


@pytest.fixture
def user(pyoci: str, tmp_path: Path, reporter: Path, users_systemd: None) -> Iterator[Scopes]:
    """Its commands are started by root's service: from a cgroup that is not the user's."""
    yield from scopes_of(pyoci, tmp_path, reporter, user=True)


@pytest.fixture
def inside(user: Scopes) -> Iterator[Scopes]:
    """Each command is in a scope of its own that systemd has delegated to it."""
    prefix, user.prefix = user.prefix, (*user.prefix, *DELEGATED)
    yield user
    user.prefix = prefix


def ok(done: Done) -> str:
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def ranges(config: dict[str, Any]) -> None:
    first, size = subordinate()
    rows = [{"containerID": 0, "hostID": TESTER, "size": 1}, {"containerID": 1, "hostID": first, "size": size}]
    config["linux"].update(uidMappings=rows, gidMappings=rows)
    config["process"]["user"].update(uid=7, gid=8, additionalGids=[9])


def subordinate() -> tuple[int, int]:
    with open("/etc/subuid") as file:
        [line] = [line for line in file.read().split() if line.startswith("tester:")]
    return int(line.split(":")[1]), int(line.split(":")[2])


def started(user: Scopes, id: str, change: Any = None, systemd: bool = True) -> Path:
    """A container that runs; its cgroup."""
    bundle = user.bundle("sleep", change=change)
    ok(user("create", "-b", bundle, id, systemd=systemd))
    ok(user("start", id))
    return Path("/sys/fs/cgroup" + user.cgroup(user.state(id)["pid"]))


def members(cgroup: Path) -> set[str]:
    return set((cgroup / "cgroup.procs").read_text().split())


def all_commands(user: Scopes, id: str, cgroup: Path) -> None:
    """What needs a cgroup."""
    pid, other = str(user.state(id)["pid"]), user.directory / f"pid-{id}"
    ok(user("exec", "--detach", "--pid-file", str(other), id, "/reporter", "sleep"))
    assert members(cgroup) == {pid, other.read_text()}
    assert {str(number) for number in json.loads(ok(user("ps", "--format", "json", id)))} == members(cgroup)
    ok(user("pause", id))
    assert "frozen 1" in (cgroup / "cgroup.events").read_text()
    assert user.state(id)["status"] == "paused"
    ok(user("resume", id))
    assert json.loads(ok(user("events", "--stats", id)))["data"]["cpu"]["usage"]["total"] > 0


@pytest.mark.guest
def test_all_commands_in_a_scope(user: Scopes) -> None:
    """exec, too, from a cgroup from which the user may not move a process: systemd does it."""
    cgroup = started(user, "a")
    assert cgroup.parent == user.slice()
    all_commands(user, "a", cgroup)
    ok(user("delete", "--force", "a"))
    assert not cgroup.exists()


def test_exec_that_systemd_has_moved_is_waited_for(user: Scopes) -> None:
    """In the foreground: its output and its status are the program's."""
    started(user, "a")
    done = user("exec", "a", "/reporter", "read", "/proc/self/comm", ",", "exit", "7")
    assert (done.returncode, done.stdout, done.stderr) == (7, "reporter\n", "")
    ok(user("delete", "--force", "a"))


@pytest.mark.parametrize("below", [False, True], ids=["same", "below"])
@pytest.mark.parametrize("ids", ["ranges", "one"])
def test_root_of_a_user_namespace_in_a_scope(user: Scopes, ids: str, below: bool) -> None:
    """Containers in that namespace, and in one more below it: systemd knows the user by its id outside."""
    first, size = subordinate()
    outer = f"0 {TESTER} 1\n" + (f"1 {first} {size}\n" if ids == "ranges" else "")
    namespace = user_namespace(outer, TESTER, ids == "ranges")
    prefix, user.prefix = user.prefix, tuple(shlex.split(enter(namespace, TESTER)))

    def change(config: dict[str, Any]) -> None:
        if below:
            starts = [(0, 1)] if ids == "one" else [(0, 1), (1, 999)]
            rows = [{"containerID": start, "hostID": start, "size": count} for start, count in starts]
            config["linux"].update(uidMappings=rows, gidMappings=rows)
        else:
            without_user(config)

    try:
        cgroup = started(user, "a", change)
        assert cgroup.parent == user.slice()
        all_commands(user, "a", cgroup)
        ok(user("delete", "--force", "a"))
        assert not cgroup.exists()
    finally:
        user.prefix = prefix
        os.close(namespace)


def test_ranges_in_a_scope(user: Scopes) -> None:
    cgroup = started(user, "a", ranges)
    uid = subordinate()[0] + 6  # whose processes are not the user's to systemd
    assert f"Uid:\t{uid}\t" in Path(f"/proc/{user.state('a')['pid']}/status").read_text()
    all_commands(user, "a", cgroup)


def test_all_commands_in_what_is_delegated(inside: Scopes) -> None:
    """Without systemd's help, by cgroupfs: beside the runtime's own cgroup, which others of the user's can reach."""
    cgroup = started(inside, "a", lambda config: config["linux"].pop("cgroupsPath"), systemd=False)
    assert cgroup.is_relative_to(inside.manager)
    assert os.stat(cgroup).st_uid == TESTER
    all_commands(inside, "a", cgroup)
    ok(inside("delete", "--force", "a"))
    until(lambda: not cgroup.exists(), "its cgroup is gone")


def test_exec_from_outside_of_what_is_delegated(user: Scopes) -> None:
    """Nobody can move the process: it runs, and that it is not limited is said."""
    prefix, user.prefix = user.prefix, (*user.prefix, *DELEGATED)
    cgroup = started(user, "a", lambda config: config["linux"].pop("cgroupsPath"), systemd=False)
    user.prefix = prefix
    done = user("exec", "a", "/reporter", "exit", "7")
    assert done.returncode == 7
    assert f"the process is not in the container's cgroup, which does not limit it: {cgroup}" in done.stderr
    done = user("--rootless=false", "exec", "a", "/reporter", "exit", "7")
    assert done.returncode == 255
    assert "into its cgroup: permission denied" in done.stderr
    assert "/linux/cgroupsPath" in done.stderr
    done = user("exec", "--cgroup", "/", "a", "/reporter", "exit", "7")  # best effort is not what was asked for
    assert done.returncode == 255
    assert "into its cgroup: permission denied" in done.stderr
    ok(user("delete", "--force", "a"))


def test_create_from_outside_of_what_is_delegated(user: Scopes) -> None:
    """A path is asked for that could be made, and not be entered: an error, and nothing is left."""
    path = str(user.manager.relative_to("/sys/fs/cgroup") / user.mark)
    bundle = user.bundle("sleep", change=lambda config: config["linux"].update(cgroupsPath=f"/{path}"))
    done = user("create", "-b", bundle, "a", systemd=False)
    assert done.returncode == 1
    assert "into its cgroup: permission denied" in done.stderr
    assert "systemd-run --user --scope" in done.stderr


def test_create_from_outside_without_a_path(user: Scopes) -> None:
    """Best effort, as without systemd."""
    bundle = user.bundle("exit", "3", change=lambda config: config["linux"].pop("cgroupsPath"))
    done = user("run", "-b", bundle, "a", systemd=False)
    assert (done.returncode, done.stderr) == (3, "")


def test_rootless_false_asks_the_systems_systemd(user: Scopes) -> None:
    done = user("--rootless=false", "--systemd-cgroup", "create", "-b", user.bundle("sleep"), "a", systemd=False)
    assert done.returncode == 1
    assert "unable to start unit" in done.stderr
