"""Containers of the installed runtime on the real kernel; a test that leaves anything behind fails."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.container.box import Box, boxes

_numbers = itertools.count()


@pytest.fixture
def box(pyoci: str, tmp_path: Path, reporter: Path) -> Iterator[Box]:
    """Containers with the machine's own cgroups."""
    yield from boxes(pyoci, tmp_path, f"pyoci-box-{os.getpid()}-{next(_numbers)}", reporter, "host")


@pytest.fixture(params=["host", "v2"])
def either_box(request: pytest.FixtureRequest, pyoci: str, tmp_path: Path, reporter: Path) -> Iterator[Box]:
    """The same twice: with the machine's own cgroups, and where cgroup v2 is all there is."""
    yield from boxes(pyoci, tmp_path, f"pyoci-box-{os.getpid()}-{next(_numbers)}", reporter, request.param)
