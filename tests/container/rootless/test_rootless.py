"""Containers of an unprivileged user who maps nothing but its own id, with and without cgroups of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.container.box import Box, Done
from tests.container.rootless.users import (
    NOBODY,
    Config,
    Rootless,
    live_in_a_cgroup,
    live_without_cgroups,
    ok,
    refused,
    without,
)
from tests.steps.look import changes, parse

pytestmark = pytest.mark.root

OWN = [["0", str(NOBODY), "1"]]


@pytest.fixture(params=["host", "v2"])
def user(request: pytest.FixtureRequest, box: Box) -> Iterator[Rootless]:
    """Without any cgroup that it could change, on version 1 and on version 2."""
    made = Rootless(box, request.param)
    yield made
    made.close()


@pytest.fixture
def plain(box: Box) -> Iterator[Rootless]:
    """The same where the version makes no difference."""
    made = Rootless(box)
    yield made
    made.close()


@pytest.fixture
def delegated(box: Box) -> Iterator[Rootless]:
    made = Rootless(box, "delegated")
    yield made
    made.close()


def sleeper(user: Rootless, id: str = "c", change: Any = None) -> int:
    """A container that runs; the pid of its first process."""
    ok(user.box("run", "--detach", "--bundle", str(user.bundle("sleep", change=change)), id))
    return int(user.box.state(id)["pid"])


def test_life_without_cgroups(user: Rootless) -> None:
    live_without_cgroups(user, user.bundle("sleep"), OWN, OWN)


def test_life_in_what_is_delegated(delegated: Rootless) -> None:
    live_in_a_cgroup(delegated, delegated.bundle("sleep"))


@pytest.mark.parametrize("path", ["{}/deep/inner", "beside"])
def test_a_path_in_what_is_delegated(delegated: Rootless, path: str) -> None:
    """Absolute, or relative to where the runtime is."""
    named = path.format(f"/{delegated.box.mark}")
    sleeper(delegated, change=lambda config: config["linux"].update(cgroupsPath=named))
    own = delegated.cgroup / ("deep/inner" if path[0] == "{" else "beside")
    assert "populated 1" in (own / "cgroup.events").read_text()
    ok(delegated.box("delete", "--force", "c"))
    assert not own.exists()
    if path[0] == "{":
        own.parent.rmdir()


def test_all_processes_are_killed_without_a_pid_namespace(delegated: Rootless) -> None:
    def change(config: Config) -> None:
        without("pid")(config)
        bind_proc(config)

    sleeper(delegated, change=change)
    other = delegated.box.directory / "pid"
    delegated.give(delegated.box.directory)
    ok(delegated.box("exec", "--detach", "--pid-file", str(other), "c", "/reporter", "sleep"))
    ok(delegated.box("kill", "c", "KILL"))
    delegated.box.wait("c", "stopped")
    assert (delegated.cgroup / "c/cgroup.procs").read_text() == ""


def bind_proc(config: Config) -> None:
    """The host's: a new one is refused to whoever does not own the pid namespace."""
    config["mounts"] = [one for one in config["mounts"] if one["destination"] != "/proc"]
    config["mounts"].insert(0, {"destination": "/proc", "type": "none", "source": "/proc", "options": ["rbind"]})
    config["linux"].update(maskedPaths=[], readonlyPaths=[])


def test_nobody_knows_the_processes(user: Rootless) -> None:
    """Neither a cgroup nor a pid namespace: a warning, which becomes an error in a later runc."""
    bundle = user.bundle("exit", "0", change=changes(without("pid"), bind_proc))
    done = user.box("run", "--bundle", str(bundle), "c")
    assert done.returncode == 0, done
    assert "rootless container with no cgroup and no private pid namespace" in done.stderr


# -- what --rootless says --------------------------------------------------------------------------------------------


def test_rootless_false_wants_cgroups(user: Rootless) -> None:
    done = user.box("--rootless", "false", "create", "--bundle", str(user.bundle("sleep")), "c")
    refused(done, "unable to apply cgroup configuration", "permission denied", "/linux/cgroupsPath", "--rootless=true")


@pytest.mark.parametrize("words", [(), ("--rootless", "true"), ("--rootless=auto",)])
def test_rootless_does_without(plain: Rootless, words: tuple[str, ...]) -> None:
    assert ok(plain.box(*words, "run", "--bundle", str(plain.bundle("exit", "0")), "c")) == ""


def test_a_device_filter_is_required_without_rootless(delegated: Rootless) -> None:
    """In a cgroup of one's own the rules are left out by a rootless runtime only."""
    done = delegated.box("--rootless=false", "run", "--bundle", str(delegated.bundle("exit", "0")), "c")
    refused(done, "cannot set the device filter", "/linux/resources/devices")
    assert not (delegated.cgroup / "c").exists()


