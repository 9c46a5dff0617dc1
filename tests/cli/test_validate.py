"""validate: output, formats and exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run

BAD = {
    "ociVersion": "1.3.0",
    "root": {"path": "rootfs"},
    "process": {"cwd": "/", "args": ["sh"], "usr": {}, "terminal": 1},
    "linux": {"rootfsPropagation": "rslve"},
}


def bundle(tmp_path: Path, config: Any) -> str:
    text = config if isinstance(config, str) else json.dumps(config)
    (tmp_path / "config.json").write_text(text)
    return str(tmp_path)


def test_text(run_cli: Run, tmp_path: Path) -> None:
    done = run_cli("validate", "--bundle", bundle(tmp_path, BAD))
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == (
        "config.json#/process/terminal: must be true or false, not 1\n"
        "    write true\n"
        "config.json#/linux/rootfsPropagation: must be one of private, shared, slave, unbindable, rprivate, rshared, "
        "rslave, runbindable, not 'rslve'\n"
        "    did you mean 'rslave'?\n"
        "warning: config.json#/process/usr: unknown key, ignored\n"
        "    did you mean 'user'?\n"
        f"warning: config.json#/root/path: {tmp_path}/rootfs is not there\n"
        "2 violations, 2 warnings\n"
    )


def test_json(run_cli: Run, tmp_path: Path) -> None:
    done = run_cli("validate", "--format", "json", "--bundle", bundle(tmp_path, BAD))
    assert (done.returncode, done.stderr) == (1, "")
    document = json.loads(done.stdout)
    assert [found["pointer"] for found in document["violations"]] == ["/process/terminal", "/linux/rootfsPropagation"]
    assert document["warnings"] == [
        {"pointer": "/process/usr", "reason": "unknown key, ignored", "hint": "did you mean 'user'?"},
        {"pointer": "/root/path", "reason": f"{tmp_path}/rootfs is not there", "hint": ""},
    ]


@pytest.mark.parametrize("form", ["text", "json"])
def test_only_warnings_are_no_failure(run_cli: Run, tmp_path: Path, form: str) -> None:
    here = bundle(tmp_path, {"ociVersion": "1.3.0", "root": {"path": "rootfs"}, "hostnam": "x"})
    done = run_cli("validate", "--format", form, "-b", here)
    assert (done.returncode, done.stderr) == (0, "")
    assert "hostnam" in done.stdout


def test_the_example_of_spec_is_valid(run_cli: Run) -> None:
    assert run_cli("spec").returncode == 0
    done = run_cli("validate", "--format", "json")
    warnings = json.loads(done.stdout)["warnings"]
    assert done.returncode == 0 and [found["pointer"] for found in warnings] == ["/root/path"]
    root = Path(warnings[0]["reason"].removesuffix(" is not there"))
    assert root.name == "rootfs"
    root.write_text("")
    assert f"warning: config.json#/root/path: {root} is not a directory\n" in run_cli("validate").stdout
    root.unlink()
    root.mkdir()
    done = run_cli("validate")
    assert (done.returncode, done.stdout) == (0, "no violations, no warnings\n")


def test_what_is_deprecated_contradicts_itself_or_is_unknown(run_cli: Run, tmp_path: Path) -> None:
    names = ["read", "unshre", *(f"newer_call_{number}" for number in range(25))]
    config = {
        "ociVersion": "1.3.0",
        "root": {"path": "."},
        "process": {"cwd": "/", "args": ["sh"], "capabilities": {"bounding": ["NET_ADMIN"]}},
        "mounts": [{"destination": "tmp", "type": "tmpfs", "options": ["nosiud"]}],
        "Hostname": "h",
        "linux": {
            "namespaces": [{"type": "uts"}, {"type": "mount"}],
            "resources": {"memory": {"limit": 9, "swap": 8, "limt": 5}},
            "seccomp": {
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"names": names, "action": "SCMP_ACT_ERRNO"}],
            },
        },
    }
    done = run_cli("validate", "--format", "json", "-b", bundle(tmp_path, config))
    found = {one["pointer"]: one["reason"] + one["hint"] for one in json.loads(done.stdout)["warnings"]}
    assert done.returncode == 0 and set(found) == {
        "/Hostname",
        "/linux/resources/memory/limt",
        "/mounts/0/destination",
        "/mounts/0/options/0",
        "/process/capabilities",
        "/linux/resources/memory/swap",
        "/linux/seccomp/syscalls/0/names/1",
        "/linux/seccomp/syscalls",
    }
    assert found["/linux/seccomp/syscalls/0/names/1"].endswith("did you mean 'unshare'?")
    others = found["/linux/seccomp/syscalls"]
    assert others.endswith("newer_call_19 and 5 more") and "unshre" not in others


def test_one_violation_hides_nothing_that_has_nothing_to_do_with_it(run_cli: Run, tmp_path: Path) -> None:
    names = ["read", "unshar"]
    config = {
        "ociVersion": "1.3.0",
        "root": {"path": "rootfs"},
        "process": {
            "cwd": "rel",
            "args": ["sh"],
            "terminal": "false",
            "oomScoreAdj": 5000,
            "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 2, "hard": 1}],
        },
        "hooks": {"prestart": [{"path": "/x"}]},
        "linux": {
            "resources": {"memory": {"limit": 9, "swap": 8}, "pids": {"limit": "5"}},
            "seccomp": {
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"names": names, "action": "SCMP_ACT_ERRNO"}],
            },
        },
    }
    done = run_cli("validate", "--format", "json", "-b", bundle(tmp_path, config))
    found = {name: [one["pointer"] for one in group] for name, group in json.loads(done.stdout).items()}
    assert found == {
        "violations": [
            "/process/terminal",
            "/linux/resources/pids/limit",
            "/process/cwd",
            "/process/rlimits/0/soft",
            "/process/oomScoreAdj",
        ],
        "warnings": [
            "/hooks/prestart",
            "/linux/resources/memory/swap",
            "/root/path",
            "/linux/seccomp/syscalls/0/names/1",
        ],
    }


def test_a_key_in_two_spellings(run_cli: Run, tmp_path: Path) -> None:
    here = bundle(tmp_path, {"ociVersion": "1.3.0", "root": {"path": "."}, "hooks": {}, "HOOKS": {}})
    done = run_cli("validate", "-b", here)
    assert done.returncode == 1
    assert done.stdout.startswith(
        "config.json#/HOOKS: the key is given twice: it is 'hooks' in another case\n"
        "    keep one of them, spelled 'hooks': readers differ in which one counts\n"
    )


def test_a_directory_instead_of_the_file(run_cli: Run, tmp_path: Path) -> None:
    (tmp_path / "config.json").mkdir()
    for command in ("validate", "plan"):
        done = run_cli(command, "-b", str(tmp_path))
        assert done.returncode == 1 and done.stdout == ""
        assert f"{tmp_path}/config.json: is a directory" in done.stderr
        assert "  hint: remove it: config.json is a file in the bundle; `pyoci spec` writes one" in done.stderr


def test_what_no_reader_takes_hides_nothing_else(run_cli: Run, tmp_path: Path) -> None:
    text = r"""{"ociVersion": "1.3.0", "root": {"path": ".", "path": "x"}, "hostname": "h", "hostname": "i",
        "mounts": [{"destination": "/a", "type": "tmpfs", "source": "\u0000"}, {"destination": 7},
        {"destination": "/b"}], "process": {"cwd": "x", "args": ["a"], "terminal": 1},
        "linux": {"maskedPaths": ["m"], "MaskedPaths": []}}"""
    done = run_cli("validate", "--format", "json", "-b", bundle(tmp_path, text))
    assert (done.returncode, done.stderr) == (1, "")
    assert [one["pointer"] for one in json.loads(done.stdout)["violations"]] == [
        "/root/path",
        "/hostname",
        "/mounts/0/source",
        "/linux/MaskedPaths",
        "/mounts/1/destination",
        "/process/terminal",
        "/process/cwd",
        "/mounts/2",
    ]


def test_a_file_that_is_not_json_is_a_violation_too(run_cli: Run, tmp_path: Path) -> None:
    done = run_cli("validate", "--format", "json", "-b", bundle(tmp_path, '{"ociVersion": "1", }'))
    assert done.returncode == 1
    found = json.loads(done.stdout)["violations"]
    assert len(found) == 1
    assert found[0]["reason"].startswith("not JSON: ")
    done = run_cli("validate", "-b", bundle(tmp_path, '{"a": {"b": "\\ud800"}}'))
    assert done.stdout.startswith("config.json#/a/b: a string must not hold half a surrogate pair")


def test_missing_file_and_bundle(run_cli: Run, tmp_path: Path) -> None:
    done = run_cli("validate")
    assert (done.returncode, done.stdout) == (1, "")
    assert 'msg="JSON specification file config.json not found"' in done.stderr
    assert 'msg="chdir nowhere: no such file or directory"' in run_cli("validate", "-b", "nowhere").stderr


def test_a_key_cannot_write_to_the_terminal(run_cli: Run, tmp_path: Path) -> None:
    here = bundle(
        tmp_path, {"ociVersion": "1.3.0", "root": {"path": "r"}, "a\x1b[2J\nb": 1, "annotations": {"\x1b": 2}}
    )
    done = run_cli("validate", "-b", here)
    assert (done.returncode, "\x1b" in done.stdout, done.stdout.count("\n")) == (1, False, 5)


def test_unknown_format(run_cli: Run) -> None:
    done = run_cli("validate", "--format", "yaml")
    assert done.returncode == 1
    assert 'msg="invalid format option"' in done.stderr


def test_what_this_machine_does_not_have(run_cli: Run, tmp_path: Path) -> None:
    (tmp_path / "rootfs").mkdir()
    config = {
        "ociVersion": "1.3.0",
        "root": {"path": "rootfs"},
        "mounts": [
            {"destination": "/a", "type": "tmpfss"},
            {"destination": "/b", "source": "gone", "options": ["bind"]},
        ],
        "linux": {"namespaces": [{"type": "mount"}], "resources": {"cpu": {"cpus": "9000"}}},
    }
    done = run_cli("validate", "-b", bundle(tmp_path, config))
    *lines, last = done.stdout.splitlines()
    assert (done.returncode, last) == (0, "no violations, 3 warnings")
    assert lines[:4] == [
        "warning: config.json#/mounts/0/type: /proc/filesystems has no 'tmpfss'",
        "    did you mean 'tmpfs'?",
        f"warning: config.json#/mounts/1/source: there is no {tmp_path}/gone",
        "    the source of a bind mount has to be on this host",
    ]
    assert lines[4].startswith("warning: config.json#/linux/resources/cpu/cpus: this machine has the processors ")
