"""exec: what comes from flags, from a file, from config.json as it is now, and from the container as it was created."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pyoci.container import exec_process, saved_config
from pyoci.container.exec_process import ProcessOptions
from pyoci.seccomp.allowance import CLONE_FLAGS, NEEDED
from tests.container.box import Box, until
from tests.container.exec.started import common, process_file, refused, report_of_init, seen, started
from tests.steps.init.test_launch import EXIT_7, exits, only_execve

pytestmark = pytest.mark.root
__all__ = ["EXIT_7", "exits"]

NET_RAW = 1 << 13


def edited(bundle: Path, **members: Any) -> None:
    """Change `process` of a config.json whose container runs already."""
    path = bundle / "config.json"
    config = json.loads(path.read_text())
    config["process"].update(members)
    path.write_text(json.dumps(config))


def masks(found: dict[str, Any]) -> dict[str, int]:
    return {name: int(value, 16) for name, value in found["status"].items() if name.startswith("Cap")}


def test_process_is_read_again(box: Box) -> None:
    """As runc: without --process it is that of config.json as it is now."""
    bundle = started(box)
    edited(bundle, cwd="/dev", env=["NEW=1"], user={"uid": 3, "gid": 4}, rlimits=[])
    found = seen(box)
    assert (found["cwd"], found["env"], found["uid"][0], found["gid"][0]) == ("/dev", ["NEW=1", "HOME=/"], 3, 4)
    edited(bundle, cwd="relative")
    refused(box("exec", "c", "/reporter"), "Cwd must be an absolute path")
    edited(bundle, cwd=7)
    refused(box("exec", "c", "/reporter"), "config.json#/process/cwd: must be a string, not 7")
    (bundle / "config.json").unlink()
    refused(box("exec", "c", "/reporter"), "JSON specification file config.json not found")
    assert seen(box, "--process", process_file(box))["env"] == ["HOME=/"]


def test_what_was_created_stays(box: Box) -> None:
    """Filter, umask and oomScoreAdj are of the container, whatever config.json or a process says by now."""

    def change(config: dict[str, Any]) -> None:
        config["process"].update(oomScoreAdj=55, noNewPrivileges=False)
        config["process"]["user"]["umask"] = 0o17
        config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW"}
        config["linux"]["personality"] = {"domain": "LINUX32"}

    bundle = started(box, change)
    raw = json.loads((bundle / "config.json").read_text())
    for key in ("seccomp", "personality"):
        del raw["linux"][key]
    (bundle / "config.json").write_text(json.dumps(raw))
    edited(bundle, oomScoreAdj=99, user={"uid": 0, "gid": 0, "umask": 0})
    for flags in ((), ("--process", process_file(box, oomScoreAdj=99, user={"uid": 0, "gid": 0, "umask": 0}))):
        found = seen(box, *flags)
        assert (found["oom_score_adj"], found["umask"], found["personality"]) == ("55", 0o17, 8)
        assert found["status"]["Seccomp"] == "2"


def test_a_container_of_version_0_1(box: Box) -> None:
    """What was saved of config.json has another name there, and counts as well; the bundle's may be another by now."""
    bundle = started(box, lambda config: config["process"].update(oomScoreAdj=55))
    expected = common(seen(box))
    (box.root / "c/saved-config.json").rename(box.root / "c/config.json")
    config = json.loads((bundle / "config.json").read_text())
    config["process"]["oomScoreAdj"] = 77
    (bundle / "config.json").write_text(json.dumps(config))
    assert common(seen(box)) == expected
    assert box("update", "--pids-limit", "7", "c").stderr == ""
    names = {path.name for path in (box.root / "c").iterdir() if path.name.endswith("config.json")}
    assert names == {"saved-config.json"}, "what is old by now is gone"
    assert common(seen(box)) == expected


def test_a_container_of_a_version_that_kept_nothing(box: Box) -> None:
    """Its config.json has to do."""
    bundle = started(box, lambda config: config["process"].update(oomScoreAdj=55))
    (box.root / "c/saved-config.json").unlink()
    assert common(seen(box)) == common(report_of_init(bundle))


