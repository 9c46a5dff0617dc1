"""exec and update in a container of runc: the same process and the same limits as with runc's own commands."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import reporter
from tests.container.box import Box, until
from tests.container.exec.started import common, seen
from tests.container.runcs import Theirs, runc, version
from tests.container.test_life_cycle import refused

__all__ = ["runc"]
pytestmark = pytest.mark.root

# mincore(2) is asked by nobody; 38 is ENOSYS, 1 is EPERM.
PROFILE = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
    "syscalls": [
        {"names": ["mincore", "acct"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
        {
            "names": ["personality"],
            "action": "SCMP_ACT_ERRNO",
            "args": [{"index": 0, "value": 8, "valueTwo": 8, "op": "SCMP_CMP_MASKED_EQ"}],
        },
    ],
}


@pytest.fixture
def theirs(runc: str, box: Box) -> Theirs:
    return Theirs(runc, box)


def confined(config: dict[str, Any]) -> None:
    """Whatever a process of exec has of its container."""
    kill = ["CAP_KILL", "CAP_CHOWN"]
    config["process"].update(
        oomScoreAdj=55,
        noNewPrivileges=False,
        capabilities=dict.fromkeys(("bounding", "effective", "permitted"), kill),
        scheduler={"policy": "SCHED_BATCH", "nice": 3},
        ioPriority={"class": "IOPRIO_CLASS_IDLE", "priority": 0},
        execCPUAffinity={"initial": "0", "final": "0"},
    )
    config["process"]["user"]["umask"] = 0o17
    config["linux"].update(seccomp=PROFILE, personality={"domain": "LINUX32"})


@pytest.mark.parametrize("name", ["plain", "full"])
def test_a_process_is_as_runc_would_make_it(theirs: Theirs, name: str) -> None:
    """What the container has it has from state.json: config.json of the bundle is another one by now."""
    box = theirs.box
    bundle = box.bundle("sleep", change=confined)
    theirs("run", "--detach", "--bundle", str(bundle), "c")
    (bundle / "config.json").write_text("{}")
    process: dict[str, Any] = {"cwd": "/", "args": ["/reporter", "report"]}
    if name == "full":
        process |= {
            "cwd": "/dev",
            "user": {"uid": 7, "gid": 8, "additionalGids": [9], "umask": 7},
            "capabilities": {"bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"], "effective": ["CAP_KILL"]},
            "scheduler": {"policy": "SCHED_OTHER", "nice": 1},
            "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 99, "hard": 100}],
            "noNewPrivileges": True,
        }
    (box.directory / "process").write_text(json.dumps(process))
    ours = seen(box, "--process", str(box.directory / "process"))
    (other,) = reporter.parse(theirs("exec", "--process", str(box.directory / "process"), "c").encode())
    mine, its = common(ours), common(other)
    if version(theirs.runc) < (1, 2):  # such a runc gives a process of exec no umask and no scheduler
        for report in (mine, its):
            report["status"].pop("Umask")
            for key in ("umask", "nice", "sched_attr"):
                report.pop(key)
    assert mine == its
    assert ours["status"]["Seccomp"] == "2"
    assert ours["status"]["Umask"] == "0017"
    assert box("delete", "--force", "c").stderr == ""


def test_the_filter_is_runc_s(theirs: Theirs) -> None:
    """The number of the seccomp rules' errno comes through, and conditions on arguments."""
    box = theirs.box

    def change(config: dict[str, Any]) -> None:
        config["linux"]["seccomp"] = {
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 122}],
        }
        config["root"]["readonly"] = False

    theirs("run", "--detach", "--bundle", str(box.bundle("sleep", change=change)), "c")
    words = ("exec", "c", "/reporter", "try", "mkdir", "/x")
    done = box(*words)
    assert "EDQUOT" in done.stdout + done.stderr, done
    assert box("delete", "--force", "c").stderr == ""


