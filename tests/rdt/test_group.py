"""The group of a container that runs gets other schemata (update)."""

from __future__ import annotations

import os
from errno import EINVAL
from pathlib import Path
from typing import Any

import pytest

from pyoci.cli import update as cli
from pyoci.container import saved_config
from pyoci.container.create import create
from pyoci.container.delete import delete
from pyoci.container.options import CreateOptions
from pyoci.container.update import update
from pyoci.errors import Error
from pyoci.kernel import resctrl
from pyoci.rdt import group as rdt_group
from pyoci.undo import Undo
from tests.container.box import Box
from tests.container.conftest import box
from tests.isolation import in_namespace
from tests.rdt.tree import mount

__all__ = ["box", "mount"]


class Flags:
    """The flags of update."""

    def __init__(self, **given: str) -> None:
        self.given = given

    def text(self, name: str) -> str:
        return self.given.get(name.replace("-", "_"), "")


def test_flags_of_update(mount: Path) -> None:
    both: Any = Flags(l3_cache_schema="L3:0=3", mem_bw_schema="MB:0=50")
    assert cli._schemata(both) == ("L3:0=3", "MB:0=50")
    two: Any = Flags(mem_bw_schema="MB:0=50\nL3:0=1")
    with pytest.raises(Error, match="--mem-bw-schema must not contain newlines"):
        cli._schemata(two)
    (mount / "info/MB").rmdir()
    with pytest.raises(Error, match="Intel RDT/MBA: memory bandwidth schema is not enabled"):
        cli._schemata(both)


@pytest.mark.root
@pytest.mark.parametrize("refused", [False, True])
def test_update(mount: Path, box: Box, refused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel refuses changes nothing, and the limits of the same update are put back, too."""
    bundle = box.bundle("exit", "0", change=lambda raw: raw["linux"].update(intelRdt={"schemata": ["L3:0=f"]}))
    real = resctrl.write

    def write(path: str, value: str | bytes) -> None:
        if refused and "L3:0=3" in str(value):
            raise OSError(EINVAL, os.strerror(EINVAL), path)
        real(path, value)

    def body() -> tuple[str, str]:
        create(CreateOptions(root=str(box.root), id="a", bundle=str(bundle)))
        resctrl.write = write
        said = ""
        try:
            update(str(box.root), "a", {"pids": {"limit": 77}}, ("L3:0=3",))
        except Error as error:
            said = error.message
        text = (mount / "a/schemata").read_text()
        _, kept = saved_config.load(str(box.root), "a")
        delete(str(box.root), "a", force=True)
        return said, text + str((kept.get("resources") or {}).get("pids"))

    if refused:
        said, left = in_namespace(body, 0)
        assert said.endswith("schemata: invalid argument, last_cmd_status: ok")
        assert left == "L3:0=f\nNone"
    else:
        assert in_namespace(body, 0) == ("", "L3:0=3\n{'limit': 77}")


def test_update_of_a_container_without_a_group(mount: Path) -> None:
    with pytest.raises(Error, match="the container has no Intel RDT configuration to update"):
        rdt_group.change("", ("L3:0=1",), Undo())