def test_a_version_that_kept_nothing_and_keys_in_another_case(box: Box) -> None:
    """They count there as they did at create: exec must not lose the filter, nor update a limit."""
    bundle = started(box)
    (box.root / "c/saved-config.json").unlink()
    config = json.loads((bundle / "config.json").read_text())
    config["process"].update(oomScoreAdj=55)
    config["process"]["OOMScoreAdj"] = config["process"].pop("oomScoreAdj")
    config["linux"]["Resources"] = {**config["linux"].pop("resources", {}), "Memory": {"Limit": 1 << 30}}
    config["Process"], config["LINUX"] = config.pop("process"), config.pop("linux")
    (bundle / "config.json").write_text(json.dumps(config))
    kept = saved_config.load(str(box.root), "c")[1]
    assert kept["config"]["process"]["oomScoreAdj"] == 55
    assert kept["resources"]["memory"] == {"limit": 1 << 30}
    assert seen(box)["oom_score_adj"] == "55"


@pytest.mark.parametrize("content", ["[1]", "7", '{"linux": [1]}', '{"process": {"oomScoreAdj": "x"}}'])
@pytest.mark.parametrize("command", ["exec", "update"])
def test_a_config_json_that_is_none_and_a_version_that_kept_nothing(box: Box, content: str, command: str) -> None:
    bundle = started(box)
    (box.root / "c/saved-config.json").unlink()
    (bundle / "config.json").write_text(content)
    words = ("exec", "--process", process_file(box), "c") if command == "exec" else ("update", "--pids-limit", "9", "c")
    done = box(*words)
    assert (done.returncode, done.stdout) == (255 if command == "exec" else 1, "")
    assert f"{bundle}/config.json" in done.stderr and "an older pyoci" in done.stderr
    assert "bug" not in done.stderr and "state.json" not in done.stderr


LABELS = {"selinuxLabel": "u:r:container_t:s0", "apparmorProfile": "container"}


@pytest.mark.parametrize("given", [{}, {"selinuxLabel": "u:r:other_t:s0"}, {"apparmorProfile": "other"}])
def test_a_process_without_confinement_has_the_container_s(given: dict[str, str], tmp_path: Path) -> None:
    """Of a file as well as of a config.json that has lost it meanwhile."""
    process = {"args": ["/x"], "cwd": "/", "user": {"uid": 0, "gid": 0}, **given}
    (tmp_path / "process.json").write_text(json.dumps(process))
    (tmp_path / "config.json").write_text(json.dumps({"process": process}))
    for options in (ProcessOptions(file=str(tmp_path / "process.json")), ProcessOptions(args=("/x",))):
        found = exec_process.config(options, str(tmp_path), {"config": {"process": LABELS}}).process
        assert found is not None
        wanted = {**LABELS, **given}
        assert (found.selinux_label, found.apparmor_profile) == (wanted["selinuxLabel"], wanted["apparmorProfile"])


@pytest.mark.parametrize(
    ("name", "text"),
    [("selinuxLabel", "label"), ("apparmorProfile", 'unable to apply apparmor profile "x"')],
)
def test_confinement_is_kept_from_create_to_exec(name: str, text: str, box: Box) -> None:
    """No kernel knows these: exec fails rather than to run without."""
    directory = box.directory / "kept"
    directory.mkdir()
    descriptor = os.open(directory, os.O_PATH)
    saved_config.save({"process": {name: "x", "args": ["/x"]}}, False, descriptor)
    os.close(descriptor)
    started(box)
    shutil.copy(directory / saved_config.FILE, box.root / "c" / saved_config.FILE)
    refused(box("exec", "--process", process_file(box), "c"), text)


def test_no_keyring_of_its_own(box: Box) -> None:
    started(box, None, "--no-new-keyring")
    assert "_ses.c" not in str(seen(box)["session_keyring_description"])


def test_flags(box: Box) -> None:
    started(box)
    flags = ("--cwd", "/dev", "-e", "A=1", "-e", "PATH=/x", "-e", "A=2", "-u", "1000", "-g", "7", "-g", "8")
    found = seen(box, *flags, "--no-new-privs=false")
    assert found["cwd"] == "/dev"
    assert found["env"] == ["TERM=xterm", "PATH=/x", "A=2", "HOME=/"]
    assert (found["uid"], found["gid"], found["groups"]) == ([1000] * 3, [0] * 3, [7, 8])
    assert found["no_new_privileges"] == 0
    assert seen(box)["no_new_privileges"] == 1
    assert seen(box, "-u", "5:6")["gid"] == [6] * 3


