"""argv -> exit status, stdout, stderr. The texts are those that runc 1.5.1 was seen to print for the same arguments."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pyoci.cli import help
from pyoci.cli.commands import COMMANDS, MISSING
from pyoci.cli.main import as_error
from pyoci.errors import Error
from tests.cli.conftest import MAIN, Run

ROOT_HELP = help.root_help("/run/pyoci")
HELP = {name: help.command_help(command) for name, command in COMMANDS.items()}


def usage(line: str, command: str = "") -> str:
    return f"{line}\n\n{HELP[command] if command else ROOT_HELP}"


UNDEFINED = "flag provided but not defined: -bogus"
COUNT = 'pyoci: "{}" requires {} argument(s)'

TABLE: list[tuple[str, int, str, str | None]] = [
    # arguments, exit status, stdout, msg of the error
    ("", 0, ROOT_HELP, ""),
    ("help", 0, ROOT_HELP, ""),
    ("h", 0, ROOT_HELP, ""),
    ("-h", 0, ROOT_HELP, ""),
    ("--help", 0, ROOT_HELP, ""),
    ("-help", 0, ROOT_HELP, ""),
    ("--help create", 0, ROOT_HELP, ""),
    ("--help --bogus", 0, ROOT_HELP, ""),
    ("help create", 0, HELP["create"], ""),
    ("help -h", 0, ROOT_HELP, ""),
    ("h kill", 0, HELP["kill"], ""),
    ("create --help", 0, HELP["create"], ""),
    ("create -h", 0, HELP["create"], ""),
    ("create x --help", 0, HELP["create"], ""),
    ("create --help --bogus", 0, HELP["create"], ""),
    ("kill x 9 -h", 0, HELP["kill"], ""),
    ("bogus", 3, "", "No help topic for 'bogus'"),
    ("bogus --help", 3, "", "No help topic for 'bogus'"),
    ("help bogus", 3, "", "No help topic for 'bogus'"),
    ("--bogus", 1, usage(f"Incorrect Usage. {UNDEFINED}"), UNDEFINED),
    ("--bogus create x", 1, usage(f"Incorrect Usage. {UNDEFINED}"), UNDEFINED),
    ("--log", 1, usage("Incorrect Usage. flag needs an argument: -log"), "flag needs an argument: -log"),
    ("create --bogus x", 1, usage(f"Incorrect Usage: {UNDEFINED}", "create"), UNDEFINED),
    ("create -bogus x", 1, usage(f"Incorrect Usage: {UNDEFINED}", "create"), UNDEFINED),
    (
        "create --bundle",
        1,
        usage("Incorrect Usage: flag needs an argument: -bundle", "create"),
        "flag needs an argument: -bundle",
    ),
    (
        "create --preserve-fds abc x",
        1,
        usage('Incorrect Usage: invalid value "abc" for flag -preserve-fds: parse error', "create"),
        'invalid value "abc" for flag -preserve-fds: parse error',
    ),
    (
        "delete --force=yes x",
        1,
        usage('Incorrect Usage: invalid boolean value "yes" for -force: parse error', "delete"),
        'invalid boolean value "yes" for -force: parse error',
    ),
    ("create ---x x", 1, usage("Incorrect Usage: bad flag syntax: ---x", "create"), "bad flag syntax: ---x"),
    ("run -td x", 1, usage("Incorrect Usage: flag provided but not defined: -td", "run"), None),
    ("list -fjson", 1, usage("Incorrect Usage: flag provided but not defined: -fjson", "list"), None),
    ("state -v", 1, usage("Incorrect Usage: flag provided but not defined: -v", "state"), None),
    ("create", 1, usage("Incorrect Usage.", "create"), COUNT.format("create", "exactly 1")),
    ("create a b", 1, usage("Incorrect Usage.", "create"), COUNT.format("create", "exactly 1")),
    ("create x --bogus", 1, usage("Incorrect Usage.", "create"), COUNT.format("create", "exactly 1")),
    ("start", 1, usage("Incorrect Usage.", "start"), COUNT.format("start", "exactly 1")),
    ("state a b", 1, usage("Incorrect Usage.", "state"), COUNT.format("state", "exactly 1")),
    ("delete", 1, usage("Incorrect Usage.", "delete"), COUNT.format("delete", "exactly 1")),
    ("kill", 1, usage("Incorrect Usage.", "kill"), COUNT.format("kill", "a minimum of 1")),
    ("kill a b c", 1, usage("Incorrect Usage.", "kill"), COUNT.format("kill", "a maximum of 2")),
    ("pause", 1, usage("Incorrect Usage.", "pause"), COUNT.format("pause", "exactly 1")),
    ("resume a b", 1, usage("Incorrect Usage.", "resume"), COUNT.format("resume", "exactly 1")),
    ("ps", 1, usage("Incorrect Usage.", "ps"), COUNT.format("ps", "a minimum of 1")),
    ("ps --bogus a", 1, usage("Incorrect Usage: flag provided but not defined: -bogus", "ps"), None),
    ("ps nope --bogus -- --format", 1, "", "container does not exist"),
    ("pause nope", 1, "", "container does not exist"),
    ("resume nope", 1, "", "container does not exist"),
    ("update", 1, usage("Incorrect Usage.", "update"), COUNT.format("update", "exactly 1")),
    ("update nope --memory x --resources /nonexistent", 1, "", "container does not exist"),
    ("list x", 1, usage("Incorrect Usage.", "list"), COUNT.format("list", "exactly 0")),
    ("features x", 1, usage("Incorrect Usage.", "features"), COUNT.format("features", "exactly 0")),
    ("--root / list", 1, "", "Option --root argument should not be set to /"),
    ("--root= list", 1, "", "Option --root argument should not be set to /"),
    ("list --root ../../../../../../../../..", 1, "", "Option --root argument should not be set to /"),
    ("--log-format foo list", 1, "", "invalid log-format: foo"),
    ("--log /nonexistent/x list", 1, "", "open /nonexistent/x: no such file or directory"),
    ("--rootless maybe list", 1, "", 'strconv.ParseBool: parsing "maybe": invalid syntax'),
    ("exec", 1, usage("Incorrect Usage.", "exec"), COUNT.format("exec", "a minimum of 1")),
    ("exec --bogus x ls", 1, usage(f"Incorrect Usage: {UNDEFINED}", "exec"), UNDEFINED),
    ("exec -g -1 x ls", 1, usage('Incorrect Usage: invalid value "-1" for flag -g: parse error', "exec"), None),
    ("exec --help x", 0, HELP["exec"], ""),
    ("restore x", 1, "", 'pyoci does not implement "restore" yet'),
    ("checkpoint --help", 1, "", 'pyoci does not implement "checkpoint" yet'),
]


@pytest.mark.parametrize(("line", "status", "out", "message"), TABLE, ids=[row[0] or "(none)" for row in TABLE])
def test_table(run_cli: Run, line: str, status: int, out: str, message: str | None) -> None:
    done = run_cli(*line.split())
    if message is None:  # the same text as behind "Incorrect Usage: "
        message = out.partition("\n")[0].partition(": ")[2]
    assert done.stdout == out
    assert done.returncode == status
    if not message:
        assert done.stderr == ""
        return
    first = done.stderr.splitlines()[0]
    assert re.sub(r'time="[^"]*" ', "", first) == f"level=error msg={json.dumps(message)}"


def test_a_missing_value_before_a_known_flag_takes_it_as_value(run_cli: Run) -> None:
    """As Go's flag package does: what follows is the value, whatever it looks like."""
    assert "requires exactly 1 argument" in run_cli("create", "--bundle", "--pid-file").stderr


