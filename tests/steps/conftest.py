"""Real containers whose program is the reporter: what it sees is the effect of the steps."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.container.conftest import box, either_box
from tests.steps.look import Look, look

__all__ = ["Look", "box", "either_box", "look"]


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    """An empty one, for tests that say nothing else."""
    (tmp_path / "root").mkdir()
    return tmp_path / "root"
