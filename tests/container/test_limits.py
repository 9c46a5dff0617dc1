"""Limits of whole containers: in force before the container's process exists, refused without a trace, explained."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.container.box import Box
from tests.container.test_life_cycle import refused

pytestmark = pytest.mark.root

MB = 1 << 20
TOO_LITTLE = 1600 * 1024


def bundle(box: Box, resources: dict[str, Any], *args: str) -> Path:
    def change(config: dict[str, Any]) -> None:
        config["linux"]["resources"].update(resources)

    return box.bundle(*(args or ("sleep",)), change=change)


def cgroup(box: Box, bundle: Path, controller: str) -> Path:
    return Path(f"/sys/fs/cgroup/{controller}/{box.mark}/{bundle.name}")


needs_v1 = pytest.mark.skipif(
    not os.path.exists("/sys/fs/cgroup/memory/memory.limit_in_bytes"), reason="this machine has no v1 memory hierarchy"
)


@needs_v1
def test_in_force_around_the_process(box: Box) -> None:
    limited = bundle(
        box, {"memory": {"limit": 64 * MB, "swappiness": 0}, "pids": {"limit": 9}, "cpu": {"cpus": "1", "shares": 77}}
    )
    done = box("create", "--bundle", str(limited), "a")
    assert (done.returncode, done.stderr) == (0, "")
    pid = str(box.state("a")["pid"])
    for controller, file, text in (
        ("memory", "memory.limit_in_bytes", str(64 * MB)),
        ("pids", "pids.max", "9"),
        ("cpuset", "cpuset.cpus", "1"),
        ("cpu", "cpu.shares", "77"),
    ):
        directory = cgroup(box, limited, controller)
        assert (directory / file).read_text().strip() == text
        assert pid in (directory / "cgroup.procs").read_text().split()
    assert os.sched_getaffinity(int(pid)) == {1}


@needs_v1
def test_refused_without_a_trace(box: Box) -> None:
    """The snapshot of the fixture sees whatever is left."""
    wrong = bundle(box, {"pids": {"limit": 9}, "cpu": {"cpus": "4000"}})
    done = box("create", "--bundle", str(wrong), "a")
    assert done.returncode == 1
    assert (
        "unable to apply cgroup configuration: cannot set linux.resources.cpu.cpus (cpuset controller): " in done.stderr
    )
    assert "  pointer: /linux/resources/cpu/cpus\n" in done.stderr
    assert not cgroup(box, wrong, "pids").exists()


@needs_v1
def test_a_cgroup_that_was_there_stays(box: Box) -> None:
    wrong = bundle(box, {"cpu": {"cpus": "4000"}})
    there = cgroup(box, wrong, "pids")
    there.mkdir(parents=True)
    assert box("create", "--bundle", str(wrong), "a").returncode == 1
    assert there.exists()
    there.rmdir()
    there.parent.rmdir()


def test_a_rule_is_broken(box: Box) -> None:
    wrong = bundle(box, {"unified": {"cgroup.freeze": "1"}})
    refused(box("create", "--bundle", str(wrong), "a"), "is not a limit")


def test_ignored_with_a_warning(box: Box) -> None:
    done = box("run", "--bundle", str(bundle(box, {"memory": {"kernel": 64 * MB}}, "exit", "3")), "a")
    assert done.returncode == 3
    assert "level=warning" in done.stderr
    assert "config.json#/linux/resources/memory/kernel: ignored: the kernel's" in done.stderr


@needs_v1
@pytest.mark.parametrize("stages", [1, 2])
def test_too_little_memory_is_explained(box: Box, stages: int) -> None:
    def change(config: dict[str, Any]) -> None:
        config["linux"]["resources"]["memory"] = {"limit": 65536}
        if stages == 2:
            config["linux"]["namespaces"].append({"type": "time"})
            config["linux"]["timeOffsets"] = {"boottime": {"secs": 1}}

    done = box("create", "--bundle", str(box.bundle("sleep", change=change)), "a")
    assert done.returncode == 1
    assert "container init was OOM-killed (memory limit too low?)" in done.stderr
    assert "  pointer: /linux/resources/memory/limit\n" in done.stderr
    assert "  hint: the limit is 65536 bytes, " in done.stderr


# Runs the commands one after the other as a subreaper that buries at once whoever dies.
REAPER = """
import ctypes, json, os, sys
assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0
for command in json.loads(sys.argv[1]):
    child = os.posix_spawn(command[0], command, os.environ)
    while (ended := os.waitpid(-1, 0))[0] != child:
        pass
