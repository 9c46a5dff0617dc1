"""Containers for which runc has asked systemd: pyoci finds the scope in runc's state.json, and ends it."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest

from tests.systemd.conftest import LIMIT, Scopes, until

pytestmark = pytest.mark.booted


def runc(scopes: Scopes, *words: str) -> str:
    path = shutil.which("runc")
    assert path is not None, "tests/lanes/packages/trixie.txt names runc"
    output, errors = scopes.directory / "runc.out", scopes.directory / "runc.err"
    with output.open("w") as out, errors.open("w") as err:  # files: the container keeps a pipe open
        done = subprocess.run(
            [*scopes.prefix, path, "--root", str(scopes.root), "--systemd-cgroup", *words],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            timeout=LIMIT,
            env=scopes.environment,
            cwd=scopes.directory,
            check=False,
        )
    assert done.returncode == 0, errors.read_text()
    return output.read_text()


def same(scopes: Scopes) -> None:
    for words in (("state", "a"), ("list", "-f", "json"), ("ps", "-f", "json", "a")):
        done = scopes(*words)
        assert (done.returncode, done.stderr) == (0, ""), words
        assert done.stdout == runc(scopes, *words), words


def test_from_created_to_deleted(either: Scopes) -> None:
    bundle = either.bundle("sleep")
    runc(either, "create", "-b", bundle, "a")
    unit = either.unit(bundle)
    assert either.units() == [unit]
    same(either)
    assert either("start", "a").stderr == ""
    assert either("pause", "a").stderr == ""
    same(either)
    assert either.state("a")["status"] == "paused"
    assert either("resume", "a").stderr == ""
    assert either("exec", "a", "/reporter", "exit", "7").returncode == 7
    same(either)
    assert either("kill", "a", "KILL").stderr == ""
    until(lambda: either.state("a")["status"] == "stopped", "it is stopped")
    assert either("delete", "a").stderr == ""
    assert either.units() == []


@pytest.mark.parametrize("status", ["created", "running", "paused"])
def test_delete_with_force_stops_the_scope(either: Scopes, status: str) -> None:
    runc(either, "create", "-b", either.bundle("sleep"), "a")
    if status != "created":
        runc(either, "start", "a")
    if status == "paused":
        runc(either, "pause", "a")
    assert either.state("a")["status"] == status
    done = either("delete", "--force", "a")
    assert (done.returncode, done.stderr) == (0, "")
    assert either.units() == [] and list(either.root.iterdir()) == []


def test_without_a_pid_namespace_of_its_own(scopes: Scopes) -> None:
    """A process that outlives the first one keeps a scope alive: KILL and delete reach it."""

    def change(config: dict[str, Any]) -> None:
        config["linux"]["namespaces"] = [one for one in config["linux"]["namespaces"] if one["type"] != "pid"]

    runc(scopes, "run", "-d", "-b", scopes.bundle("sleep", change=change), "a")
    assert scopes("exec", "--detach", "a", "/reporter", "sleep").stderr == ""
    assert len(json.loads(scopes("ps", "-f", "json", "a").stdout)) == 2
    done = scopes("delete", "--force", "a")
    assert (done.returncode, done.stderr) == (0, "")
    assert scopes.units() == []


def test_of_a_damaged_file_the_scope_goes_as_well(scopes: Scopes) -> None:
    runc(scopes, "run", "-d", "-b", scopes.bundle("sleep"), "a")
    path = scopes.root / "a/state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"created": 7}))
    done = scopes("delete", "--force", "a")
    assert done.returncode == 0 and "state.json#/created: not a string" in done.stderr
    until(lambda: scopes.units() == [], "the scope has ended with its process")


def test_a_limit_is_systemd_s_as_well(scopes: Scopes) -> None:
    bundle = scopes.bundle("sleep")
    runc(scopes, "run", "-d", "-b", bundle, "a")
    if "pids" not in (scopes.slice().parent / "cgroup.controllers").read_text():
        assert "TasksMax" in scopes.show(scopes.unit(bundle))
    else:
        assert scopes("update", "--pids-limit", "77", "a").stderr == ""
        assert scopes.show(scopes.unit(bundle))["TasksMax"] == "77"
    assert scopes("delete", "--force", "a").stderr == ""
