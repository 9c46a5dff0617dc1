"""Words of runc that other people's tests look for, where pyoci says the same: errors and the lines of --debug."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.container.box import Box, Done
from tests.container.exec.started import process_file, refused, started

pytestmark = pytest.mark.root

DEBUG = ("--debug", "--log-format", "json")
DENIES = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}]}


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ({"mode": "INTERLEAVE", "nodes": "0"}, 'invalid memory policy mode "INTERLEAVE"'),
        ({"nodes": "0-7"}, 'invalid memory policy mode ""'),
        ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["badflag"]}, 'invalid memory policy flag "badflag"'),
    ],
)
def test_a_memory_policy(box: Box, policy: dict[str, Any], words: str) -> None:
    done = box("run", "--bundle", str(box.bundle(change=lambda c: c["linux"].update(memoryPolicy=policy))), "a")
    assert done.returncode == 1
    first, *rest = done.stderr.splitlines()
    assert first.replace("\\", "").endswith(f'msg="pyoci run failed: {words}"'), done.stderr
    assert any(line.startswith("  hint: use one of MPOL_") for line in rest)


@pytest.mark.parametrize("where", ["nonexistent", "cpu:nonexistent"])
def test_exec_into_a_cgroup_that_is_not_there(box: Box, where: str) -> None:
    started(box)
    if not Path("/sys/fs/cgroup/cpu").exists() and ":" in where:
        where = "nonexistent"
    done = box("exec", "--cgroup", where, "c", "/reporter", "exit", "0")
    refused(done, "unable to start container process: error adding pid of the new process to cgroups: /sys/fs/cgroup/")
    assert re.search(" adding pid .*o such file or directory", done.stderr)
    assert "\n  pointer: --cgroup\n" in done.stderr
    assert done.stderr.endswith("\n  hint: there is no such cgroup below the container's; exec makes none\n")


def test_exec_into_a_cgroup_that_takes_no_processes(either_box: Box) -> None:
    """Of version 2: a cgroup below a threaded one is of no use to a whole process (cgroups(7))."""
    box = either_box
    bundle = started(box)
    below = f"{box.mark}/{bundle.name}/threaded"
    tops = [Path("/sys/fs/cgroup", name) for name in ("unified", ".")]
    made = next(top / below for top in tops if (top / "cgroup.procs").exists())
    (made / "below").mkdir(parents=True)
    try:
        (made / "cgroup.type").write_text("threaded")
        done = box("exec", "--cgroup", "/threaded/below", "c", "/reporter", "exit", "0")
    finally:
        (made / "below").rmdir()
        made.rmdir()
    if box.view == "v2":
        refused(done, "unable to start container process: error adding pid of the new process to cgroups: ")
    assert done.returncode == 255 and "cgroups" in done.stderr


@pytest.mark.parametrize("form", ["stderr", "text", "json"])
def test_debug(box: Box, form: str) -> None:
    """What is done, by whom, with which flags; where the log goes, and nowhere in the container's streams."""
    bundle = box.bundle("report", change=lambda config: config["linux"].update(seccomp=DENIES))
    log = box.directory / "log"
    flags = () if form == "stderr" else ("--log", str(log), "--log-format", form)
    done = box("--debug", *flags, "run", "--bundle", str(bundle), "a")
    assert done.returncode == 0 and "level=debug" not in done.stdout
    said = done.stderr if form == "stderr" else log.read_text()
    if form != "stderr":
        assert done.stderr == ""
    lines = said.splitlines()
    if form == "json":
        assert {json.loads(line)["level"] for line in lines} == {"debug"}
        lines = [json.loads(line)["msg"] for line in lines]
    else:
        assert all(" level=debug msg=" in line for line in lines)
        assert 'msg="seccomp filter flags: 4"' in said
        assert 'msg="container: mount proc on /proc" step=MountFilesystem pointer=/mounts/0' in said
    text = "\n".join(lines)
    for one in (
        "seccomp filter flags: 4",
        "host: make ",
        "container: mount proc on /proc",
        "container: detach from the runtime",
    ):
        assert one in text, text
    without = box("run", "--bundle", str(bundle), "a")
    assert (without.returncode, without.stderr) == (0, "")


def test_debug_tells_the_affinity_with_which_a_process_of_exec_begins(box: Box) -> None:
    started(box)
    cpu = min(os.sched_getaffinity(0))
    file = process_file(box, args=["/reporter", "exit", "0"], execCPUAffinity={"initial": f"{cpu}"})
    done = box("--debug", "exec", "--process", file, "c")
    assert done.returncode == 0
    assert re.search(rf"nsexec.*: affinity: {1 << cpu:#x}\b", done.stderr), done.stderr


def test_debug_tells_of_every_step_in_its_order(box: Box) -> None:
    """As the plan has them: of the container's process until the runtime ends, of exec until there is a program."""
    bundle = box.bundle("report", change=lambda config: config["linux"].update(seccomp=DENIES))
    plan = json.loads(box("plan", "--format", "json", "--bundle", str(bundle), "a").stdout)["steps"]
    told = steps(box(*DEBUG, "create", "--bundle", str(bundle), "a"))
    for side in ("host", "container"):
        planned = iter([(one["step"], one["pointer"], f"{side}: {one['description']}") for one in plan])
        own = [one for one in told if one[2].startswith(f"{side}: ")]
        assert len(own) > 3
        assert all(one in planned for one in own), own
    assert [one[2] for one in told if one[2].startswith("container: ")][-1] == "container: detach from the runtime"
    assert box("start", "a").returncode == 0
    started(box)
    assert steps(box(*DEBUG, "exec", "c", "/reporter", "exit", "0"))[-1][2] == "container: exec /reporter"


def steps(done: Done) -> list[tuple[str, str, str]]:
    """Step, pointer and message of the lines about steps."""
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    return [(line["step"], line.get("pointer", ""), line["msg"]) for line in lines if "step" in line]
