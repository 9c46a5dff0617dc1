"""The harness itself: its containers run in every mode, and it notices when the host is changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.security import harness
from tests.security.harness import Arena

pytestmark = pytest.mark.root


def test_a_container_runs(any_arena: Arena) -> None:
    done = any_arena.run(any_arena.bundle("id -u; ls /proc/self/fd | wc -l"))
    assert (done.stdout.split(), done.stderr) == (["0", "4"], "")


def test_a_changed_canary_is_noticed(tmp_path: Path) -> None:
    harness.plant(tmp_path / "canary")
    before = harness.describe(tmp_path / "canary")
    assert harness.describe(tmp_path / "canary") == before
    (tmp_path / "canary/dir/new").write_text("")
    (tmp_path / "canary/dir/new").unlink()
    assert harness.describe(tmp_path / "canary") != before


def test_swapping_swaps(arena: Arena) -> None:
    first, second = arena.directory / "first", arena.directory / "second"
    first.mkdir()
    second.symlink_to(arena.canary)
    with arena.swapping(first, second):
        seen = {first.is_symlink() for _ in range(100_000)}
    assert seen == {True, False}