def test_capabilities(box: Box) -> None:
    """--cap adds to three sets; ambient needs inheritable, which stays as it is."""
    bundle = started(box)
    before, after = masks(seen(box)), masks(seen(box, "-c", "CAP_NET_RAW"))
    for name in ("CapBnd", "CapPrm", "CapEff"):
        assert after[name] == before[name] | NET_RAW
    assert after["CapInh"] == after["CapAmb"] == 0
    done = box("exec", "--cap", "CAP_NOPE", "c", "/reporter", "exit", "0")
    assert done.returncode == 0 and "ignoring unknown capabilities: CAP_NOPE" in done.stderr
    sets = json.loads((bundle / "config.json").read_text())["process"]["capabilities"]
    edited(bundle, capabilities={**sets, "inheritable": ["CAP_NET_RAW"]})
    found = masks(seen(box, "-c", "CAP_NET_RAW", "-u", "1000:1000"))
    assert found["CapAmb"] == found["CapInh"] == NET_RAW
    assert found["CapPrm"] & NET_RAW


def test_no_sets_at_all(box: Box) -> None:
    bundle = started(box, lambda config: config["process"].pop("capabilities"))
    assert masks(seen(box)) == masks(report_of_init(bundle))
    refused(box("exec", "--cap", "CAP_NET_RAW", "c", "/reporter"), "--cap has nothing to add to")


def test_a_file_without_sets_has_the_container_s(box: Box) -> None:
    """As runc; but not its rlimits, which are of each process."""
    bundle = started(box)
    found = seen(box, "--process", process_file(box))
    assert masks(found) == masks(report_of_init(bundle))
    assert found["no_new_privileges"] == 0
    assert found["rlimits"]["NOFILE"] != report_of_init(bundle)["rlimits"]["NOFILE"]


def test_a_file_with_everything(box: Box) -> None:
    started(box)
    file = process_file(
        box,
        capabilities={"bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"], "effective": []},
        noNewPrivileges=True,
        rlimits=[
            {"type": "RLIMIT_NOFILE", "soft": 10, "hard": 500},
            {"type": "RLIMIT_AS", "soft": 2**24, "hard": 2**24},
        ],
        scheduler={"policy": "SCHED_BATCH", "nice": 7},
        ioPriority={"class": "IOPRIO_CLASS_IDLE"},
        execCPUAffinity={"initial": "0", "final": "0"},
        env=["A=1", "A=2", "HOME="],
    )
    found = seen(box, "--process", file)
    assert masks(found)["CapBnd"] == 1 << 5
    assert found["no_new_privileges"] == 1
    assert (found["rlimits"]["NOFILE"], found["rlimits"]["AS"]) == ([10, 500], [2**24, 2**24])
    assert (found["scheduler"], found["nice"], found["affinity"]) == (3, 7, [0])
    assert found["env"] == ["A=2", "HOME=/"]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", "process.json: the file is empty"),
        ("null", "process.json#: must be an object, not null"),
        ("[]", "process.json#: must be an object, not an array"),
        ('{"cwd": "/"}', "args must not be empty"),
        ('{"cwd": "/", "args": []}', "args must not be empty"),
        ('{"args": ["x"]}', "process.json#: 'cwd' is missing"),
        ('{"cwd": "x", "args": ["x"]}', "Cwd must be an absolute path"),
        ('{"cwd": "/", "args": ["x", 1]}', "process.json#/args/1: must be a string, not 1"),
        (
            '{"cwd": "/", "args": ["x"], "user": {"uid": 4294967295, "gid": 0}}',
            "process.json#/user/uid: must be between 0 and 4294967294",
        ),
        ('{"cwd": "/", "args": ["x"], "rlimits": [{"type": "RLIMIT_X", "soft": 1, "hard": 1}]}', "wrong rlimit value"),
        ('{"cwd": "/", "args": ["x\\u0000"]}', "must not hold a NUL character"),
        ('{"cwd": "/", "args": ["x"], "env": ["PATH"]}', "invalid environment variable: missing '='"),
    ],
)
def test_a_file_that_is_wrong(box: Box, content: str, text: str) -> None:
    started(box)
    (box.directory / "process.json").write_text(content)
    refused(box("exec", "--process", str(box.directory / "process.json"), "c"), text)


def test_a_filter_that_allows_execve_only(box: Box, exits: Path) -> None:
    """Nothing comes between the filter and execve(2), for a process of exec as for the first one."""

    def change(config: dict[str, Any]) -> None:
        only_execve(config)
        config["mounts"].append({"destination": "/program", "source": str(exits), "options": ["bind"]})
        config["root"]["readonly"] = False

    assert box("create", "--bundle", str(box.bundle("sleep", change=change)), "c").stderr == ""
    for _ in range(20):
        done = box("exec", "c", "/program")
        assert (done.returncode, done.stderr) == (7, "")


