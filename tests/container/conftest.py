"""Containers of the installed runtime on the real kernel; a test that leaves anything behind fails."""

from __future__ import annotations

import itertools
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.container.box import Box, boxes
from tests.container.listener.agent import Agent, Answer, Make

_numbers = itertools.count()


@pytest.fixture
def box(pyoci: str, tmp_path: Path, reporter: Path) -> Iterator[Box]:
    """Containers with the machine's own cgroups."""
    yield from boxes(pyoci, tmp_path, f"pyoci-box-{os.getpid()}-{next(_numbers)}", reporter, "host")


@pytest.fixture
def agent(box: Box) -> Iterator[Make]:
    """agent({number: Answer}): an agent at the path that bundle() names."""
    made: list[Agent] = []

    def make(answers: dict[int, Answer] | None = None, name: str = "agent", late: bool = False) -> Agent:
        made.append(Agent(box.directory / name, answers or {}, late))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(params=["host", "v2"])
def either_box(request: pytest.FixtureRequest, pyoci: str, tmp_path: Path, reporter: Path) -> Iterator[Box]:
    """The same twice: with the machine's own cgroups, and where cgroup v2 is all there is."""
    yield from boxes(pyoci, tmp_path, f"pyoci-box-{os.getpid()}-{next(_numbers)}", reporter, request.param)


_LINE = "line for the end of the run"  # as a property of a report, it comes from another process, too


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """A line for the end of the run: what a long test has done, how often, and in what time."""
    begin = time.monotonic()

    def say(line: str) -> None:
        request.node.user_properties.append((_LINE, f"{line}; {time.monotonic() - begin:.1f} s"))

    return say


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in (*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")):
        for name, line in report.user_properties if report.when == "call" else ():
            if name == _LINE:
                terminalreporter.write_line(str(line))


@pytest.fixture
def seeded(tell: Callable[[str], None]) -> tuple[int, random.Random]:
    """A seed and its random numbers: $PYOCI_TEST_SEED, else a new one every time; the tests print it."""
    seed = int(os.environ.get("PYOCI_TEST_SEED", time.time_ns() % 1_000_000))
    return seed, random.Random(seed)
