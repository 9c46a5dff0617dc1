"""Arenas for the security tests: see harness.py."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.security.harness import MODES, Arena, arenas

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
