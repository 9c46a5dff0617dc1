"""Errors of update and exec name the option, or the file that an option names, and what to write instead."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.container.box import Box
from tests.container.exec.started import process_file, started
from tests.container.test_remarks import V1

pytestmark = pytest.mark.root


@V1
@pytest.mark.parametrize(
    ("flag", "text", "message"),
    [
        ("--cpu-quota", "5", "invalid argument"),
        ("--cpuset-cpus", "4096-4097", ""),
        ("--blkio-weight", "5", "--blkio-weight: must be between 10 and 1000"),
    ],
)
def test_a_flag_of_update_that_is_refused(box: Box, flag: str, text: str, message: str) -> None:
    started(box)
    done = box("update", flag, text, "c")
    assert done.returncode == 1 and message in done.stderr and "config.json" not in done.stderr.splitlines()[0]
    assert f"  pointer: {flag}\n" in done.stderr


@V1
def test_a_value_of_a_file_that_the_kernel_refuses(box: Box) -> None:
    started(box)
    file = box.directory / "r.json"
    file.write_text('{"cpu": {"quota": 5}}')
    done = box("update", "-r", str(file), "c")
    assert done.returncode == 1 and f"  pointer: {file}#/cpu/quota\n" in done.stderr


@V1
def test_a_value_that_was_in_force_before_is_none_of_the_file(box: Box) -> None:
    """The new period is refused because of the quota that is there; the flag itself is at fault all the same."""
    started(box, lambda config: config["linux"].update(resources={"cpu": {"quota": 5000, "period": 10000}}))
    done = box("update", "--cpu-period", "7", "c")
    assert done.returncode == 1 and "  pointer: --cpu-period\n" in done.stderr


@pytest.mark.parametrize(
    ("members", "message", "hint"),
    [
        ({"terminal": "false"}, "#/terminal: must be true or false, not 'false'", "write false, without quotes"),
        (
            {"user": {"uid": "0", "gid": "0"}},
            "#/user/uid: must be an integer, not '0'",
            "write 0, without quotes; also wrong: FILE#/user/gid: must be an integer, not '0'",
        ),
        ({"cwd": "x"}, "Cwd must be an absolute path", 'begin it with "/"'),
        ({"oomScoreAdj": 5000}, "#/oomScoreAdj: must be between -1000 and 1000, not 5000", ""),
    ],
)
def test_a_process_file_is_called_by_its_name(box: Box, members: dict[str, object], message: str, hint: str) -> None:
    started(box)
    file = process_file(box, **members)
    done = box("exec", "--process", file, "c")
    first, *others = done.stderr.splitlines()
    assert done.returncode == 255 and message in first and "process.json" not in done.stderr
    assert (file in first) == message.startswith("#")
    assert others == ["  pointer: --process", *([f"  hint: {hint.replace('FILE', file)}"] if hint else [])]


def test_a_process_file_that_is_not_json(box: Box) -> None:
    started(box)
    file = box.directory / "lib.sh"
    file.write_text("echo")
    done = box("exec", "-p", str(file), "c")
    assert done.returncode == 255 and f"{file}: not JSON" in done.stderr and "  pointer: --process\n" in done.stderr


def test_process_of_config_json_has_suggestions_too(box: Box) -> None:
    bundle = started(box)
    config = json.loads((bundle / "config.json").read_text())
    config["process"]["user"]["uid"] = "0"
    (bundle / "config.json").write_text(json.dumps(config))
    done = box("exec", "c", "/reporter")
    assert "config.json#/process/user/uid: must be an integer, not '0'" in done.stderr
    assert "  pointer: /process/user/uid\n  hint: write 0, without quotes\n" in done.stderr


@pytest.mark.parametrize(("variable", "told"), [("", True), ("/run/user/65534", False)])
def test_a_root_that_is_closed_to_a_user(box: Box, variable: str, told: bool) -> None:
    """The default one, /run/pyoci, which is root's and closed."""
    place = box.directory / "installation"
    place.mkdir()
    script = f"""mount -t tmpfs t /run; mkdir -m 700 /run/pyoci; mount --bind "$0" {place}
        exec setpriv --reuid=65534 --regid=65534 --clear-groups {place}/bin/pyoci "$@\""""
    prefix = str(Path(box.pyoci).resolve().parents[1])
    unshared = ["/usr/bin/unshare", "--mount", "--propagation", "private", "sh", "-ec", script, prefix]
    own = ["--root", "/run/pyoci"] if variable else []
    environment = {"PATH": os.environ["PATH"], **({"XDG_RUNTIME_DIR": variable} if variable else {})}
    for words in (["state", "x"], ["list"]):
        done = subprocess.run([*unshared, *own, *words], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 1 and "open /run/pyoci: permission denied" in done.stderr, done.stderr
        assert "  pointer: --root\n" in done.stderr
        assert ("export XDG_RUNTIME_DIR=/run/user/65534" in done.stderr) == told


def test_update_keeps_to_the_standard_inputs_name(box: Box) -> None:
    started(box)
    done = subprocess.run(
        [*box.command("update", "-r", "-", "c")], input="[]", capture_output=True, text=True, check=False
    )
    assert "standard input#: must be an object, not an array" in done.stderr
