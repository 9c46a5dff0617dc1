"""What a container sees under pyoci is what it sees under runc, but for known differences."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.differential import known, run, view
from tests.differential.cases import CASES

DOCUMENT = Path(__file__).parents[2] / "docs/differences.md"

# runc cannot do it: what pyoci does is tested with the steps.
ONLY_PYOCI = {"propagation_runbindable"}

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def runc() -> str:
    """The newest runc: $PYOCI_RUNC, or the one that `make runc` has built, as `make test` does."""
    given = os.environ.get("PYOCI_RUNC")
    built = sorted(Path("/var/cache/pyoci-conformance").glob("runc-v*/runc"), key=lambda path: path.parent.name)
    if not given and not built:
        pytest.skip("there is no runc to compare with: `make runc` builds the newest, or name one in $PYOCI_RUNC")
    return given or str(built[-1])


@pytest.fixture
def id(request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"pyoci-differential-{os.getpid()}"
    yield name
    for runtime in ("ours", "theirs"):
        run.remove_cgroups(f"{name}-{runtime}")


@pytest.mark.parametrize("case", sorted(CASES))
def test_the_same_view(case: str, runc: str, pyoci: str, id: str, tmp_path: Path) -> None:
    ours = run.outcome(pyoci, tmp_path / "ours", case, f"{id}-ours")
    assert ours.status == 0, ours.error
    theirs = run.outcome(runc, tmp_path / "theirs", case, f"{id}-theirs")
    if case in ONLY_PYOCI:
        assert theirs.status != 0, "runc can do it by now: compare"
        return
    assert theirs.status == 0, theirs.error
    left = known.unknown(case, view.differences(ours.seen, theirs.seen))
    assert left == [], "\n".join(left)


def test_every_known_difference_is_documented() -> None:
    rows = {line.split("|")[1].strip() for line in DOCUMENT.read_text().splitlines() if line.startswith("| ")}
    assert {row for row, _, _ in known.KNOWN} <= rows


def test_what_nobody_explained_is_reported() -> None:
    """The comparison sees a change, and an entry explains its own lines only."""
    found = view.differences({"a": {"b": 1}, "mounts": ["/x"]}, {"a": {"b": 2}, "mounts": ["/y"]})
    assert found == ["a/b: 1 instead of 2", "mounts: + /x", "mounts: - /y"]
    assert known.unknown("plain", [*found, "files//d/mount_flags: 1057 instead of 1056"]) == [
        *found,
        "files//d/mount_flags: 1057 instead of 1056",
    ]
    assert known.unknown("tmpfs", ["files//d/mount_flags: 1057 instead of 1056"]) == []
