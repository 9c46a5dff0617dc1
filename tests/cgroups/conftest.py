"""Real cgroups for the tests: names of our own, removed afterwards, and a failed test if one was left behind."""

from __future__ import annotations

import itertools
import os
import subprocess
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pyoci.cgroups import hierarchies, paths
from pyoci.cgroups.limits import limits
from pyoci.config.node import Node
from pyoci.config.resources import read_resources
from pyoci.kernel import constants
from pyoci.kernel.libc import c_char_p, c_ulong, c_void_p, function

_numbers = itertools.count()
_mount = function("mount", c_char_p, c_char_p, c_char_p, c_ulong, c_void_p)


def mount(source: str, target: str, kind: str, flags: int = 0) -> None:
    _mount(source.encode(), target.encode(), kind.encode(), flags, None)


def limit(paths: dict[str, str], resources: dict[str, Any]) -> None:
    """Put linux.resources in force in the cgroup."""
    read = read_resources(Node(resources, "/linux/resources"))
    limits.apply(paths, limits.plan(read, limits.is_unified(paths)))


def limit_pids(paths: dict[str, str], number: int) -> None:
    limit(paths, {"pids": {"limit": number}})


def made(name: str) -> list[str]:
    """The cgroups below /sys/fs/cgroup with `name` in their path, the deepest first. Not by os.walk: another test
    may be making a thousand levels, and that recurses."""
    found, waiting = [], ["/sys/fs/cgroup"]
    while waiting:
        directory = waiting.pop()
        try:
            names = [entry.name for entry in os.scandir(directory) if entry.is_dir(follow_symlinks=False)]
        except OSError:  # another test's, just removed, or too deep for a path
            continue
        waiting += [f"{directory}/{one}" for one in names]
        found += [f"{directory}/{one}" for one in names if name in f"{directory}/{one}"]
    return sorted(found, key=len, reverse=True)


def tidy(name: str) -> list[str]:
    left = made(name)
    for path in left:
        try:
            os.rmdir(path)
        except OSError as error:
            print(f"{path}: {error}; {Path(path, 'cgroup.procs').read_text().split()}")
    return left


@pytest.fixture
def name() -> Iterator[str]:
    """A name that is ours. A test that leaves a cgroup with it fails."""
    name = f"pyoci-test-{os.getpid()}-{next(_numbers)}"
    yield name
    assert tidy(name) == []


@pytest.fixture
def planned(name: str) -> dict[str, str]:
    """Planned paths of the container `name` on this machine."""
    return paths.plan(hierarchies.detect(), f"/{name}", "id")


@pytest.fixture
def v1(planned: dict[str, str]) -> dict[str, str]:
    """The same without the v2 hierarchy: what a v1 machine has."""
    only = {controller: path for controller, path in planned.items() if controller}
    if not only:
        pytest.skip("this machine has no v1 hierarchy")
    return only


@pytest.fixture
def sleeper() -> Iterator[Callable[[], int]]:
    """Starts processes that sleep, and ends them."""
    started = []

    def start() -> int:
        started.append(subprocess.Popen(["sleep", "60"]))
        return started[-1].pid

    yield start
    for process in started:
        process.kill()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:  # a failed test has left it frozen
            thaw(process.pid)
            process.wait()


def thaw(pid: int) -> None:
    """Thaw the v1 cgroup of a process, if it is one of ours."""
    with open(f"/proc/{pid}/cgroup", "rb") as file:
        path = hierarchies.parse_own(file.read()).get(frozenset({"freezer"}), "")
    if "/pyoci-test-" in path:
        with open(f"/sys/fs/cgroup/freezer{path}/freezer.state", "w") as state:
            state.write("THAWED")


def v2_alone() -> None:
    """A view where a v2 hierarchy is all there is; in a mount namespace of the test's own."""
    if hierarchies.magic("/sys/fs/cgroup") != constants.CGROUP2_SUPER_MAGIC:  # again on top of itself is EBUSY
        mount("none", "/sys/fs/cgroup", "cgroup2")


@pytest.fixture
def apart() -> Callable[[Callable[[], None]], None]:
    """Calls a function in a forked child with a mount namespace of its own; its exception fails the test."""
    return run_apart


@pytest.fixture
def in_v2(name: str) -> Callable[[Callable[[dict[str, str]], None]], None]:
    """Calls a function with the paths of `name` where a v2 hierarchy is all there is."""

    def run(body: Callable[[dict[str, str]], None]) -> None:
        def with_v2() -> None:
            v2_alone()
            body(paths.plan(hierarchies.detect(), f"/{name}", "id"))

        run_apart(with_v2)

    return run


def run_apart(body: Callable[[], None]) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            function("unshare", c_ulong)(constants.CLONE_NEWNS)
            mount("none", "/", "", constants.MS_REC | constants.MS_PRIVATE)
            body()
            status = 0
        except BaseException:
            os.write(writing, traceback.format_exc().encode())
        finally:
            os._exit(status)
    os.close(writing)
    with open(reading) as file:
        text = file.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, text
