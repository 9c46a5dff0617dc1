"""exec ended at any moment, its processes killed, its system calls failing: nothing is left beside the container."""

from __future__ import annotations

import errno
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.container import tracer
from tests.container.box import Box, Done
from tests.container.exec.started import started

pytestmark = [pytest.mark.root, pytest.mark.skipif(not tracer.SUPPORTED, reason="the tracer knows x86-64 only")]

MOMENTS = 40
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# What a process of exec cannot do without.
NEEDED = ["setns", "setgroups", "setresuid", "setresgid", "capset", "clone3", "setsid", "chdir", "dup3", "fcntl"]


class Killer:
    """A container that runs, and execs that are disturbed."""

    def __init__(self, box: Box) -> None:
        self.box = box
        started(box)
        self.before = box.snapshot()

    def exec(self, *flags: str, **request: Any) -> tuple[Done, dict[str, Any]]:
        request = {"begin": ["pidfd_open"], **request}
        return self.box.trace("exec", *flags, "c", "/reporter", "exit", "0", **request)

    def total(self, *flags: str, **request: Any) -> int:
        """How many calls there are to choose from."""
        done, answer = self.exec(*flags, **request)
        assert (done.returncode, done.stderr) == (0, ""), done
        assert len(answer["calls"]) > 20
        return len(answer["calls"])

    def same(self, what: str) -> None:
        left = self.box.differences(self.before)
        assert left == [], f"after {what}:\n" + "\n".join(left)
        assert self.box.status("c") == "running", what


@pytest.mark.parametrize("flags", [(), ("--detach",)])
def test_killed(
    either_box: Box, flags: tuple[str, ...], seeded: tuple[int, random.Random], tell: Callable[[str], None]
) -> None:
    """kill -9 of the runtime: the process goes with it, or it is the program and ends by itself."""
    seed, chance = seeded
    killer = Killer(either_box)
    total = killer.total(*flags)
    for _ in range(MOMENTS // 2):
        index, early = chance.randrange(total), chance.random() < 0.5
        done, answer = killer.exec(*flags, at=index, early=early, signal=signal.SIGKILL)
        what = f"seed {seed}, SIGKILL {'before' if early else 'after'} call {index} of {total} ({answer['calls'][-1]})"
        assert done.returncode == -signal.SIGKILL or not answer["acted"], what
        killer.same(what)
    tell(f"exec {' '.join(flags)}: kill -9 at {MOMENTS // 2} moments of {total}, seed {seed}, snapshot equal")


@pytest.mark.parametrize("flags", [(), ("--detach",)])
def test_ended(
    box: Box, flags: tuple[str, ...], seeded: tuple[int, random.Random], tell: Callable[[str], None]
) -> None:
    """TERM, INT, HUP: undone and died of it, or too late; in the foreground, where it is the process's, forwarded."""
    seed, chance = seeded
    killer = Killer(box)
    total = killer.total(*flags)
    for round in range(MOMENTS):
        index, early, number = chance.randrange(total), chance.random() < 0.5, ENDING[round % 3]
        done, answer = killer.exec(*flags, at=index, early=early, signal=number)
        what = f"seed {seed}, {number.name} {'before' if early else 'after'} call {index} ({answer['calls'][-1]})"
        allowed = (0, -number) if flags else (0, -number, 128 + number, 255)
        assert done.returncode in allowed, f"{what}: {done}"
        assert "internal error" not in done.stderr, what
        killer.same(what)
    tell(f"exec {' '.join(flags)}: TERM, INT, HUP at {MOMENTS} moments of {total}, seed {seed}, snapshot equal")


def test_its_processes_are_killed(box: Box, seeded: tuple[int, random.Random], tell: Callable[[str], None]) -> None:
    """One clear error and 255; or it was the program by then, and 137 is its status."""
    seed, chance = seeded
    killer = Killer(box)
    total = killer.total(inside=True, begin=[])
    for _ in range(MOMENTS):
        index = chance.randrange(total)
        done, answer = killer.exec(inside=True, begin=[], at=index, signal=signal.SIGKILL)
        what = f"seed {seed}, SIGKILL after call {index} of {total} ({answer['calls'][-1]})"
        assert done.returncode in (0, 137, 255), f"{what}: {done}"
        assert done.stderr.count("level=error") == (done.returncode == 255), f"{what}: {done}"
        assert "internal error" not in done.stderr, f"{what}: {done}"
        killer.same(what)
    tell(f"exec: its processes killed at {MOMENTS} moments of {total}, seed {seed}, snapshot equal")


def test_its_calls_fail(either_box: Box) -> None:
    """255, one error, which names the call."""
    killer = Killer(either_box)
    failed = set()
    done, answer = killer.exec(inside=True, begin=[], calls=NEEDED)
    assert set(answer["calls"]) == set(NEEDED)
    for index, name in enumerate(answer["calls"]):
        done, _ = killer.exec(inside=True, begin=[], calls=NEEDED, at=index, errno=errno.EPERM)
        if done.returncode == 0:
            continue
        failed.add(name)
        assert done.returncode == 255, f"{name}: {done}"
        assert done.stderr.count("level=error") == 1 and "not permitted" in done.stderr, f"{name}: {done}"
        assert "internal error" not in done.stderr, f"{name}: {done}"
        killer.same(name)
    assert failed >= set(NEEDED) - {"chdir"}, "chdir(2) is tried again as the user"


@pytest.mark.skipif(
    not os.path.exists("/sys/fs/cgroup/memory/memory.limit_in_bytes"), reason="this machine has no v1 memory hierarchy"
)
def test_a_limit_that_leaves_no_memory_for_it(box: Box) -> None:
    """runc's words for what the kernel has killed, and the container goes on."""
    bundle = started(box)
    memory = Path(f"/sys/fs/cgroup/memory/{box.mark}/{bundle.name}")
    limit = int((memory / "memory.usage_in_bytes").read_text()) + (64 << 10)
    (memory / "memory.limit_in_bytes").write_text(str(limit))
    done = box("exec", "c", "/reporter", "exit", "0")
    assert done.returncode == 255, done
    assert done.stderr.splitlines()[0].endswith('(possibly OOM-killed)"'), done.stderr
    assert box.status("c") == "running"
