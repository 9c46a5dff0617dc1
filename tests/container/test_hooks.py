"""poststart and poststop: when they run, in which state, and what their failure does (newest runc, not 1.5)."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pyoci.container import hooks as poststart
from pyoci.container import state
from pyoci.container.state import Container
from tests.container.box import Box, alive, until
from tests.container.test_life_cycle import MISSING, refused
from tests.container.test_together import hook

pytestmark = pytest.mark.root

FAILURE = "error running poststart hook #0: exit status 3, stdout: , stderr: "


def shell(script: str) -> dict[str, Any]:
    return {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"]}


def failing(box: Box) -> Path:
    """A bundle with two poststart hooks, the first of which fails, and a poststop hook."""
    bundle = box.bundle("sleep", change=hook("poststart", shell("exit 3"), shell(f"touch {box.directory}/second")))
    config = json.loads((bundle / "config.json").read_text())
    config["hooks"]["poststop"] = [shell(f"cat >{box.directory}/poststop")]
    (bundle / "config.json").write_text(json.dumps(config))
    return bundle


def test_poststart_runs_in_start(box: Box) -> None:
    """Not in create; its state is that of the running container."""
    bundle = box.bundle("sleep", change=hook("poststart", shell(f"cat >{box.directory}/seen; pwd >{box.directory}/at")))
    assert box("create", "--bundle", str(bundle), "a").stderr == ""
    assert not (box.directory / "seen").exists()
    assert box("start", "a").stderr == ""
    seen = json.loads((box.directory / "seen").read_text())
    assert (seen["id"], seen["status"], seen["pid"]) == ("a", "running", box.state("a")["pid"])
    assert seen["bundle"] == str(bundle)
    assert (box.directory / "at").read_text() == f"{box.directory}\n"  # where start was called


def test_a_failure_leaves_the_container_stopped(either_box: Box) -> None:
    box = either_box
    assert box("create", "--bundle", str(failing(box)), "a").stderr == ""
    pid = box.state("a")["pid"]
    done = box("start", "a")
    refused(done, FAILURE)
    assert "failed:" not in done.stderr.splitlines()[0]
    until(lambda: not alive(pid), "the process has ended")
    assert box.status("a") == "stopped"
    assert not (box.directory / "second").exists()
    assert not (box.directory / "poststop").exists()
    assert box("delete", "a").stderr == ""
    assert "stopped" in (box.directory / "poststop").read_text()


@pytest.mark.parametrize("command", [("run",), ("run", "--detach")])
def test_a_failure_in_run_removes_the_container(either_box: Box, command: tuple[str, ...]) -> None:
    box = either_box
    before = box.snapshot()
    refused(box(*command, "--bundle", str(failing(box)), "a"), f"pyoci run failed: {FAILURE}")
    assert (box.directory / "poststop").exists()
    refused(box("state", "a"), MISSING)
    box.remove_parents()
    assert box.differences(before) == []


@pytest.mark.parametrize("with_start", [True, False])
def test_a_failure_kills_all_without_a_pid_namespace(box: Box, with_start: bool) -> None:
    """There is no first process whose end would end the others."""

    def change(config: dict[str, Any]) -> None:
        hook("poststart", shell("sleep 0.2; exit 3"))(config)
        config["linux"]["namespaces"] = [one for one in config["linux"]["namespaces"] if one["type"] != "pid"]
        config["process"]["args"] = ["/reporter", "spawn", "3", ",", "orphan", ",", "sleep"]

    bundle = str(box.bundle(change=change))
    if with_start:
        assert box("create", "--bundle", bundle, "a").stderr == ""
        refused(box("start", "a"), FAILURE)
        assert box("delete", "a").stderr == ""
    else:
        refused(box("run", "--bundle", bundle, "a"), FAILURE)


def test_poststop_failures_are_warnings(box: Box) -> None:
    """The container is gone already, and the other hooks run all the same."""
    hooks = (shell("exit 3"), shell(f"cat >{box.directory}/second"))
    assert box("create", "--bundle", str(box.bundle("sleep", change=hook("poststop", *hooks))), "a").stderr == ""
    done = box("delete", "--force", "a")
    assert done.returncode == 0
    assert "level=warning" in done.stderr and "error running poststop hook #0: exit status 3" in done.stderr
    assert json.loads((box.directory / "second").read_text())["status"] == "stopped"


def test_a_hook_runs_in_time(box: Box) -> None:
    """A timeout ends the hook and its process group, and nobody waits for what holds its output open."""
    one = shell("sleep 60 & exec sleep 60") | {"timeout": 1}
    refused(
        box("run", "--bundle", str(box.bundle("sleep", change=hook("createRuntime", one))), "a", timeout=20),
        "error running createRuntime hook #0: hook ran past specified timeout of 1.0s",
    )


@pytest.mark.parametrize("late", [False, True])
def test_a_failure_kills_no_process_that_has_the_pid_by_now(late: bool) -> None:
    """The program may have ended while the hook ran, and its number be another one's."""
    with subprocess.Popen(["/bin/sleep", "60"]) as other:
        found = state.process(other.pid)
        assert found is not None
        container = Container(
            root="/nowhere",
            id="a",
            bundle="/",
            rootfs="/",
            created="",
            annotations={},
            cgroups={},
            pid=other.pid,
            start_time=found[1] - late,
        )
        poststart._stop(container)
        if not late:
            assert other.wait() == -signal.SIGKILL
        else:
            with pytest.raises(subprocess.TimeoutExpired):
                other.wait(0.2)
        other.kill()


def test_a_signal_that_the_caller_ignores_does_not_end_run(box: Box) -> None:
    """nohup pyoci run --detach, and the terminal is hung up while a poststart hook runs."""
    gate = box.gate()
    bundle = box.bundle("sleep", change=hook("poststart", gate.hook))
    running = box.begin(
        "run",
        *("--detach", "--bundle", str(bundle), "a"),
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    gate.wait()
    running.process.send_signal(signal.SIGHUP)
    gate.open()
    assert running.end().returncode == 0
    assert box.status("a") == "running"
