"""The first file: run as the launcher runs it, as `python -m pyoci`, and what it loads on the way."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import pyoci

PACKAGE = Path(pyoci.__file__).parent
AS_FILE = [sys.executable, "-I", "-S", "-B", "-X", "utf8", str(PACKAGE / "__main__.py")]
AS_MODULE = [sys.executable, "-m", "pyoci"]
LAUNCHED = {"PYOCI_ARGV0": "pyoci", "PYOCI_UMASK": "022"}
SEALED = LAUNCHED | {"PYOCI_SEALED": "test"}

# What costs milliseconds at each start (docs/decisions/imports.md).
SLOW = {
    *("argparse", "ast", "collections", "contextlib", "dataclasses", "enum", "functools", "importlib", "inspect"),
    *("json", "logging", "operator", "pathlib", "re", "shutil", "signal", "socket", "subprocess", "tempfile"),
    *("threading", "traceback", "typing", "warnings"),
}


def run(
    command: list[str], *argv: str, cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(PACKAGE.parent), **(env or {})}
    return subprocess.run(
        [*command, *argv], env=environment, cwd=cwd, capture_output=True, text=True, timeout=30, check=False
    )


def imports(*argv: str, env: dict[str, str]) -> set[str]:
    """The modules that a command line loads beyond those of the bare interpreter."""

    def loaded(command: list[str]) -> set[str]:
        lines = run([*command[:1], "-X", "importtime", *command[1:]], env=env).stderr.splitlines()
        return {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}

    return loaded([*AS_FILE, *argv]) - loaded([*AS_FILE[:-1], "-c", "pass"])


@pytest.mark.parametrize("command", [AS_FILE, AS_MODULE])
def test_runs_from_anywhere(command: list[str], tmp_path: Path) -> None:
    done = run(command, "--version", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"pyoci version {pyoci.__version__}\n")


def test_needs_nothing_of_the_environment(tmp_path: Path) -> None:
    done = subprocess.run([*AS_FILE, "--version"], env={}, cwd=tmp_path, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_neighbour_of_the_package_replaces_no_standard_module(tmp_path: Path) -> None:
    """site-packages holds whatever was installed; the standard library comes first."""
    shutil.copytree(PACKAGE, tmp_path / "pyoci", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "re.py").write_text("raise SystemExit('the neighbour ran')")
    done = run([*AS_FILE[:-1], str(tmp_path / "pyoci" / "__main__.py")], "update", "a", env=LAUNCHED)
    assert "container does not exist" in done.stderr  # found out by a module that imports re
    assert "the neighbour ran" not in done.stderr


def test_importing_it_runs_nothing() -> None:
    done = run([sys.executable, "-c", "import pyoci.__main__"])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_interrupt_ends_it_by_the_signal() -> None:
    """A shell ends its loop only if the command died of SIGINT; a reader that does not read is waited for."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writer, bytes(4096))
    os.set_blocking(writer, True)
    with subprocess.Popen(
        [*AS_FILE, "help"], env=LAUNCHED, stdout=writer, stderr=subprocess.PIPE, text=True
    ) as process:
        wchan = Path(f"/proc/{process.pid}/wchan")
        deadline = time.monotonic() + 20
        while wchan.read_text() not in ("pipe_write", "fifo_pipe_write", "anon_pipe_write"):
            assert time.monotonic() < deadline, wchan.read_text()
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=20)
    os.close(reader)
    os.close(writer)
    assert process.returncode == -signal.SIGINT
    assert stderr.count("\n") == 1
    assert stderr.endswith("level=error msg=interrupted\n")


LINES = ("--version", "features", "spec -b /nonexistent", "bogus", "--help", "state x", "list --root /nonexistent")


@pytest.mark.parametrize("argv", [line.split() for line in LINES], ids=LINES)
def test_loads_nothing_slow(argv: list[str]) -> None:
    assert not imports(*argv, env=LAUNCHED) & SLOW


@pytest.mark.parametrize("argv", [line.split() for line in LINES[2:]], ids=LINES[2:])
def test_what_needs_no_system_call_of_its_own_loads_no_ctypes(argv: list[str]) -> None:
    assert not imports(*argv, env=LAUNCHED) & {"ctypes", "_ctypes"}


def test_a_command_loads_no_other_command() -> None:
    commands = {f"pyoci.cli.{path.stem}" for path in (PACKAGE / "cli").glob("*.py")}
    shared = {f"pyoci.cli.{name}" for name in ("commands", "launch", "main", "options", "output", "root")}
    own = {f"pyoci.cli.{name}" for name in ("bundle", "spec")}
    assert imports("spec", "-b", "/nonexistent", env=LAUNCHED) & commands == shared | own
    assert imports("bogus", env=LAUNCHED) & commands == shared


# -- sealing ---------------------------------------------------------------------------------------------------------


def installed(tmp_path: Path, launcher: str) -> list[str]:
    """An interpreter with `launcher` beside it, as after an installation."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(sys.executable)
    if launcher:
        (tmp_path / "bin" / "pyoci").write_text(launcher)
        (tmp_path / "bin" / "pyoci").chmod(0o755)
    return [str(tmp_path / "bin" / "python3"), "-m", "pyoci"]


@pytest.mark.parametrize("command", ["create", "run"])
def test_as_a_module_it_starts_over_through_the_launcher(tmp_path: Path, command: str) -> None:
    module = installed(tmp_path, '#!/bin/sh\numask\necho "$@"\n')
    before = os.umask(0o037)
    try:
        done = run(module, "--root", str(tmp_path), command, "--bundle", "b", "id")
    finally:
        os.umask(before)
    assert (done.stdout, done.stderr) == (f"0037\n--root {tmp_path} {command} --bundle b id\n", "")


def test_without_a_launcher_it_says_where_it_looked(tmp_path: Path) -> None:
    done = run(installed(tmp_path, ""), "--root", str(tmp_path), "create", "id")
    assert done.returncode == 1
    assert "pyoci create failed: this command must run from a sealed interpreter" in done.stderr
    assert f"looked for {tmp_path}/bin/pyoci" in done.stderr


@pytest.mark.parametrize("command", ["create", "run"])
def test_what_the_launcher_left_unsealed_does_not_run(tmp_path: Path, command: str) -> None:
    """It reads the command line by itself; if it ever reads it differently, that must not run a container unsealed."""
    done = run(AS_FILE, "--root", str(tmp_path), command, "id", env=LAUNCHED)
    assert done.returncode == 1
    assert f"pyoci {command} failed: this command must run from a sealed interpreter" in done.stderr


def test_the_launcher_s_variables_do_not_stay() -> None:
    code = (
        "import os; from pyoci.cli import launch; taken = launch.take(); print(sorted(os.environ)); "
        "print(taken.argv0, oct(taken.umask), taken.launched, taken.sealed)"
    )
    environment = SEALED | {"LC_ALL": "C", "LD_LIBRARY_PATH": "/x", "HOME": "/root"}
    done = run([sys.executable, "-c", code], env=environment)
    assert done.stdout.splitlines() == ["['HOME', 'PYTHONPATH']", "pyoci 0o22 True test"]


def test_a_user_s_variables_and_umask_stay_if_there_was_no_launcher() -> None:
    code = "import os; from pyoci.cli import launch; os.umask(0o27); taken = launch.take(); "
    code += "print(os.environ['LC_ALL'], oct(taken.umask), oct(os.umask(0)))"
    assert run([sys.executable, "-c", code], env={"LC_ALL": "C.UTF-8"}).stdout == "C.UTF-8 0o27 0o27\n"
