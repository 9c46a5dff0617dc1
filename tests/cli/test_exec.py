"""exec: from the command line to the options of an execution."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.cli.commands import COMMANDS, GLOBAL
from pyoci.cli.exec import exec_options
from pyoci.cli.options import Options, defaults, scan
from pyoci.container.exec import ExecOptions
from pyoci.errors import UsageError


def options(*argv: str) -> ExecOptions:
    values, given = {**defaults(GLOBAL), **defaults(COMMANDS["exec"].flags), "root": "/r"}, set[str]()
    rest = scan((*COMMANDS["exec"].flags, *GLOBAL), list(argv), values, given, interleaved=False)
    return exec_options(Options(values=values, arguments=tuple(rest), given=frozenset(given), umask=0o27))


@given(st.lists(st.sampled_from(["-u", "--", "--help", "x", "-e", "--detach", ""]), max_size=5))
def test_what_follows_the_container_is_the_program_s(words: list[str]) -> None:
    """But for one `--` right behind it, which runc 1.6 drops and 1.5 does not."""
    dropped = words[1:] if words[:1] == ["--"] else words
    assert options("-d", "c", *words).process.args == tuple(dropped)
    assert options("-d", "--", "c", *words).process.args == tuple(dropped)


def test_every_flag_arrives() -> None:
    line = "--console-socket s --pidfd-socket q --cwd /w -e A=1 --env B= -t --user 1:2 -g 3 --additional-gids 4 -p f -d"
    line += " --pid-file p --process-label l --apparmor a --no-new-privs -c X --cap Y --preserve-fds 2 --cgroup a"
    found = options(*line.split(), "--cgroup", "b", "--ignore-paused", "c", "ls", "-l")
    here = str(Path.cwd())
    assert found.process.__dict__ == {
        "args": ("ls", "-l"),
        "file": f"{here}/f",
        "cwd": "/w",
        "env": ("A=1", "B="),
        "tty": True,
        "user": "1:2",
        "additional_gids": ("3", "4"),
        "process_label": "l",
        "apparmor": "a",
        "no_new_privs": True,
        "cap": ("X", "Y"),
    }
    assert {key: value for key, value in found.__dict__.items() if key != "process"} == {
        "root": "/r",
        "id": "c",
        "console_socket": f"{here}/s",
        "pidfd_socket": f"{here}/q",
        "pid_file": f"{here}/p",
        "detach": True,
        "preserve_fds": 2,
        "cgroup": ("a", "b"),
        "ignore_paused": True,
        "rootless": "auto",
        "umask": 0o27,
    }


def test_what_is_not_given_is_not_empty() -> None:
    """An empty --user is a mistake, no --user is none; --no-new-privs=false takes back what config.json says."""
    assert options("c", "ls").process.user is None
    assert options("--user", "", "c", "ls").process.user == ""
    assert options("c", "ls").process.no_new_privs is None
    assert options("--no-new-privs=false", "c", "ls").process.no_new_privs is False


def test_a_negative_number_of_descriptors() -> None:
    with pytest.raises(UsageError):
        options("--preserve-fds", "-1", "c", "ls")