def value(box: Box, file: str) -> str:
    controller = file.partition(".")[0]
    (path,) = (box.root / "c").parent.glob("c/state.json")
    return (Path(json.loads(path.read_text())["cgroup_paths"][controller]) / file).read_text().strip()


def test_limits_are_changed_in_turn(theirs: Theirs) -> None:
    """Each of the two begins with what the other has left in force: a quota alone keeps the other's period."""
    box = theirs.box

    def change(config: dict[str, Any]) -> None:
        config["linux"]["resources"] = {
            "memory": {"limit": 64 << 20},
            "cpu": {"quota": 20000, "period": 50000, "shares": 512},
            "pids": {"limit": 20},
        }

    theirs("run", "--detach", "--bundle", str(box.bundle("sleep", change=change)), "c")
    before = json.loads((box.root / "c/state.json").read_text())
    assert box("update", "--cpu-quota", "30000", "--pids-limit", "30", "c").stderr == ""
    assert (value(box, "cpu.cfs_quota_us"), value(box, "cpu.cfs_period_us")) == ("30000", "50000")
    assert (value(box, "pids.max"), value(box, "memory.limit_in_bytes")) == ("30", str(64 << 20))
    after = json.loads((box.root / "c/state.json").read_text())
    assert (after["config"]["cgroups"]["cpu_quota"], after["config"]["cgroups"]["cpu_period"]) == (30000, 50000)
    for kept in (before, after):  # null is the same as absent, for runc too
        kept["config"] = {key: one for key, one in kept["config"].items() if one is not None and key != "cgroups"}
    assert after["config"].keys() == before["config"].keys()
    theirs("update", "--cpu-period", "60000", "--pids-limit", "30", "c")
    assert (value(box, "cpu.cfs_quota_us"), value(box, "cpu.cfs_period_us")) == ("30000", "60000")
    assert box("update", "--cpu-quota", "40000", "c").stderr == ""
    assert (value(box, "cpu.cfs_quota_us"), value(box, "cpu.cfs_period_us")) == ("40000", "60000")
    assert value(box, "cpu.shares") == "512"
    refused(box("update", "--memory", "1", "c"), "")
    assert value(box, "memory.limit_in_bytes") == str(64 << 20)
    assert json.loads(theirs("state", "c"))["status"] == "running"
    assert box("delete", "--force", "c").stderr == ""


def test_a_namespace_whose_path_is_gone(theirs: Theirs) -> None:
    """As after `docker run --network container:X`, when X has ended."""
    box = theirs.box
    holder = subprocess.Popen(["unshare", "--net", "sleep", "1000"])
    try:
        until(lambda: Path(f"/proc/{holder.pid}/comm").read_bytes() == b"sleep\n", "the namespace is there")
        where = f"/proc/{holder.pid}/ns/net"

        def change(config: dict[str, Any]) -> None:
            for one in config["linux"]["namespaces"]:
                if one["type"] == "network":
                    one["path"] = where

        theirs("run", "--detach", "--bundle", str(box.bundle("sleep", change=change)), "c")
        assert box("exec", "c", "/reporter", "exit", "3").returncode == 3
    finally:
        holder.kill()
        holder.wait()
    done = box("exec", "c", "/reporter", "exit", "3")
    assert (done.returncode, done.stderr) == (3, ""), done
    assert box("delete", "--force", "c").stderr == ""


def test_an_update_of_a_very_large_state(theirs: Theirs) -> None:
    """Annotations have no limit of their own: what can be read can be written back."""
    box = theirs.box
    bundle = box.bundle("sleep", change=lambda config: config.update(annotations={"x": "y" * (15 << 20)}))
    theirs("run", "--detach", "--bundle", str(bundle), "c")
    path = box.root / "c/state.json"
    state = json.loads(path.read_text())
    state["config"]["labels"].append("z=" + "z" * (2 << 20))
    path.write_text(json.dumps(state))
    done = box("update", "--pids-limit", "77", "c")
    assert (done.returncode, done.stderr) == (0, "")
    assert value(box, "pids.max") == "77"
    assert box("delete", "--force", "c").stderr == ""