def test_a_path_must_be_had(user: Rootless) -> None:
    """Who names a cgroup gets that one or an error."""
    bundle = user.bundle("sleep", change=lambda config: config["linux"].update(cgroupsPath=f"/{user.box.mark}/c"))
    refused(user.box("create", "--bundle", str(bundle), "c"), "permission denied", "leave cgroupsPath out")


def test_limits_must_be_had(user: Rootless) -> None:
    bundle = user.bundle("sleep", change=lambda config: config["linux"].update(resources={"pids": {"limit": 20}}))
    words = {"host": "cannot set pids limit: container could not join or create cgroup"}.get(
        user.view, "rootless needs no limits + no cgrouppath when no permission is granted for cgroups"
    )
    refused(user.box("create", "--bundle", str(bundle), "c"), words, "/linux/resources/pids/limit")


def test_a_limit_whose_controller_is_not_delegated(delegated: Rootless) -> None:
    if "pids" in (delegated.cgroup / "cgroup.controllers").read_text().split():
        pytest.skip("the pids controller is here: test_rootless_guest.py sets limits with it")
    bundle = delegated.bundle("sleep", change=lambda config: config["linux"].update(resources={"pids": {"limit": 20}}))
    done = delegated.box("create", "--bundle", str(bundle), "c")
    refused(done, "linux.resources.pids.limit (pids controller)", "/linux/resources/pids/limit", "not available here")
    assert not (delegated.cgroup / "c").exists()


def test_the_cgroups_of_version_1_need_the_systems_systemd(plain: Rootless) -> None:
    if os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        pytest.skip("only version 2 here: docs/systemd.md, tests/systemd")
    bundle = plain.bundle("sleep", change=lambda config: config["linux"].update(cgroupsPath=":a:b"))
    done = plain.box("--systemd-cgroup", "create", "--bundle", str(bundle), "c")
    refused(done, "cannot use rootless systemd cgroups manager on cgroup v1")


# -- where the state is ----------------------------------------------------------------------------------------------


def directly(user: Rootless, *words: str, **environment: str) -> Done:
    """Without --root."""
    command = [*user.box.prefix, user.box.pyoci, *words]
    variables = {"PATH": os.environ["PATH"], **environment}
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=variables)


def test_the_default_root(plain: Rootless) -> None:
    """$XDG_RUNTIME_DIR/pyoci: private, and sticky, so that age does not clean it away."""
    runtime = plain.box.directory / "xdg"
    runtime.mkdir(0o700)
    plain.give(runtime)
    done = directly(plain, "run", "--bundle", str(plain.bundle("exit", "0")), "c", XDG_RUNTIME_DIR=str(runtime))
    assert ok(done) == ""
    status = os.stat(runtime / "pyoci")
    assert (oct(status.st_mode), status.st_uid) == ("0o41700", NOBODY)
    assert set(os.listdir(runtime / "pyoci")) <= {"@seccomp"}


def test_without_a_runtime_directory_there_must_be_a_root(plain: Rootless) -> None:
    done = directly(plain, "run", "--bundle", str(plain.bundle("exit", "0")), "c")
    refused(done, "/run/pyoci", "XDG_RUNTIME_DIR")


# -- what another user cannot have -----------------------------------------------------------------------------------

