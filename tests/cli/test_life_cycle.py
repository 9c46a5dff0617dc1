"""The command line of the installed runtime on real containers: what a spelling changes, and what it does not."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pyoci.cli import spec

pytestmark = [pytest.mark.root, pytest.mark.also_guest]

Done = subprocess.CompletedProcess[str]
Cli = Callable[..., Done]
Bundle = Callable[..., Path]


@pytest.fixture
def cli(pyoci: str, tmp_path: Path) -> Iterator[Cli]:
    """`cli("kill", "a")` of the installed runtime, root and log below tmp_path; containers are deleted at the end."""
    root = tmp_path / "root"

    def run(*argv: str, **options: Any) -> Done:
        command = [pyoci, "--root", str(root), *argv]
        with (
            (tmp_path / "out").open("w") as out,
            (tmp_path / "err").open("w") as err,
        ):  # a container may keep a pipe open
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=tmp_path, timeout=60, **options
            )
        return Done(command, done.returncode, (tmp_path / "out").read_text(), (tmp_path / "err").read_text())

    yield run
    for directory in root.glob("[!@]*"):
        assert run("delete", "--force", directory.name).returncode == 0


@pytest.fixture
def bundle(tmp_path: Path, reporter: Path) -> Bundle:
    """`bundle("exit", "7")`: a bundle whose program is the reporter with these arguments; cgroups of its own."""

    def make(*args: str) -> Path:
        path = tmp_path / f"bundle-{uuid.uuid4().hex[:8]}"
        (path / "rootfs").mkdir(parents=True)
        shutil.copy(reporter, path / "rootfs" / "reporter")
        config = spec.example(v2=False)
        config["process"].update(terminal=False, args=["/reporter", *args])
        config["linux"]["cgroupsPath"] = f"/pyoci-test-{path.name}"
        (path / "config.json").write_text(json.dumps(config))
        return path

    return make


@pytest.mark.parametrize("id", ["help", "h", "create", "-x", "--force"])
def test_any_id_is_an_id(cli: Cli, bundle: Bundle, id: str) -> None:
    """runc 1.6 prints a help text for `state help`. What begins with a dash needs the `--`, as everywhere."""
    separator = ["--"] if id.startswith("-") else []
    assert cli("create", "--bundle", str(bundle("sleep")), *separator, id).stderr == ""
    assert json.loads(cli("state", *separator, id).stdout)["status"] == "created"
    assert cli("start", *separator, id).stderr == ""
    assert json.loads(cli("state", *separator, id).stdout)["status"] == "running"
    assert cli("list", "-q").stdout == f"{id}\n"
    assert cli("kill", *separator, id, "KILL").stderr == ""
    assert cli("delete", "--force", *separator, id).stderr == ""
    assert cli("list", "-q").stdout == ""


@pytest.mark.parametrize(
    "argv",
    [
        "create -b {bundle} {id}",
        "create {id} -b {bundle}",
        "create --no-pivot=false {id} --bundle={bundle}",
        "create -no-new-keyring -bundle {bundle} {id}",
        "run -d --bundle {bundle} {id}",
        "run {id} --detach --keep -b={bundle} -no-subreaper",
    ],
)
def test_flags_stand_anywhere(cli: Cli, bundle: Bundle, argv: str) -> None:
    done = cli(*argv.format(bundle=bundle("sleep"), id="a").split())
    assert (done.returncode, done.stderr) == (0, "")
    assert cli("list", "-q").stdout == "a\n"


@pytest.mark.parametrize(
    "argv", ["kill --all a {}", "kill a --all {}", "kill a {} --all", "kill -a a {}", "kill a {} -a"]
)
@pytest.mark.parametrize("signal", ["9", "sigkill"])
def test_kill_all_stands_on_either_side_of_the_id(cli: Cli, bundle: Bundle, argv: str, signal: str) -> None:
    assert cli("run", "--detach", "-b", str(bundle("sleep")), "a").returncode == 0
    command = argv.format(signal).split()
    assert cli(*command).stderr == ""
    deadline = time.monotonic() + 20
    while json.loads(cli("state", "a").stdout)["status"] != "stopped":
        assert time.monotonic() < deadline
    assert cli(*command).stderr == ""
    assert 'msg="container not running"' in cli("kill", "a", "KILL").stderr


def test_kill_without_a_name_is_sigterm(cli: Cli, bundle: Bundle, tmp_path: Path) -> None:
    assert cli("run", "-b", str(bundle("trap", "3")), "-d", "a").returncode == 0
    assert cli("kill", "a").stderr == ""
    assert 'msg="unknown signal \\"BOGUS\\""' in cli("kill", "a", "BOGUS").stderr


def test_run_ends_with_the_program_s_status(cli: Cli, bundle: Bundle) -> None:
    assert cli("run", "-b", str(bundle("exit", "7")), "a").returncode == 7
    assert cli("run", "a", "-b", str(bundle("exit", "0"))).returncode == 0
    assert cli("list", "-q").stdout == ""


def test_a_failed_create_is_one_json_object(cli: Cli, bundle: Bundle, tmp_path: Path) -> None:
    """podman reads the whole file as one object, go-runc searches stderr for the same text."""
    path = bundle("exit", "0")
    config = json.loads((path / "config.json").read_text())
    config["process"]["args"] = ["/missing"]
    config["process"]["capabilities"]["bounding"].append("CAP_OF_TOMORROW")  # worth a warning
    (path / "config.json").write_text(json.dumps(config))
    done = cli("--log", "log.json", "--log-format", "json", "create", "-b", str(path), "a")
    assert done.returncode == 1
    entry = json.loads((tmp_path / "log.json").read_text())
    assert entry["level"] == "error"
    assert entry["msg"].startswith("pyoci create failed: ")
    assert "no such file or directory" in entry["msg"].lower()
    assert "CAP_OF_TOMORROW" in entry["warning"]
    assert done.stderr.splitlines()[0] == entry["msg"]


def test_a_warning_of_a_create_that_succeeds_is_in_the_log(cli: Cli, bundle: Bundle, tmp_path: Path) -> None:
    path = bundle("exit", "0")
    config = json.loads((path / "config.json").read_text())
    config["process"]["capabilities"]["bounding"].append("CAP_OF_TOMORROW")
    (path / "config.json").write_text(json.dumps(config))
    done = cli("--log", "log.json", "--log-format", "json", "create", "-b", str(path), "a")
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = (tmp_path / "log.json").read_text().splitlines()
    assert json.loads(line)["level"] == "warning"


def test_the_log_takes_no_preserved_descriptor_s_place(cli: Cli, bundle: Bundle) -> None:
    """3 is closed: that is an error, and not a log file that the container may write to."""
    done = cli("--log", "log", "run", "--preserve-fds", "1", "-b", str(bundle("report")), "a")
    assert done.returncode == 1
    assert "unable to stat preserved-fd" in done.stderr


def test_files_are_named_from_the_caller_s_directory(cli: Cli, bundle: Bundle, tmp_path: Path) -> None:
    path = bundle("sleep")
    assert cli("run", "-d", "--bundle", path.name, "--pid-file", "pid", "a").stderr == ""
    assert int((tmp_path / "pid").read_text()) == json.loads(cli("state", "a").stdout)["pid"]
    assert json.loads(cli("state", "a").stdout)["bundle"] == str(path)


def test_no_bundle(cli: Cli) -> None:
    assert 'msg="pyoci create failed: chdir nowhere: no such file' in cli("create", "-b", "nowhere", "a").stderr
    assert 'msg="pyoci run failed: JSON specification file config.json not found"' in cli("run", "a").stderr


def test_trace_times_the_steps_of_both_processes(cli: Cli, bundle: Bundle, tmp_path: Path) -> None:
    done = cli("run", "--trace", str(tmp_path / "trace.json"), "-b", str(bundle("exit", "0")), "a")
    assert done.returncode == 0, done.stderr
    first, *events = json.loads((tmp_path / "trace.json").read_text())
    assert (first["ph"], first["args"]) == ("M", {"name": "pyoci"})
    names = [event["name"] for event in events]
    assert names.index("MakeCgroups") < names.index("PivotRoot") < names.index("FindProgram")
    assert len({event["pid"] for event in events}) == 2  # the runtime, and the container's process as pid 1
    assert all(event["ph"] == "X" and event["dur"] >= 0 for event in events)
    assert {"pointer": "/process/args/0", "what": events[names.index("FindProgram")]["args"]["what"]} in [
        event["args"] for event in events
    ]


@pytest.mark.parametrize("number", ["-1", "-5"])
def test_a_negative_number_of_descriptors_is_refused(cli: Cli, bundle: Bundle, number: str) -> None:
    done = cli("create", "-b", str(bundle("exit", "0")), "--preserve-fds", number, "a")
    assert done.returncode == 1
    assert "--preserve-fds must not be negative" in done.stderr
