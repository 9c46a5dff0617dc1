"""The environment, without the standard os."""

from __future__ import annotations

import ast
import os as standard
import subprocess
import sys
from pathlib import Path

import pytest

from pyoci import environment

PACKAGE = Path(environment.__file__).parent


def in_a_new_interpreter(code: str, **variables: str) -> str:
    code = f"import sys; sys.path.append({str(PACKAGE.parent)!r})\n{code}"
    environment = {standard.fsencode(name): standard.fsencode(value) for name, value in variables.items()}
    command = [sys.executable, "-I", "-S", "-X", "utf8", "-c", code]
    return subprocess.run(
        command, env={b"LC_ALL": b"C"} | environment, check=True, capture_output=True, text=True
    ).stdout


def test_the_environment() -> None:
    seen = in_a_new_interpreter(
        "from pyoci import environment; print(ascii(environment.variables()))", A="ä", B="\udcff"
    )
    assert ast.literal_eval(seen) == {"LC_ALL": "C", "A": "ä", "B": "\udcff"}


def test_it_changes_with_the_standard_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is one environment in a process; a test's change is seen."""
    monkeypatch.setenv("PYOCI_TEST", "ä")
    assert (environment.variable("PYOCI_TEST"), environment.variables()["PYOCI_TEST"]) == ("ä", "ä")
    assert (environment.variable("PYOCI_MISSING"), environment.variable("PYOCI_MISSING", "x")) == ("", "x")


def test_a_variable_that_is_taken_is_gone() -> None:
    """For pyoci, for the standard library, and for programs that inherit the environment."""
    code = """
from pyoci.environment import take_variable, variables
print(take_variable("LC_ALL"), take_variable("MISSING"), variables())
assert "os" not in sys.modules
import os
print(dict(os.environ), flush=True)
os.execl("/usr/bin/env", "env")
"""
    assert in_a_new_interpreter(code, KEPT="y").splitlines() == ["C None {'KEPT': 'y'}", "{'KEPT': 'y'}", "KEPT=y"]


def test_a_program_is_found_along_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first that can be executed; a directory can, and is no program."""
    for place, mode in (("none", None), ("data", 0o644), ("one", 0o755), ("two", 0o755)):
        (tmp_path / place).mkdir()
        if mode is not None:
            (tmp_path / place / "tool").touch(mode)
            (tmp_path / place / "tool").chmod(mode)
    (tmp_path / "directory/tool").mkdir(parents=True)
    places = ["missing", "none", "directory", "data", "one", "two"]
    monkeypatch.setenv("PATH", ":".join(str(tmp_path / place) for place in places))
    assert environment.find_program("tool") == f"{tmp_path}/one/tool"
    assert environment.find_program("other") == ""


@pytest.mark.parametrize("path", ["", ".", "one", ":one:", "./one"])
def test_no_program_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    (tmp_path / "one").mkdir()
    for place in ("tool", "one/tool"):
        (tmp_path / place).touch(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", path)
    assert environment.find_program("tool") == ""


def test_there_are_customary_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PATH")
    assert environment.find_program("sh").endswith("/bin/sh")
