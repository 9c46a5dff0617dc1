"""What config.json, a process.json or an update may mean and does not say: taken as runc takes it, and told."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.container.box import Box, Done
from tests.container.exec.started import process_file, refused, report, seen, started
from tests.container.test_update import update, value

pytestmark = pytest.mark.root
Raw = dict[str, Any]
V1 = pytest.mark.skipif(not os.path.isdir("/sys/fs/cgroup/pids"), reason="this machine has no cgroup v1")
SETS = ("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE")  # of the example
NOTHING = "no such container was made"


def run(box: Box, change: Callable[[Raw], object], *program: str, command: str = "run") -> tuple[Done, Path]:
    bundle = box.bundle(*program or ("sleep",), change=change)
    flags = ("--detach",) if command == "run" else ()
    return box(command, *flags, "--bundle", str(bundle), "a"), bundle


def warnings(done: Done) -> list[str]:
    """What is told, of a command that went well."""
    assert done.returncode == 0, done.stderr
    found = [line.partition('level=warning msg="')[2] for line in done.stderr.splitlines()]
    assert all(found), done.stderr
    return [line[:-1].replace('\\"', '"') for line in found]


def renamed(node: Raw, key: str, other: str) -> None:
    """`key` is spelled `other`, at its place."""
    members = [(other if name == key else name, member) for name, member in node.items()]
    node.clear()
    node.update(members)


@V1
@pytest.mark.parametrize("command", ["create", "run"])
def test_a_limit_whose_key_is_in_another_case_is_applied(box: Box, command: str) -> None:
    def change(config: Raw) -> None:
        config["linux"]["resources"] = {"Pids": {"LIMIT": 17}}
        renamed(config, "linux", "Linux")

    done, _ = run(box, change, command=command)
    as_spelled = "the specification spells it so, and other runtimes may ignore it"
    assert warnings(done) == [
        f"config.json#/Linux: taken for 'linux': {as_spelled}",
        f"config.json#/linux/resources/Pids: taken for 'pids': {as_spelled}",
        f"config.json#/linux/resources/pids/LIMIT: taken for 'limit': {as_spelled}",
    ]
    assert value(box, "pids", "pids.max") == "17"


def test_hooks_of_a_key_in_another_case_run_at_the_end_too(box: Box) -> None:
    mark = box.directory / "hook-ran"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"echo $0 >> {mark}"]}

    def change(config: Raw) -> None:
        config["Hooks"] = {"PostStart": [hook], "POSTSTOP": [hook]}

    done, _ = run(box, change)
    assert len(warnings(done)) == 3 and mark.read_text() == "sh\n"
    assert box("delete", "--force", "a").returncode == 0
    assert mark.read_text() == "sh\nsh\n"


def test_two_spellings_of_a_key_are_refused(box: Box) -> None:
    def change(config: Raw) -> None:
        config["linux"]["resources"] = {"cpu": {"shares": 2}, "CPU": {"shares": 3}}

    done, _ = run(box, change)
    assert done.returncode == 1
    assert "config.json#/linux/resources/CPU: the key is given twice: it is 'cpu' in another case" in done.stderr
    assert not (box.root / "a").exists(), NOTHING


def test_a_misspelled_process(box: Box) -> None:
    done, bundle = run(box, lambda config: renamed(config, "process", "proces"))
    assert done.returncode == 1 and "process property must not be empty" in done.stderr
    assert "  hint: config.json has 'proces': did you mean 'process'?\n" in done.stderr
    assert not (box.root / "a").exists(), NOTHING
    assert warnings(box("create", "--bundle", str(bundle), "a")) == [
        "config.json#/proces: unknown key, ignored; did you mean 'process'?"
    ]


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        (
            lambda config: config["linux"]["resources"].update(memory={"limt": 5}),
            "config.json#/linux/resources/memory/limt: unknown key, ignored; did you mean 'limit'?",
        ),
        (lambda config: config.update(ociVersion="2.0"), 'config.json#/ociVersion: "2.0" is no version 1.x of the '
         "specification"),
        (
            lambda config: config["linux"]["resources"].update(
                devices=[
                    {"allow": False, "access": "rwm"},
                    {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rwa"},
                ]
            ),
            "config.json#/linux/resources/devices/1/access: letters other than r, w and m are ignored",
        ),
        (
            lambda config: config["process"]["capabilities"].update(ambient=["CAP_NET_RAW"]),
            "can't raise ambient capability CAP_NET_RAW: operation not permitted: "
            "it is neither in permitted nor in inheritable nor in bounding",
        ),
        (
            lambda config: config["process"]["capabilities"].update(bounding=[*SETS, "NET_RAW"]),
            "ignoring unknown capabilities: NET_RAW (did you mean CAP_NET_RAW?)",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["create", "run"])
def test_one_warning(box: Box, command: str, change: Callable[[Raw], object], warning: str) -> None:
    done, _ = run(box, change, command=command)
    assert warnings(done) == [warning]


def test_what_runc_takes_is_taken_in_silence(box: Box) -> None:
    def change(config: Raw) -> None:
        config["x-own"] = {"limit": 1}
        config["linux"]["rootfsPropagation"] = ""
        config["linux"]["resources"]["pids"] = {}
        device = {"path": "/dev/own", "type": "c", "major": 1, "minor": 3, "fileMode": 2**31 + 0o100640}
        config["linux"]["devices"] = [device]

    done, _ = run(box, change)
    assert warnings(done) == []
    assert os.stat(f"/proc/{box.state('a')['pid']}/root/dev/own").st_mode == stat.S_IFCHR | 0o640


def test_inheritable_beyond_bounding_is_told_and_the_rest_is_granted(box: Box) -> None:
    """The kernel refuses all of capset(2) for it: "Any value which [...] cannot be granted [...] MUST be logged"."""

    def change(config: Raw) -> None:
        kill = ["CAP_KILL"]
        config["process"]["capabilities"] = {"bounding": kill, "permitted": kill, "effective": kill}
        config["process"]["capabilities"]["inheritable"] = ["CAP_KILL", "CAP_CHOWN"]

    done, _ = run(box, change)
    assert warnings(done) == ["ignoring inheritable capability CAP_CHOWN: it is not in bounding"]
    done = box("exec", "a", "/reporter", "report")
    assert done.stderr == "", "create has told of it"
    status = report(done)["status"]
    assert (int(status["CapInh"], 16), int(status["CapPrm"], 16)) == (1 << 5, 1 << 5)


def test_a_process_whose_keys_are_in_another_case(box: Box) -> None:
    started(box)
    file = Path(process_file(box))
    process = json.loads(file.read_text())
    for key in ("args", "cwd", "env"):
        renamed(process, key, key.upper())
    process["ENV"] = ["SEEN=1"]
    process["terminl"] = False
    file.write_text(json.dumps(process))
    done = box("exec", "--process", str(file), "c")
    told = warnings(done)
    assert [line.partition(":")[0] for line in told] == [
        f"{file}#/ARGS",
        f"{file}#/CWD",
        f"{file}#/ENV",
        f"{file}#/terminl",
    ]
    assert "SEEN=1" in report(Done(done.args, 0, done.stdout, ""))["env"]
    process["args"] = ["/reporter"]
    file.write_text(json.dumps(process))
    refused(box("exec", "--process", str(file), "c"), f"{file}#/ARGS: the key is given twice: it is 'args'")


@pytest.mark.parametrize(("key", "typed"), [("cwd", "cwdd"), ("args", "arg")])
def test_what_a_process_lacks_may_be_misspelled(box: Box, key: str, typed: str) -> None:
    started(box)
    file = Path(process_file(box))
    process = json.loads(file.read_text())
    renamed(process, key, typed)
    file.write_text(json.dumps(process))
    done = box("exec", "--process", str(file), "c")
    assert done.returncode == 255
    assert f"  hint: {file} has '{typed}': did you mean '{key}'?\n" in done.stderr


def test_exec_finds_process_in_another_case_and_says_nothing(box: Box) -> None:
    """create has told of it."""
    bundle = started(box)
    config = json.loads((bundle / "config.json").read_text())
    config["process"]["env"] = ["SEEN=1"]
    renamed(config["process"], "env", "Env")
    (bundle / "config.json").write_text(json.dumps(config))
    assert "SEEN=1" in seen(box, "--env", "MORE=1")["env"]
    renamed(config, "process", "Process")
    (bundle / "config.json").write_text(json.dumps(config))
    assert {"SEEN=1", "MORE=1"} <= set(seen(box, "--env", "MORE=1")["env"])
    renamed(config, "Process", "proces")
    (bundle / "config.json").write_text(json.dumps(config))
    done = box("exec", "c", "/reporter")
    refused(done, "process property must not be empty")
    assert "hint: config.json has 'proces': did you mean 'process'?" in done.stderr


def test_the_capabilities_of_a_process_are_told_of(box: Box) -> None:
    started(box)
    sets = {kind: ["CAP_KILL"] for kind in ("bounding", "permitted", "effective", "ambient")}
    done = box("exec", "--process", process_file(box, capabilities=sets), "c")
    assert warnings(done) == [
        "can't raise ambient capability CAP_KILL: operation not permitted: it is not in inheritable"
    ]


@V1
def test_update(box: Box) -> None:
    done, _ = run(box, lambda config: None)
    assert warnings(done) == []
    file = box.directory / "resources.json"
    assert warnings(update(box, {"PIDS": {"limit": 19}})) == [
        f"{file}#/PIDS: taken for 'pids': the specification spells it so, and other runtimes may ignore it"
    ]
    assert value(box, "pids", "pids.max") == "19"
    assert warnings(update(box, {"pids": {"limt": 20}})) == [
        f"{file}#/pids/limt: unknown key, ignored; did you mean 'limit'?"
    ]
    assert warnings(update(box, {"pids": {}})) == warnings(update(box, {})) == []
    assert warnings(update(box, {"unknownthing": 5})) == [
        f'{file}: no member is one of linux.resources, nothing is changed: "unknownthing"'
    ]
    rule = {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rwa"}
    assert warnings(update(box, {"devices": [{"allow": False, "access": "rwm"}, rule]})) == [
        f"{file}#/devices/1/access: letters other than r, w and m are ignored"
    ]
    limits = [{"pageSize": "2MB", "limit": 1 << 21}]
    assert warnings(update(box, {"hugepageLimits": limits})) == [
        f"{file}#/hugepageLimits: ignored: update cannot change it"
    ]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ('{"pids": {"limit": "5"}}', "FILE#/pids/limit: must be an integer, not '5'", "write 5, without quotes"),
        (
            '{"hugepageLimits": [{"pageSize": "2M", "limit": 9}]}',
            "FILE#/hugepageLimits/0/pageSize: must be a size such as 2MB, not '2M'",
            "did you mean '2MB'?",
        ),
        ("[]", "FILE#: must be an object, not an array", "it is an object like linux.resources of config.json"),
        (
            '{"ociVersion": "1.3.0", "linux": {"resources": {"pids": {"limit": 5}}}}',
            "FILE: no member is one of linux.resources: it is a whole config.json",
            "update takes what stands in its linux.resources",
        ),
        (
            '{"resources": {"pids": {"limit": 5}}}',
            "FILE: no member is one of linux.resources: it is an object with `resources`",
            "update takes what stands in its `resources`",
        ),
        ('{"memory": {"limit": -7}}', "FILE#/memory/limit: must be -1 (no limit) or more, not -7", ""),
        ('{"pids": {}, "PIDS": {}}', "FILE#/PIDS: the key is given twice: it is 'pids' in another case", ""),
        ("{", "FILE: not JSON", ""),
        (None, "open FILE: no such file or directory", ""),
    ],
)
def test_errors_of_update_name_the_option_and_the_file(box: Box, text: str | None, message: str, hint: str) -> None:
    run(box, lambda config: None)
    file = box.directory / "resources.json"
    done = box("update", "--resources", str(file), "a") if text is None else update(box, text)
    assert done.returncode == 1
    assert message.replace("FILE", str(file)) in done.stderr and hint in done.stderr
    assert "  pointer: --resources\n" in done.stderr


def test_a_broken_rule_of_a_flag_of_update_names_the_flag(box: Box) -> None:
    run(box, lambda config: None)
    done = box("update", "--cpu-idle", "7", "a")
    assert done.returncode == 1
    assert "--cpu-idle: must be 0 or 1, not 7" in done.stderr and "  pointer: --cpu-idle\n" in done.stderr


def test_a_misspelled_system_call_is_told_of_every_time(box: Box) -> None:
    def change(config: Raw) -> None:
        rule = {"names": ["unshre", "mseal", "fchmodat2"], "action": "SCMP_ACT_ERRNO"}
        config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}

    inodes = set()
    for _ in range(2):
        done, _ = run(box, change)
        assert warnings(done) == [
            'config.json#/linux/seccomp/syscalls/0/names/0: unknown system call "unshre", ignored; '
            "did you mean 'unshare'?"
        ]
        (kept,) = (box.root / "@seccomp").iterdir()
        inodes.add(kept.stat().st_ino)
        assert box("exec", "a", "/reporter").stderr == "", "create has told of it"
        assert box("delete", "--force", "a").returncode == 0
    assert len(inodes) == 1, "it is not compiled again"
