"""state and list, on directories as create leaves them and a process of the test's own."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyoci.container import state
from tests.cli.conftest import Run

CREATED = "2026-11-20T15:24:23.123456789Z"
Make = Callable[..., state.Container]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def make(root: Path) -> Make:
    """`make("a", pid=1)`: the directory of container a with its state.json."""

    def container(id: str, pid: int = 0, annotations: dict[str, str] | None = None) -> state.Container:
        found = state.process(pid) if pid else None
        made = state.Container(
            root=str(root),
            id=id,
            bundle="/b",
            rootfs="/b/rootfs",
            created=CREATED,
            annotations=annotations or {},
            pid=pid,
            start_time=found[1] if found else int(pid > 0),
            cgroups={},
        )
        (root / id).mkdir(mode=0o711)
        directory = os.open(root / id, os.O_RDONLY)
        state.save(made, directory)
        os.close(directory)
        return made

    return container


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def test_state_is_byte_for_byte_runc_s(run_cli: Run, root: Path, make: Make, sleeper: subprocess.Popen[bytes]) -> None:
    """Two spaces, this order, no line end; and nothing on stderr, since go-runc parses both streams together."""
    make("a", sleeper.pid, {"z": "2", "a": "<1>"})
    done = run_cli("--root", str(root), "state", "a")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "{\n"
        '  "ociVersion": "1.3.0",\n'
        '  "id": "a",\n'
        f'  "pid": {sleeper.pid},\n'
        '  "status": "running",\n'
        '  "bundle": "/b",\n'
        '  "rootfs": "/b/rootfs",\n'
        f'  "created": "{CREATED}",\n'
        '  "annotations": {\n'
        '    "a": "<1>",\n'
        '    "z": "2"\n'
        "  },\n"
        '  "owner": ""\n'
        "}"
    )


def test_a_stopped_container_has_no_pid_and_no_annotations_are_no_member(run_cli: Run, root: Path, make: Make) -> None:
    make("a", 4194305)  # beyond the largest pid there can be
    found = json.loads(run_cli("state", "a", "--root", str(root)).stdout)
    assert (found["status"], found["pid"]) == ("stopped", 0)
    assert "annotations" not in found


def test_containers_called_help_are_containers(run_cli: Run, root: Path, make: Make) -> None:
    """In runc 1.6 `state help` prints a help text."""
    for id in ("help", "h"):
        make(id)
        assert json.loads(run_cli("--root", str(root), "state", id).stdout)["id"] == id


@pytest.mark.parametrize(
    ("id", "message"),
    [
        ("nope", "container does not exist"),
        ("", "container id cannot be empty"),
        ("a/b", "invalid container ID format"),
        ("..", "invalid container ID format"),
    ],
)
def test_what_is_no_container(run_cli: Run, root: Path, tmp_path: Path, id: str, message: str) -> None:
    done = run_cli("--root", str(root), "--log", "log.json", "--log-format", "json", "state", id)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[0] == message
    assert json.loads((tmp_path / "log.json").read_text())["msg"] == message


def test_list_table(run_cli: Run, root: Path, make: Make, sleeper: subprocess.Popen[bytes]) -> None:
    make("b")
    make("a", sleeper.pid)
    user = pwd.getpwuid(os.geteuid()).pw_name
    done = run_cli("--root", str(root), "list")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "ID          PID         STATUS      BUNDLE      CREATED                          OWNER\n"
        f"a           {sleeper.pid:<12}running     /b          {CREATED}   {user}\n"
        f"b           0           stopped     /b          {CREATED}   {user}\n"
    )


@pytest.mark.parametrize("spelling", [["--format", "json"], ["--format=json"], ["-f", "json"], ["-format=json"]])
def test_list_json_is_one_line(run_cli: Run, root: Path, make: Make, spelling: list[str]) -> None:
    make("a")
    out = run_cli("--root", str(root), "list", *spelling).stdout
    assert out.startswith('[{"ociVersion":"1.3.0","id":"a","pid":0,"status":"stopped","bundle":"/b",')
    assert out.endswith(f',"owner":"{pwd.getpwuid(os.geteuid()).pw_name}"}}]\n')


def test_list_of_nothing(run_cli: Run, root: Path) -> None:
    assert run_cli("--root", str(root), "list", "-f", "json").stdout == "null\n"
    assert run_cli("--root", str(root), "list", "-q").stdout == ""
    assert run_cli("--root", str(root), "list").stdout.startswith("ID ")


def test_list_quiet(run_cli: Run, root: Path, make: Make) -> None:
    for id in ("b", "a", "c"):
        make(id)
    assert run_cli("--root", str(root), "list", "--quiet", "--format", "json").stdout == "a\nb\nc\n"


def test_list_leaves_out_what_is_broken_and_says_so(run_cli: Run, root: Path, make: Make) -> None:
    make("a")
    (root / "empty").mkdir()
    (root / "broken").mkdir()
    (root / "broken" / "state.json").write_text("{")
    (root / "file").touch()
    (root / "@seccomp").mkdir()
    (root / "link").symlink_to("a")
    done = run_cli("--root", str(root), "list", "-q")
    assert (done.returncode, done.stdout) == (0, "a\n")
    first, second = done.stderr.splitlines()
    assert first.startswith(f"load container broken: {root}/broken/state.json: not JSON")
    assert f"`pyoci --root {root} delete --force broken`" in first
    assert second.startswith(
        f"load container empty: container does not exist ({root}/empty is there without a state.json"
    )


def test_list_of_a_root_that_is_not_there(run_cli: Run, tmp_path: Path) -> None:
    """An error if it was named; the default is made by the first create."""
    done = run_cli("--root", "gone", "list")
    assert (done.returncode, done.stdout) == (1, "")
    assert f'msg="open {tmp_path}/gone: no such file or directory"' in done.stderr


def test_list_in_an_unknown_format(run_cli: Run, root: Path) -> None:
    done = run_cli("--root", str(root), "list", "--format", "xml")
    assert (done.returncode, done.stdout) == (1, "")
    assert 'msg="invalid format option"' in done.stderr