sys.exit(os.waitstatus_to_exitcode(ended[1]))
"""


def much_environment(config: dict[str, Any]) -> None:
    """1.7 MB of it, which the kernel copies in execve(2), in a cgroup that is given less."""
    config["process"]["env"] = [f"VARIABLE{number}={'x' * 120000}" for number in range(14)]
    config["linux"]["resources"]["memory"] = {"limit": TOO_LITTLE, "swap": TOO_LITTLE}


@needs_v1
@pytest.mark.parametrize("how", ["start", "start, reaped", "run"])
def test_too_little_memory_for_execve_is_explained(box: Box, how: str) -> None:
    """The process has said its last word when it dies."""
    limited = ("--bundle", str(box.bundle("sleep", change=much_environment)), "a")
    if how == "run":
        done = box("run", *limited)
    elif how == "start":
        created = box("create", *limited)
        assert (created.returncode, created.stderr) == (0, "")
        done = box("start", "a")
    else:
        both = json.dumps([box.command("create", *limited), box.command("start", "a")])
        done = subprocess.run([sys.executable, "-I", "-c", REAPER, both], capture_output=True, text=True, timeout=60)
    assert done.returncode == (137 if how == "run" else 1)  # of run it is the process's own, as runc's
    assert "container init was OOM-killed (memory limit too low?)" in done.stderr
    assert f"  hint: the limit is {TOO_LITTLE} bytes, " in done.stderr


@needs_v1
def test_a_limit_above_is_blamed(box: Box) -> None:
    limited = bundle(box, {})
    above = cgroup(box, limited, "memory").parent
    above.mkdir()
    (above / "memory.limit_in_bytes").write_text("65536")
    done = box("create", "--bundle", str(limited), "a")
    assert "container init was OOM-killed (memory limit too low?)" in done.stderr
    assert "  pointer: /linux/cgroupsPath\n" in done.stderr
    assert "the cgroup itself has no limit, one above it has" in done.stderr
    above.rmdir()


def test_a_threaded_place_takes_no_memory_limit(pyoci: str, box: Box) -> None:
    """In a view of v2 alone: below a threaded cgroup there are only threaded ones."""
    script = f"""set -e
    mount -t cgroup2 c /sys/fs/cgroup
    mkdir -p /sys/fs/cgroup/{box.mark}/threads
    echo threaded > /sys/fs/cgroup/{box.mark}/threads/cgroup.type
    "$@" || status=$?
    rmdir /sys/fs/cgroup/{box.mark}/threads /sys/fs/cgroup/{box.mark}
    exit $status"""
    place = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]
    limited = bundle(box, {"memory": {"limit": 64 * MB}})
    command = [*place, *box.command("create", "--bundle", str(limited), "a")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "with domain controllers -- it is in " in done.stderr


@pytest.mark.parametrize(
    ("form", "warned"),
    [
        ("{}.slice:runc:x", True),
        (":{}:x", True),
        ("/{}/a.slice:b:c", False),
        ("{}:b", False),
        ("{}:b:c", False),
    ],
)
def test_a_path_for_systemd_without_it(box: Box, form: str, warned: bool) -> None:
    """Taken as a path, as by runc, with a warning."""
    path = form.format(box.mark)
    limited = box.bundle("exit", "0", change=lambda config: config["linux"].update(cgroupsPath=path))
    done = box("run", "--bundle", str(limited), "a")
    assert done.returncode == 0
    text = f"config.json#/linux/cgroupsPath: '{path}' has the form that systemd's driver reads, slice:prefix:name"
    assert (text in done.stderr) == warned and (done.stderr == "") == (not warned)


def test_plan_shows_them(box: Box) -> None:
    limited = bundle(box, {"pids": {"limit": 0}})
    done = box("plan", "--bundle", str(limited))
    assert "limit pids.max=1" in done.stdout
