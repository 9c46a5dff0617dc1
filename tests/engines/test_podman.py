"""podman runs containers with pyoci: its own defaults, only the runtime and the cgroup manager chosen."""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Callable, Iterator

import pytest

from tests.engines.conftest import STOPPABLE, cgroups_named, run, wait_ready

pytestmark = [pytest.mark.tree, pytest.mark.guest]

# What podman's defaults come to inside: its seccomp profile, its capabilities, its limit of processes.
SEEN_INSIDE = """
grep -E '^(CapEff|CapBnd|Seccomp|NoNewPrivs):' /proc/self/status
cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null
hostname
id -u
cat /proc/1/comm
ls -l /dev/null
exit 7
"""

Podman = Callable[..., str]


@pytest.fixture
def podman(runtime: str, busybox_tar: pathlib.Path) -> Iterator[Podman]:
    """podman with the runtime under test and an image named busybox; every container is removed afterwards."""
    os.environ["PODMAN_IGNORE_CGROUPSV1_WARNING"] = "1"
    common = ("podman", "--cgroup-manager", "cgroupfs", "--runtime", runtime)

    def call(*words: str, status: int = 0) -> str:
        return run(*common, *words, status=status).stdout

    call("import", "--quiet", str(busybox_tar), "busybox")
    yield call
    call("rm", "--all", "--force", "--time", "0")
    call("rmi", "--force", "busybox")


def needs_no_pids_limit() -> list[str]:
    """In a view without the pids controller podman's default limit cannot be had by any runtime.

    podman writes the number into config.json: -1 is none at all; 0 means 1 to runc (since 1.2) and to pyoci.
    """
    if os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        with open("/sys/fs/cgroup/cgroup.controllers") as file:
            return [] if "pids" in file.read().split() else ["--pids-limit", "-1"]
    return []


def test_run(podman: Podman) -> None:
    """`podman run --rm`: status and output come back, its defaults hold inside, nothing is left."""
    limit = needs_no_pids_limit()
    seen = podman("run", "--rm", *limit, "--hostname", "inside", "busybox", "sh", "-c", SEEN_INSIDE, status=7)
    assert re.search(r"^CapEff:\t00000000800405fb$", seen, re.M), seen
    assert re.search(r"^CapBnd:\t00000000800405fb$", seen, re.M), seen
    assert re.search(r"^Seccomp:\t2$", seen, re.M), seen
    assert re.search(r"^NoNewPrivs:\t0$", seen, re.M), seen
    assert limit or re.search(r"^2048$", seen, re.M), seen
    assert re.search(r"^inside\n0\nsh$", seen, re.M), seen
    assert re.search(r"^crw-rw-rw- .* 1, +3 ", seen, re.M), seen
    assert podman("ps", "--all", "--quiet") == ""
    assert [name for name in cgroups_named("libpod-") if "conmon" not in name] == []


def test_terminal(podman: Podman) -> None:
    """`podman run --tty`: conmon gets the terminal through the console socket."""
    seen = podman(
        "run", "--rm", "--tty", *needs_no_pids_limit(), "busybox", "sh", "-c", "tty; stat -c %t:%T /dev/console"
    )
    assert seen.splitlines() == ["/dev/pts/0", "88:0"], seen


def test_detached_stop_remove(podman: Podman) -> None:
    """`podman run --detach`, `stop`, `rm`: state, kill and delete as podman calls them."""
    limit = needs_no_pids_limit()
    name = podman("run", "--detach", *limit, "--log-driver", "k8s-file", "busybox", "sh", "-c", STOPPABLE).strip()
    assert podman("ps", "--format", "{{.State}}").strip() == "running"
    wait_ready("podman", "logs", name)
    podman("stop", "--time", "20", name)
    assert podman("inspect", "--format", "{{.State.ExitCode}}", name).strip() == "3"
    podman("rm", name)
    assert [path for path in cgroups_named(name) if "conmon" not in path] == []


