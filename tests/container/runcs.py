"""Containers that a runc has made in a box, to be taken over by pyoci."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.container.box import LIMIT, Box

CACHE = Path("/var/cache/pyoci-conformance")


def built() -> list[str]:
    """$PYOCI_RUNC, or what `make runc` and the conformance suite have built, the newest first, and one of PATH."""
    if "PYOCI_RUNC" in os.environ:
        return [os.environ["PYOCI_RUNC"]]
    versions = sorted(CACHE.glob("runc-v*/runc"), key=lambda path: path.parent.name, reverse=True)
    return [*map(str, versions), *filter(None, [shutil.which("runc")])]


def name(path: str) -> str:
    return Path(path).parent.name if path.startswith(f"{CACHE}/") else "system"


@pytest.fixture(params=built() or [""], ids=lambda path: name(path) if path else "none")
def runc(request: pytest.FixtureRequest) -> str:
    """Each runc that there is."""
    if not request.param:
        pytest.skip("there is no runc to compare with: `make runc` builds the newest, or name one in $PYOCI_RUNC")
    return str(request.param)


def version(path: str) -> tuple[int, ...]:
    """Major and minor number of a runc."""
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(part) for part in said.split()[2].split(".")[:2])


class Theirs:
    """`theirs("state", "a")`: what runc says, with the box's --root; it must succeed."""

    def __init__(self, runc: str, box: Box) -> None:
        self.runc = runc
        self.box = box

    def __call__(self, *argv: str, **options: Any) -> str:
        command = [*self.box.prefix, self.runc, "--root", str(self.box.root), *argv]
        output = self.box.directory / "runc.out"
        with output.open("w") as out:  # a file: the container keeps a pipe open
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=LIMIT, check=False, **options
            )
        text = output.read_text()
        assert done.returncode == 0, text
        return text
