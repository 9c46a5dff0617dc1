"""Containers of an unprivileged user who maps ranges of /etc/subuid, by newuidmap(1) and newgidmap(1)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.container.box import Box, Done
from tests.container.rootless.users import NOBODY, Config, Rootless
from tests.steps.look import changes, parse

pytestmark = pytest.mark.tree

BASE, SIZE = 300000, 65536


@pytest.fixture
def user(request: pytest.FixtureRequest, box: Box) -> Iterator[Rootless]:
    """nobody, with a range. The lane's /etc is its own."""
    if "PYOCI_LANE" not in os.environ:
        pytest.skip("writes to /etc and needs uidmap: tests/lanes/tree pytest -m tree tests/container")
    line = f"nobody:{BASE}:{SIZE}\n"
    for name in ("/etc/subuid", "/etc/subgid"):
        with open(name, "r+") as file:
            if line not in file.read():
                file.write(line)
    made = Rootless(box, getattr(request, "param", "host"))
    yield made
    made.close()


def mapped(*rows: tuple[int, int, int]) -> Callable[[Config], None]:
    def change(config: Config) -> None:
        maps = [{"containerID": one, "hostID": two, "size": size} for one, two, size in rows]
        config["linux"].update(uidMappings=maps, gidMappings=maps)

    return change


WITH_OWN = ((0, NOBODY, 1), (1, BASE, SIZE))  # as podman and `buildah unshare` have it
WITHOUT = ((0, BASE, 1000),)
LAST = ((0, BASE, 1000), (1000, NOBODY, 1))  # as podman's --userns=keep-id


def as_user(config: Config) -> None:
    config["process"]["user"].update(uid=7, gid=8, additionalGids=[9, 10])


@pytest.mark.parametrize(
    ("user", "rows"),
    [
        pytest.param("host", WITH_OWN, marks=pytest.mark.guest),
        pytest.param("delegated", WITH_OWN, marks=pytest.mark.guest),
        *(("host", WITHOUT), ("host", LAST), ("v2", WITH_OWN), ("v2", WITHOUT), ("delegated", WITHOUT)),
    ],
    indirect=["user"],
)
def test_life(user: Rootless, rows: tuple[tuple[int, int, int], ...]) -> None:
    """Also as a root that the user is not: the fifo and the process are another uid's then. Groups can be had."""
    box = user.box
    bundle = user.bundle("sleep", change=changes(mapped(*rows), as_user), owner=rows[0][1])
    assert box("create", "--bundle", str(bundle), "c").stderr == ""
    assert box("start", "c").stderr == ""
    pid = box.state("c")["pid"]
    lines = Path(f"/proc/{pid}/uid_map").read_text().splitlines()
    assert [tuple(map(int, line.split())) for line in lines] == list(rows)
    assert f"Uid:\t{host_id(rows)(7)}\t" in Path(f"/proc/{pid}/status").read_text()
    [report] = parse(box("exec", "--additional-gids", "11", "c", "/reporter", "report"))
    assert (report["uid"], report["gid"], report["groups"]) == ([7] * 3, [8] * 3, [9, 10, 11])
    assert report["setgroups"] == "allow"
    done = box("exec", "--user", "400000", "c", "/reporter", "report")
    assert (done.returncode, "cannot setuid to unmapped uid 400000 in user namespace" in done.stderr) == (255, True)
    if user.view == "delegated":
        assert (user.cgroup / "c/cgroup.procs").read_text() == f"{pid}\n"
        assert box("pause", "c").stderr == box("resume", "c").stderr == ""
    assert box("kill", "c", "KILL").stderr == ""
    box.wait("c", "stopped")
    assert box("delete", "c").stderr == ""


def host_id(rows: tuple[tuple[int, int, int], ...]) -> Callable[[int], int]:
    """The host's id of one of the container's."""
    return lambda id: next(host + id - inner for inner, host, size in rows if inner <= id < inner + size)


def failed(done: Done, *words: str) -> None:
    assert done.returncode == 1, done
    for word in words:
        assert word in done.stderr


def test_a_range_of_somebody_else(user: Rootless) -> None:
    bundle = user.bundle("sleep", change=mapped((0, NOBODY, 1), (1, BASE + SIZE, 5)))
    done = user.box("create", "--bundle", str(bundle), "c")
    failed(done, "newuidmap: uid range", "not allowed", "/linux/uidMappings", "/etc/subuid")
    assert [name for name in os.listdir(user.box.root) if name != "@seccomp"] == []


def test_one_group_beside_a_range_of_users(user: Rootless) -> None:
    """Which of both has a range decides about setgroups: the groups."""

    def change(config: Config) -> None:
        mapped(*WITH_OWN)(config)
        config["linux"]["gidMappings"] = [{"containerID": 0, "hostID": NOBODY, "size": 1}]

    [report] = parse(user.box("run", "--bundle", str(user.bundle("report", change=change)), "c"))
    assert (report["setgroups"], len(report["uid_map"]), len(report["gid_map"])) == ("deny", 2, 1)


def test_in_two_stages(user: Rootless) -> None:
    def change(config: Config) -> None:
        mapped(*WITH_OWN)(config)
        config["linux"]["namespaces"].append({"type": "time"})
        config["linux"]["timeOffsets"] = {"boottime": {"secs": 5}}

    [report] = parse(user.box("run", "--bundle", str(user.bundle("report", change=change)), "c"))
    assert len(report["uid_map"]) == 2
