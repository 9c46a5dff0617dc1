"""A directory tree that stands for resctrl: no machine of ours can allocate cache.

Two functions do what the kernel does when a group is made or removed; what the hardware makes of it is not tested.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pyoci.kernel import resctrl

SCHEMATA = "    L3:0=fff;1=fff\n    MB:0=100;1=100\n"


def fill(path: str) -> None:
    """What the kernel does after mkdir(2)."""
    os.mkdir(path)
    for name in ("tasks", "schemata"):
        Path(path, name).touch()
    if os.path.basename(os.path.dirname(path)) != "mon_groups":
        Path(path, "schemata").write_text(SCHEMATA)
        os.mkdir(f"{path}/mon_groups")


def empty(path: str) -> None:
    """What it does at rmdir(2)."""
    if os.path.isdir(path):
        shutil.rmtree(path)


@pytest.fixture
def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of /sys/fs/resctrl."""
    tree = tmp_path / "resctrl"
    fill(str(tree))
    for name in ("L3", "MB", "L3_MON"):
        (tree / "info" / name).mkdir(parents=True)
    (tree / "info/last_cmd_status").write_text("ok\n")
    monkeypatch.setattr(resctrl, "find", lambda: str(tree))
    monkeypatch.setattr(resctrl, "make_group", fill)
    monkeypatch.setattr(resctrl, "remove_group", empty)
    return tree
