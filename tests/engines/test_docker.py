"""Docker runs a container with pyoci as one of its runtimes: `docker run --runtime`."""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Callable

import pytest

from tests.engines.conftest import STOPPABLE, cgroups_named, run, wait_ready

pytestmark = pytest.mark.tree


@pytest.fixture
def docker(daemon: Callable[..., pathlib.Path], busybox_tar: pathlib.Path, runtime: str) -> pathlib.Path:
    """A running dockerd that knows the runtime as "tested" and has an image named busybox; its log."""
    words = ["dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs"]
    log = daemon(*words, "--add-runtime", f"tested={runtime}", ready=("docker", "version"))
    run("docker", "import", busybox_tar, "busybox")
    return log


def test_run(docker: pathlib.Path) -> None:
    """`docker run --rm` with Docker's defaults: status and output come back, nothing is left."""
    script = "grep -E 'CapEff:|Seccomp:' /proc/self/status; cat /proc/1/comm; id -u; exit 5"
    seen = run("docker", "run", "--rm", "--runtime", "tested", "busybox", "sh", "-c", script, status=5).stdout
    assert re.fullmatch(r"CapEff:\t00000000a80425fb\nSeccomp:\t2\nsh\n0\n", seen), seen
    assert run("docker", "ps", "--all", "--quiet").stdout == ""


def test_terminal(docker: pathlib.Path) -> None:
    """`docker run --tty`."""
    seen = run("docker", "run", "--rm", "--tty", "--runtime", "tested", "busybox", "tty").stdout
    assert seen.strip() == "/dev/pts/0"


def test_detached_stop_remove(docker: pathlib.Path) -> None:
    """`docker run --detach`, `stop`, `rm`."""
    words = ["docker", "run", "--detach", "--runtime", "tested", "busybox", "sh", "-c"]
    name = run(*words, STOPPABLE).stdout.strip()
    wait_ready("docker", "logs", name)
    run("docker", "stop", "--time", "20", name)
    assert run("docker", "inspect", "--format", "{{.State.ExitCode}}", name).stdout.strip() == "3"
    run("docker", "rm", name)
    assert cgroups_named(name) == []


def test_exec(docker: pathlib.Path) -> None:
    """`docker exec`: output and status, user, a terminal, a health check's way; the status for what is missing."""
    words = ["docker", "run", "--detach", "--runtime", "tested", "--env", "NAME=value", "busybox", "sh", "-c"]
    name = run(*words, STOPPABLE).stdout.strip()
    wait_ready("docker", "logs", name)
    script = "echo $NAME; id -u; cat /proc/1/comm; grep -E '^(CapEff|Seccomp):' /proc/self/status; exit 7"
    seen = run("docker", "exec", name, "sh", "-c", script, status=7).stdout
    assert seen == "value\n0\nsh\nCapEff:\t00000000a80425fb\nSeccomp:\t2\n"
    assert run("docker", "exec", "--user", "1000:1000", name, "id", "-u").stdout == "1000\n"
    assert run("docker", "exec", "--tty", name, "tty").stdout.strip() == "/dev/pts/0"
    more = run("docker", "exec", "--privileged", name, "grep", "CapEff", "/proc/self/status").stdout
    assert int(more.split()[1], 16) & ~0xA80425FB, "as many as the machine has"
    run("docker", "exec", name, "no-such-program", status=126)  # Docker's own choice, with runc as well
    run("docker", "exec", "--detach", name, "sh", "-c", "echo detached > /tmp/file")
    run("docker", "exec", name, "sh", "-c", "until grep detached /tmp/file; do sleep 0.1; done")
    run("docker", "rm", "--force", name)
    assert cgroups_named(name) == []


def test_pause_update_top(docker: pathlib.Path) -> None:
    """`docker pause` and `unpause`, `update` by --resources -, `top` through the runtime's ps."""
    words = ("docker", "run", "--detach", "--runtime", "tested", "busybox", "sh", "-c", STOPPABLE)
    name = run(*words).stdout.strip()
    run("docker", "pause", name)
    assert run("docker", "inspect", "--format", "{{.State.Status}}", name).stdout.strip() == "paused"
    run("docker", "unpause", name)
    assert run("docker", "inspect", "--format", "{{.State.Status}}", name).stdout.strip() == "running"
    assert "trap 'exit 3' TERM" in run("docker", "top", name, "-eo", "pid,args").stdout
    if os.path.isdir("/sys/fs/cgroup/memory"):
        run("docker", "update", "--memory", "64m", "--memory-swap", "64m", "--pids-limit", "50", name)
        [memory] = [path for path in cgroups_named(name) if path.startswith("/sys/fs/cgroup/memory")]
        assert pathlib.Path(memory, "memory.limit_in_bytes").read_text() == f"{64 << 20}\n"
    run("docker", "rm", "--force", name)
    assert cgroups_named(name) == []


def test_unknown_program(docker: pathlib.Path) -> None:
    """A program that is not there: Docker's own status for it, which it finds by the words of the error."""
    run("docker", "run", "--rm", "--runtime", "tested", "busybox", "/no/such/program", status=127)
