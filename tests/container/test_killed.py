"""A create that is killed: whatever SIGKILL leaves, `delete --force` removes; SIGTERM and its like leave nothing."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.container import tracer
from tests.container.box import Box, Done, alive, until
from tests.container.test_hooks import shell

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not tracer.SUPPORTED, reason="the tracer of these tests knows the system calls of x86_64 only"),
]

MOMENTS = int(os.environ.get("PYOCI_TEST_MOMENTS", "50"))
CHANGING = ["mkdir", "mkdirat", "clone", "clone3", "fork", "vfork", "mount", "open_tree", "fsopen", "fsconfig"]
CHANGING += ["fsmount", "move_mount", "mount_setattr", "write", "pwrite64", "rename", "renameat", "renameat2"]
CHANGING += ["mknod", "mknodat", "sendmsg", "unlink", "unlinkat", "rmdir", "bpf", "setns", "prlimit64"]
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def rich(config: dict[str, Any]) -> None:
    """Hooks of the runtime's side, limits, a bind mount made before the clone."""
    config["hooks"] = {"prestart": [shell("exit 0")], "createRuntime": [shell("exit 0")]}
    config["process"]["oomScoreAdj"] = 100
    config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 100}]
    config["mounts"].append({"destination": "/bound", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]})
    config["linux"]["resources"]["pids"] = {"limit": 100}


def two_stages(config: dict[str, Any]) -> None:
    """A user and a time namespace with offsets: the process is made in two stages."""
    rich(config)
    config["linux"]["namespaces"] += [{"type": "user"}, {"type": "time"}, {"type": "cgroup"}]
    mappings = [{"containerID": 0, "hostID": 0, "size": 65536}]
    config["linux"].update(uidMappings=mappings, gidMappings=mappings, timeOffsets={"monotonic": {"secs": 100}})


def listener(config: dict[str, Any]) -> None:
    """Two stages and a helper before them, which makes the first and shares descriptors with both."""
    two_stages(config)
    rule = {"names": ["uselib"], "action": "SCMP_ACT_NOTIFY"}
    config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule], "listenerPath": "../agent"}


SHAPES: dict[str, Callable[[dict[str, Any]], None]] = {
    "one stage": rich,
    "two stages": two_stages,
    "listener": listener,
}
shaped = pytest.mark.parametrize("shape", SHAPES)


class Killer:
    """Creates of one bundle, each killed in another way; afterwards all is as before."""

    def __init__(self, box: Box, shape: str) -> None:
        self.box = box
        box.listen("agent")
        self.bundle = box.bundle("sleep", change=lambda config: self._change(config, shape))
        self.before = box.snapshot()

    def _change(self, config: dict[str, Any], shape: str) -> None:
        SHAPES[shape](config)
        if view(self.box) == "v2":  # the machine's v2 hierarchy may have no controllers
            del config["linux"]["resources"]["pids"]

    def create(self, **request: Any) -> tuple[Done, dict[str, Any]]:
        return self.box.trace("create", "--bundle", str(self.bundle), "--pid-file", "pid", "a", **request)

    def record(self, calls: list[str] | None) -> list[str]:
        """The calls of a create that is left in peace."""
        done, answer = self.create(calls=calls)
        assert (done.returncode, done.stderr) == (0, "")
        assert self.box("delete", "--force", "a").stderr == ""
        self.same(f"a create with the calls {calls}")
        found: list[str] = answer["calls"]
        return found

    def same(self, what: str) -> None:
        (self.box.directory / "pid").unlink(missing_ok=True)
        self.box.remove_parents()
        left = self.box.differences(self.before)
        assert left == [], f"after {what}:\n" + "\n".join(left)


@shaped
def test_killed_after_every_change(either_box: Box, shape: str, tell: Callable[[str], None]) -> None:
    """SIGKILL right after every mkdir, clone, mount, write, rename, mknod, send of a create, then delete --force."""
    killer = Killer(either_box, shape)
    killer.record(CHANGING)  # the filter is in the cache
    calls = killer.record(CHANGING)
    for index, name in enumerate(calls):
        done, answer = killer.create(calls=CHANGING, at=index, signal=signal.SIGKILL)
        what = f"SIGKILL after call {index}, {name}"
        assert answer["acted"] and done.returncode == -signal.SIGKILL, f"{what}: {done}"
        forced = either_box("delete", "--force", "a")
        assert (forced.returncode, forced.stderr) == (0, ""), f"{what}: {forced}"
        killer.same(what)
    kinds = ", ".join(f"{calls.count(name)} {name}" for name in dict.fromkeys(calls))
    tell(f"{shape}, {view(either_box)}: kill -9 after each of {len(calls)} calls ({kinds}), snapshot equal")