def test_pause_and_update(podman: Podman) -> None:
    """`podman pause`, `unpause`, and `update` by --resources FILE with all of the container's resources."""
    limit = needs_no_pids_limit()
    name = podman("run", "--detach", *limit, "--log-driver", "k8s-file", "busybox", "sh", "-c", STOPPABLE).strip()
    podman("pause", name)
    assert podman("inspect", "--format", "{{.State.Status}}", name).strip() == "paused"
    podman("unpause", name)
    assert podman("inspect", "--format", "{{.State.Status}}", name).strip() == "running"
    if os.path.isdir("/sys/fs/cgroup/memory"):
        podman("update", "--memory", "64m", "--memory-swap", "64m", name)
        [memory] = [path for path in cgroups_named(name) if "/memory/" in path and "conmon" not in path]
        assert pathlib.Path(memory, "memory.limit_in_bytes").read_text() == f"{64 << 20}\n"
    podman("pause", name)
    podman("rm", "--force", "--time", "0", name)
    assert [path for path in cgroups_named(name) if "conmon" not in path] == []


def test_unknown_program(podman: Podman) -> None:
    """A program that is not there: podman's own status for it, which it finds by the words of the error."""
    podman("run", "--rm", *needs_no_pids_limit(), "busybox", "/no/such/program", status=127)
    podman("run", "--rm", *needs_no_pids_limit(), "busybox", "/etc", status=126)


def test_user_and_volume(podman: Podman, tmp_path: pathlib.Path) -> None:
    """Another user, a read-only bind mount, a tmpfs, a working directory and an environment variable."""
    (tmp_path / "file").write_text("from outside\n")
    words = ["--user", "1000:1000", "--volume", f"{tmp_path}:/data:ro", "--tmpfs", "/scratch", "--workdir", "/data"]
    script = "id -u; id -g; cat file; echo x 2>/dev/null >/data/new || echo read-only"
    script += "; echo y >/scratch/y; cat /scratch/y; echo $NAME"
    seen = podman("run", "--rm", *needs_no_pids_limit(), *words, "--env", "NAME=value", "busybox", "sh", "-c", script)
    assert seen == "1000\n1000\nfrom outside\nread-only\ny\nvalue\n"


def test_exec(podman: Podman) -> None:
    """`podman exec`: output and status, environment, user, a terminal, detached; its own status for what is missing."""
    limit = needs_no_pids_limit()
    name = podman("run", "--detach", *limit, "--env", "NAME=value", "busybox", "sh", "-c", STOPPABLE).strip()
    script = "echo $NAME $MORE; id -u; cat /proc/1/comm; grep -E '^(CapEff|Seccomp):' /proc/self/status; exit 7"
    seen = podman("exec", "--env", "MORE=more", name, "sh", "-c", script, status=7)
    assert seen == "value more\n0\nsh\nCapEff:\t00000000800405fb\nSeccomp:\t2\n"
    assert podman("exec", "--user", "1000:1000", "--workdir", "/tmp", name, "sh", "-c", "id -u; pwd") == "1000\n/tmp\n"
    assert podman("exec", "--tty", name, "tty").strip() == "/dev/pts/0"
    podman("exec", name, "no-such-program", status=127)
    podman("exec", "--detach", name, "sh", "-c", "echo detached > /tmp/file")
    podman("exec", name, "sh", "-c", "until grep detached /tmp/file; do sleep 0.1; done")
    podman("stop", "--time", "20", name)


def test_pod(podman: Podman) -> None:
    """Containers below one cgroup, and one in another's pid namespace: each has a cgroup of its own, is stopped,
    started and removed by itself, and none is taken for another."""
    limit = needs_no_pids_limit()
    podman("pod", "create", "--infra=false", "--name", "pod")

    def start(name: str, *words: str) -> None:
        podman("run", "--detach", *limit, "--name", name, *words, "busybox", "sh", "-c", STOPPABLE)

    def running() -> set[str]:
        return set(podman("ps", "--format", "{{.Names}}").split())

    try:
        start("a", "--pod", "pod")
        start("b", "--pod", "pod")
        podman("restart", "--time", "0", "a")
        podman("stop", "--time", "0", "b")
        podman("start", "b")
        start("c", "--pod", "pod", "--pid", "container:a")
        assert running() == {"a", "b", "c"}
        podman("rm", "--force", "--time", "0", "c")
        assert running() == {"a", "b"}
        podman("kill", "b")
        podman("wait", "b")
        assert running() == {"a"}
        podman("start", "b")
        podman("pod", "stop", "--time", "0", "pod")
        podman("pod", "start", "pod")
        assert running() == {"a", "b"}
    finally:
        podman("pod", "rm", "--force", "--time", "0", "pod")
