"""Arenas for the security tests: see harness.py."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.security.harness import MODES, Arena, arenas
from tests.security.hostile.program import Hostile, attack

_numbers = itertools.count()


def _mark() -> str:
    return f"pyoci-security-{os.getpid()}-{next(_numbers)}"


@pytest.fixture
def arena(pyoci: str, tmp_path: Path, reporter: Path) -> Iterator[Arena]:
    """Containers without a user namespace, of a runtime that is root."""
    yield from arenas(pyoci, tmp_path, _mark(), reporter, "root")


@pytest.fixture(params=MODES)
def any_arena(request: pytest.FixtureRequest, pyoci: str, tmp_path: Path, reporter: Path) -> Iterator[Arena]:
    """The same test three times: no user namespace, one for the container, one around the runtime."""
    yield from arenas(pyoci, tmp_path, _mark(), reporter, request.param)


@pytest.fixture(params=["host", "v2"])
def either_arena(request: pytest.FixtureRequest, pyoci: str, tmp_path: Path, reporter: Path) -> Iterator[Arena]:
    """As `arena`, twice: with the machine's own cgroups, and where cgroup v2 is all there is."""
    yield from arenas(pyoci, tmp_path, _mark(), reporter, "root", request.param)


@pytest.fixture
def unified(pyoci: str, tmp_path: Path, reporter: Path) -> Iterator[Arena]:
    """As `arena`, where cgroup v2 is all there is."""
    yield from arenas(pyoci, tmp_path, _mark(), reporter, "root", "v2")


@pytest.fixture
def hostile(arena: Arena) -> Callable[..., Hostile]:
    """A call hostile(*actions, change=None, id="c") makes a container whose first process has carried them out."""
    return lambda *actions, **options: attack(arena, *actions, **options)


@pytest.fixture
def either_hostile(either_arena: Arena) -> Callable[..., Hostile]:
    """The same in `either_arena`."""
    return lambda *actions, **options: attack(either_arena, *actions, **options)