def view(box: Box) -> str:
    return "v2" if box.prefix else "host"


@shaped
def test_killed_at_any_moment(
    box: Box, shape: str, seeded: tuple[int, random.Random], tell: Callable[[str], None]
) -> None:
    """A moment is a system call of the runtime, before or after it."""
    seed, chance = seeded
    killer = Killer(box, shape)
    total = len(killer.record(None))
    for _ in range(MOMENTS):
        index, early = chance.randrange(total), chance.random() < 0.5
        done, answer = killer.create(at=index, early=early, signal=signal.SIGKILL)
        what = f"seed {seed}, SIGKILL {'before' if early else 'after'} call {index} of {total} ({answer['calls'][-1]})"
        if answer["acted"]:  # the number of calls varies a little: else it went through
            assert done.returncode == -signal.SIGKILL, what
        forced = box("delete", "--force", "a")
        assert (forced.returncode, forced.stderr) == (0, ""), f"{what}: {forced}"
        killer.same(what)
    tell(f"{shape}: kill -9 at {MOMENTS} moments of {total}, seed {seed}, snapshot equal")


@shaped
def test_ended_at_any_moment(
    box: Box, shape: str, seeded: tuple[int, random.Random], tell: Callable[[str], None]
) -> None:
    """SIGTERM, SIGINT and SIGHUP undo everything without a delete, or come too late and change nothing."""
    seed, chance = seeded
    killer = Killer(box, shape)
    total = len(killer.record(None))
    undone = 0
    for round in range(MOMENTS):
        index, early, number = chance.randrange(total), chance.random() < 0.5, ENDING[round % 3]
        done, answer = killer.create(at=index, early=early, signal=number)
        what = f"seed {seed}, {number.name} {'before' if early else 'after'} call {index} ({answer['calls'][-1]})"
        assert done.returncode in (0, -number) and done.stderr == "", f"{what}: {done}"
        if done.returncode == 0:
            assert box.status("a") == "created", what
            assert Path(box.directory, "pid").read_text() == str(box.state("a")["pid"])
            assert box("delete", "--force", "a").stderr == "", what
        else:
            undone += 1
            assert not Path(box.directory, "pid").exists(), what
        killer.same(what)
    assert undone > MOMENTS // 2
    tell(
        f"{shape}: TERM, INT, HUP at {MOMENTS} moments, seed {seed}: {undone} undone, the rest too late, snapshot equal"
    )


def test_a_process_whose_hook_hangs_ends_with_the_runtime(box: Box) -> None:
    """It cannot notice the end of the channel then: the kernel tells it."""
    gate = box.gate()
    hooks = {"createContainer": [gate.hook]}
    creating = box.begin(
        "create", "--bundle", str(box.bundle("sleep", change=lambda raw: raw.update(hooks=hooks))), "a"
    )
    gate.wait()
    pid = json.loads((box.root / "a/state.json").read_text())["init_process_pid"]
    assert alive(pid)
    creating.signal(signal.SIGKILL)
    creating.process.wait()
    until(lambda: not alive(pid), "the process has ended")
    assert box("delete", "--force", "a").stderr == ""


@shaped
def test_the_container_s_process_is_killed(
    box: Box, shape: str, seeded: tuple[int, random.Random], tell: Callable[[str], None]
) -> None:
    """One clear error, and nothing is left; once it has said that it waits for start, a container that is stopped."""
    seed, chance = seeded
    failed = 0
    killer = Killer(box, shape)
    done, answer = killer.create(inside=True, begin=[])
    assert box("delete", "--force", "a").stderr == ""
    total = len(answer["calls"])
    for _ in range(MOMENTS // 2):
        index = chance.randrange(total)
        done, answer = killer.create(inside=True, begin=[], at=index, signal=signal.SIGKILL)
        what = f"seed {seed}, SIGKILL after call {index} of {total} ({answer['calls'][-1]})"
        if done.returncode == 0:
            assert box.status("a") in ("created", "stopped"), (
                what
            )  # the tracer ends with the runtime: perhaps too early
            assert box("delete", "--force", "a").stderr == "", what
        else:
            failed += 1
            assert done.returncode == 1, f"{what}: {done}"
            assert done.stderr.count("level=error") == 1, f"{what}: {done}"
        killer.same(what)
    assert failed > MOMENTS // 4
    tell(f"{shape}: the container's process, or a hook, killed at {MOMENTS // 2} moments, seed {seed}, snapshot equal")