@pytest.mark.parametrize("argv", [["create", "--bogus", "x"], ["--bogus"], ["create"], ["bogus"], ["ps", "x"]])
def test_every_error_reaches_the_log(run_cli: Run, tmp_path: Path, argv: list[str]) -> None:
    """runc 1.6 does not even make the file for an error of the parser; the engine then sees nothing."""
    done = run_cli("--log", "log.json", "--log-format", "json", *argv)
    entry = json.loads((tmp_path / "log.json").read_text())
    assert entry["level"] == "error"
    assert done.stderr.startswith(entry["msg"].rstrip("\n") + "\n")
    assert "time=" not in done.stderr


def test_the_log_of_a_flag_behind_the_command(run_cli: Run, tmp_path: Path) -> None:
    run_cli("create", "--log=log.json", "--log-format=json", "--bogus")
    assert json.loads((tmp_path / "log.json").read_text())["msg"] == UNDEFINED


def test_errors_of_the_global_flags_reach_the_log(run_cli: Run, tmp_path: Path) -> None:
    for flag in (["--root", "/"], ["--rootless", "maybe"]):
        run_cli("--log", "log.json", "--log-format", "json", *flag, "list")
    text = (tmp_path / "log.json").read_text()
    assert [json.loads(line)["pointer"] for line in text.splitlines()] == ["--root", "--rootless"]


def test_the_explanation_is_in_the_one_object_and_on_stderr(run_cli: Run, tmp_path: Path) -> None:
    done = run_cli("--log", "log.json", "--log-format", "json", "--root", "/", "list")
    assert json.loads((tmp_path / "log.json").read_text())["pointer"] == "--root"
    assert done.stderr == "Option --root argument should not be set to /\n  pointer: --root\n"


def test_argv0_is_the_caller_s(run_cli: Run) -> None:
    done = run_cli("create", env={"PYOCI_ARGV0": "/opt/bin/oci"})
    assert '"/opt/bin/oci: \\"create\\" requires' in done.stderr