def only_needed(config: dict[str, Any]) -> None:
    """A filter that allows what a process of exec has to do under it, kills for everything else, and needs a
    privilege to be loaded."""
    config["process"]["noNewPrivileges"] = False
    config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_KILL_PROCESS",
        "syscalls": [
            {"names": list(NEEDED), "action": "SCMP_ACT_ALLOW"},
            {
                "names": ["clone"],
                "action": "SCMP_ACT_ALLOW",
                "args": [{"index": 0, "value": CLONE_FLAGS, "op": "SCMP_CMP_EQ"}],
            },
        ],
    }


@pytest.mark.parametrize("flags", [(), ("--user", "1000:1000"), ("--tty",), ("--detach",)], ids=str)
def test_a_filter_that_stage_1_loads(either_box: Box, exits: Path, flags: tuple[str, ...]) -> None:
    """It has everything that exec needs: without one of the names that a run has used, the process is killed."""

    def change(config: dict[str, Any]) -> None:
        only_needed(config)
        config["mounts"].append({"destination": "/program", "source": str(exits), "options": ["bind"]})
        config["root"]["readonly"] = False

    assert either_box("create", "--bundle", str(either_box.bundle("sleep", change=change)), "c").stderr == ""
    for program, status in (("/program", 0 if "--detach" in flags else 7), ("nope", 255)):
        done = either_box("exec", *flags, "c", program)
        assert done.returncode == status, done
        assert (status == 255) == ("executable file not found" in done.stderr), done


@contextmanager
def below(box: Box, name: str) -> Iterator[dict[str, str]]:
    """A cgroup of this name below the container's, in every hierarchy; its paths as /proc/PID/cgroup has them."""
    paths = json.loads((box.root / "c/state.json").read_text())["cgroup_paths"]
    made = [f"{path}/{name}" for path in dict.fromkeys(paths.values())]
    for path in made:
        os.mkdir(path)
        for file in ("cpuset.cpus", "cpuset.mems"):
            if os.path.exists(f"{path}/{file}"):
                Path(path, file).write_text(Path(path, "..", file).read_text())
    try:
        yield paths
    finally:
        for path in made:
            os.rmdir(path)


def test_sub_cgroups(box: Box) -> None:
    """On this machine's mixed hierarchies: one path for all, or per controller; the others stay."""
    started(box)
    with below(box, "sub"):
        found = {line.split(":")[1]: line.split(":")[2] for line in seen(box, "--cgroup", "sub")["cgroup"]}
        assert all(path.endswith("/sub") for path in found.values())
        lines = seen(box, "--cgroup", "pids,memory:/sub")["cgroup"]
        found = {line.split(":")[1]: line.split(":")[2] for line in lines}
        assert {name for name, path in found.items() if path.endswith("/sub")} == {"pids", "memory"}
        refused(box("exec", "--cgroup", "nope:sub", "c", "/reporter"), "unknown controller nope in SubCgroupPaths")


@pytest.mark.parametrize("either_box", ["v2"], indirect=True)
def test_a_container_whose_cgroup_is_gone(either_box: Box) -> None:
    """v2: exec does not go where its first process is now, which may be anywhere."""
    box = either_box
    started(box)
    parent = Path("/sys/fs/cgroup/unified", box.mark)
    moved, own = parent / "moved", parent / "bundle-0"
    moved.mkdir()
    (moved / "cgroup.procs").write_text(str(box.state("c")["pid"]))
    own.rmdir()
    try:
        refused(box("exec", "c", "/reporter"), f"/{box.mark}/bundle-0: no such file or directory")
        refused(box("exec", "--cgroup", "sub", "c", "/reporter"), "no such file or directory")
    finally:
        assert box("delete", "--force", "c").returncode == 0
        until(lambda: not (moved / "cgroup.procs").read_text(), "it is empty")
        moved.rmdir()


def test_a_directory_that_only_root_may_enter(box: Box) -> None:
    """As runc: it is entered before root becomes the user."""
    bundle = started(box)
    (bundle / "rootfs/private").mkdir(mode=0o700)
    assert seen(box, "--cwd", "/private", "--user", "1000")["cwd"] == "/private"