Row = tuple[Callable[[Config], object], tuple[str, ...]]
IDS = [{"containerID": 0, "hostID": 5, "size": 1}]
REFUSED: dict[str, Row] = {
    "no user namespace": (without("user"), ("rootless container requires user namespaces", "spec --rootless")),
    "groups": (
        lambda config: config["process"]["user"].update(additionalGids=[0]),
        ("cannot set any additional groups in a rootless container", "/process/user/additionalGids"),
    ),
    "mapped mounts": (
        lambda config: config["mounts"].append(
            {"destination": "/m", "source": "/srv", "options": ["bind"], "uidMappings": IDS, "gidMappings": IDS}
        ),
        ("id-mapped mounts are not supported for rootless containers", "/mounts/"),
    ),
    "a lower oom_score_adj": (
        lambda config: config["process"].update(oomScoreAdj=-1000),
        ("oom_score_adj", "permission denied", "/process/oomScoreAdj", "CAP_SYS_RESOURCE"),
    ),
    "network devices": (
        lambda config: (
            config["linux"]["namespaces"].append({"type": "network"}),
            config["linux"].update(netDevices={"pyocitest0": {}}),
        ),
        ("network devices are not supported for rootless containers", "/linux/netDevices"),
    ),
    "proc of the host's pid namespace": (
        without("pid"),
        ("mount proc on /proc: operation not permitted", "/mounts/0", "fsconfig", "bind that /proc"),
    ),
    "a missing device": (
        lambda config: config["linux"].update(
            devices=[{"path": "/dev/pyoci-none", "type": "c", "major": 1, "minor": 3}]
        ),
        ("/dev/pyoci-none: no such file or directory", "/linux/devices/0"),
    ),
    "an owner that is not mapped": (
        lambda config: config["mounts"].append({"destination": "/m", "type": "tmpfs", "options": ["uid=5"]}),
        ("invalid argument", "/mounts/7", '"uid", "5"'),
    ),
    "a user that is not mapped": (
        lambda config: config["process"]["user"].update(uid=5),
        ("cannot setuid to unmapped uid 5 in user namespace", "/process/user/uid"),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(plain: Rootless, name: str) -> None:
    change, words = REFUSED[name]
    if name == "no user namespace":
        change = changes(change, lambda config: [config["linux"].pop(f"{kind}Mappings") for kind in ("uid", "gid")])
    refused(plain.box("run", "--bundle", str(plain.bundle("exit", "0", change=change)), "c"), *words)
    assert [name for name in os.listdir(plain.box.root) if name != "@seccomp"] == []


def test_groups_of_exec(plain: Rootless) -> None:
    sleeper(plain)
    done = plain.box("exec", "--additional-gids", "0", "c", "/reporter", "exit", "0")
    assert done.returncode == 255
    assert "cannot set any additional groups in a rootless container" in done.stderr


# -- file systems ----------------------------------------------------------------------------------------------------


def looked(user: Rootless, change: Callable[[Config], object], *paths: str) -> dict[str, Any]:
    bundle = user.bundle("report", *paths, change=change)
    done = user.box("run", "--bundle", str(bundle), "c")
    assert (done.returncode, done.stderr) == (0, ""), done
    [seen] = parse(done)
    return dict(seen)


def mounted(seen: dict[str, Any], point: str) -> list[tuple[str, set[str]]]:
    """Type and options of what is mounted there, oldest first."""
    rows = [line.partition(" - ") for line in seen["mountinfo"]]
    split = [(left.split(" "), right.split(" ")) for left, _, right in rows]
    return [(right[0], set(left[5].split(","))) for left, right in split if left[4] == point]


def test_devices_are_the_hosts(plain: Rootless) -> None:
    """Bound, each nosuid and noexec, to the node that the host has; what is no node is made."""
    fifo = {"path": "/dev/fifo", "type": "p"}
    seen = looked(plain, lambda config: config["linux"].update(devices=[fifo]), "/dev/null", "/dev/fifo")
    [(_, options)] = mounted(seen, "/dev/null")
    assert {"nosuid", "noexec"} <= options
    null, made = (seen["files"][f"/dev/{name}"] for name in ("null", "fifo"))
    assert (null["type"], null["major"], null["minor"], null["inode"]) == ("char", 1, 3, os.stat("/dev/null").st_ino)
    assert (made["type"], made["uid"]) == ("fifo", 0)


@pytest.mark.parametrize("cgroup", [True, False])
@pytest.mark.parametrize("read_only", [True, False])
def test_sysfs_of_the_host(user: Rootless, cgroup: bool, read_only: bool) -> None:
    """Without a network namespace of its own there is no new sysfs: the host's is bound, as read-only as was asked for,
    and nothing that is mounted in it can be written."""

    def change(config: Config) -> None:
        options = ["nosuid", "noexec", "nodev", *(["ro"] if read_only else [])]
        keep = [one for one in config["mounts"] if one["destination"] != "/sys" and (cgroup or one["type"] != "cgroup")]
        at = 1 if cgroup else len(keep)
        keep.insert(at, {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": options})
        config["mounts"] = keep

    seen = looked(user, change)
    assert [(kind, "ro" in options) for kind, options in mounted(seen, "/sys")] == [("sysfs", read_only)]
    assert "ro" in mounted(seen, "/sys/fs/cgroup")[-1][1]


def test_the_cgroups_that_are_seen(user: Rootless) -> None:
    """Without a cgroup of its own it sees those of the runtime, read-only."""
    seen = looked(user, lambda config: None)
    if user.view == "host" and os.path.isdir("/sys/fs/cgroup/pids"):
        [(kind, options)] = mounted(seen, "/sys/fs/cgroup/pids")[-1:]
    else:
        [(kind, options)] = mounted(seen, "/sys/fs/cgroup")[-1:]
    assert kind in ("cgroup", "cgroup2")
    assert "ro" in options


@pytest.mark.parametrize("cgroup", ["own", "host"])
def test_what_is_delegated_cannot_be_changed_from_inside(delegated: Rootless, cgroup: str) -> None:
    """CVE-2023-25809: the cgroups are the user's, who is root in there; what keeps them is the mount."""
    change = without("cgroup") if cgroup == "host" else changes()
    seen = looked(delegated, change)
    kind, options = mounted(seen, "/sys/fs/cgroup")[-1]
    assert (kind, "ro" in options) == ("cgroup2", True)
    inside = "/sys/fs/cgroup" + (f"/{delegated.box.mark}" if cgroup == "host" else "")
    bundle = delegated.bundle("write", f"{inside}/cgroup.procs", "0", change=change)
    done = delegated.box("run", "--bundle", str(bundle), "c")
    assert done.returncode != 0
    assert done.stderr.endswith("cgroup.procs: EROFS\n")