def test_global_flags_before_and_behind_the_command(run_cli: Run, tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    before = run_cli("--root", "r", "list", "-q")
    assert before.returncode == 0, before.stderr
    for line in ("list --root r -q", "list -q -root=r", "--root nonexistent list -q --root=r"):
        done = run_cli(*line.split())
        assert (done.returncode, done.stdout) == (0, before.stdout), done.stderr


def test_spec_has_a_rootless_of_its_own(run_cli: Run, tmp_path: Path) -> None:
    assert run_cli("--rootless", "true", "spec", "--rootless").returncode == 0
    assert "uidMappings" in (tmp_path / "config.json").read_text()


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("lst", "did you mean 'list'? `pyoci help` lists the commands"),
        ("Delete", "did you mean 'delete'? `pyoci help` lists the commands"),
        ("remove", "did you mean 'delete'? `pyoci help` lists the commands"),
        ("rm", "did you mean 'delete'? `pyoci help` lists the commands"),
        ("stop", "did you mean 'kill'? `pyoci help` lists the commands"),
        ("inspect", "did you mean 'state'? `pyoci help` lists the commands"),
        ("unpause", "did you mean 'resume'? `pyoci help` lists the commands"),
        ("docker", "`pyoci help` lists the commands"),
        ("create --bundel /b x", "did you mean '--bundle'?"),
        ("--roto /r list", "did you mean '--root'?"),
        ("run x --detatch", "--detatch is not an option of run: did you mean '--detach'?"),
        ("run x --bogus", "--bogus is not an option of run"),
    ],
)
def test_did_you_mean(run_cli: Run, line: str, hint: str) -> None:
    assert run_cli(*line.split()).stderr.splitlines()[-1] == f"  hint: {hint}"


def test_help_shows_no_default_that_means_not_given() -> None:
    assert "default" not in HELP["update"]
    assert '(default: "table")' in HELP["ps"] and "(default: 5s)" in HELP["events"]


@pytest.mark.parametrize("line", ["--version", "help", "create --help", "list"])
def test_a_reader_that_is_gone_ends_it_silently(run_cli: Run, line: str) -> None:
    """By SIGPIPE, as a program in C or Go, also where the caller ignores that signal."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(MAIN), *line.split()],
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, "")


def test_a_full_disk_is_told(run_cli: Run) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(MAIN), "--version"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert re.sub(r'time="[^"]*" ', "", done.stderr) == (
        'level=error msg="standard output: No space left on device"\n  call: write(1, ...)\n'
    )


def test_a_bug_is_one_clear_line(run_cli: Run) -> None:
    done = run_cli("list", env={"PYOCI_UMASK": "no number"})
    assert done.returncode == 1
    first, step, _ = done.stderr.splitlines()
    assert 'msg="internal error: ValueError: invalid literal' in first
    assert re.fullmatch(r"  step: .*/pyoci/cli/launch\.py:\d+", step)
    assert "Traceback" not in done.stderr


def test_debug_adds_the_traceback(run_cli: Run, tmp_path: Path) -> None:
    """Of a bug; whatever the user has done wrong is explained, and has none."""
    program = "from pyoci.cli import list, main\nlist.main = lambda options: {}[0]\nmain.run(['--debug', 'list'])"
    environment = {"PYTHONPATH": str(MAIN.parents[1]), "PYOCI_ARGV0": "pyoci", "PYOCI_UMASK": "022"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert "internal error: KeyError" in done.stderr and "Traceback (most recent call last)" in done.stderr
    for form in ("text", "json"):
        flags = ["--debug", "--log", str(tmp_path / form), "--log-format", form]
        done = subprocess.run(
            [sys.executable, "-c", program.replace("'--debug'", str(flags)[1:-1])],
            env=environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert "internal error: KeyError" in done.stderr and "Traceback" not in done.stderr
        trace, error = (tmp_path / form).read_text().splitlines()
        assert "Traceback (most recent call last)" in trace and "debug" in trace
        assert "internal error: KeyError" in error and "Traceback" not in error
    done = run_cli("--debug", "--log", "log.json", "--log-format", "json", "--root", "/", "list")
    assert "Traceback" not in done.stderr
    entries = [json.loads(line) for line in (tmp_path / "log.json").read_text().splitlines()]
    assert entries[-1]["level"] == "error"


def test_as_error_of_a_system_call() -> None:
    problem = FileNotFoundError(2, "No such file or directory", "/x")
    problem.add_note('openat(3, "x")')
    error = as_error(problem)
    assert (error.message, error.call, error.errno) == ("/x: no such file or directory", 'openat(3, "x")', 2)


def test_as_error_of_anything() -> None:
    assert as_error(MemoryError()).message == "out of memory"
    assert as_error(RecursionError("a\nb")).message == "internal error: RecursionError: a"
    own = Error("x")
    assert as_error(own) is own


def test_commands_that_come_later_are_not_in_the_help() -> None:
    assert not MISSING & COMMANDS.keys()
    assert not any(re.search(rf"^   {name} ", ROOT_HELP, re.MULTILINE) for name in MISSING)


def test_help_in_the_layout_that_suites_look_for() -> None:
    for name, text in HELP.items():
        lines = text.splitlines()
        assert lines[0] == "NAME:"
        assert lines[1].startswith(f"   pyoci {name} - ")
        assert "USAGE:" in lines
    assert "--all" not in HELP["kill"]
