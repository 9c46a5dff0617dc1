"""containerd's runc shim runs a container with pyoci: `ctr run --runc-binary`."""

from __future__ import annotations

import pathlib
import re
import time
from collections.abc import Callable

import pytest

from tests.engines.conftest import cgroups_named, run

pytestmark = pytest.mark.tree

IMAGE = "docker.io/library/busybox:latest"


@pytest.fixture
def containerd(daemon: Callable[..., pathlib.Path], busybox_tar: pathlib.Path) -> pathlib.Path:
    """A running containerd that has the image; its log."""
    log = daemon("containerd", ready=("ctr", "version"))
    archive = busybox_tar.with_name("image.tar")
    run("podman", "--cgroup-manager", "cgroupfs", "import", "--quiet", busybox_tar, IMAGE)
    run("podman", "--cgroup-manager", "cgroupfs", "save", "--quiet", "--output", archive, IMAGE)
    run("ctr", "image", "import", archive)
    return log


def test_run(runtime: str, containerd: pathlib.Path) -> None:
    """`ctr run --rm` with containerd's seccomp profile: status and output come back, nothing is left."""
    script = "grep Seccomp: /proc/self/status; cat /proc/1/comm; id -u; exit 5"
    words = ["ctr", "run", "--rm", "--runc-binary", runtime, "--seccomp", IMAGE, "one", "sh", "-c", script]
    seen = run(*words, status=5).stdout
    assert re.fullmatch(r"Seccomp:\t2\nsh\n0\n", seen), seen
    assert run("ctr", "container", "list", "--quiet").stdout == ""
    assert cgroups_named("one") == []


def test_detached_kill_delete(runtime: str, containerd: pathlib.Path) -> None:
    """`ctr run --detach`, `task kill`, `task delete`: state, kill and delete as the shim calls them."""
    run("ctr", "run", "--detach", "--runc-binary", runtime, IMAGE, "two", "sleep", "1000")
    assert re.search(r"^two +\d+ +RUNNING", run("ctr", "task", "list").stdout, re.M)
    run("ctr", "task", "kill", "--signal", "SIGKILL", "two")
    while re.search(r"^two .* RUNNING", run("ctr", "task", "list").stdout, re.M):
        time.sleep(0.05)
    assert "exit code 137" in run("ctr", "task", "delete", "two").stderr
    run("ctr", "container", "delete", "two")
    assert cgroups_named("two") == []


def test_exec(runtime: str, containerd: pathlib.Path) -> None:
    """`ctr task exec`: output and status, a user, a terminal."""
    run("ctr", "run", "--detach", "--runc-binary", runtime, "--env", "NAME=value", IMAGE, "three", "sleep", "1000")
    words = ("ctr", "task", "exec", "--exec-id")
    seen = run(*words, "a", "three", "sh", "-c", "echo $NAME; cat /proc/1/comm; exit 7", status=7).stdout
    assert seen == "value\nsleep\n"
    assert run(*words, "b", "--user", "1000:1000", "three", "id", "-u").stdout == "1000\n"
    run("ctr", "task", "kill", "--signal", "SIGKILL", "three")
    while re.search(r"^three .* RUNNING", run("ctr", "task", "list").stdout, re.M):
        time.sleep(0.05)
    run("ctr", "task", "delete", "three")
    run("ctr", "container", "delete", "three")
    assert cgroups_named("three") == []
