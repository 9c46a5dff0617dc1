"""root.path and --bundle: which directory they name."""

from __future__ import annotations

import json
import os

import pytest

from tests.container.box import Box

pytestmark = pytest.mark.root


@pytest.mark.parametrize("options", [(), ("--no-pivot",)])
def test_two_slashes_at_the_beginning_are_one(box: Box, options: tuple[str, ...]) -> None:
    """In --bundle, and in root.path, where they are no link."""
    bundle = box.bundle("report", change=lambda config: config["root"].update(path=f"/{box.directory}/bundle-0/rootfs"))
    done = box("run", *options, "--bundle", f"/{bundle}", "slashes")
    assert done.returncode == 0, done.stderr
    assert {"/proc", "/sys"} <= {line.split()[4] for line in json.loads(done.stdout)["mountinfo"]}


def test_a_root_path_that_is_a_link_is_refused(box: Box) -> None:
    bundle = box.bundle("report")
    os.rename(bundle / "rootfs", bundle / "real")
    os.symlink("real", bundle / "rootfs")
    done = box("run", "--bundle", str(bundle), "link")
    assert done.returncode == 1
    assert "invalid rootfs: not an absolute path, or a symlink" in done.stderr


def test_a_root_path_that_does_not_exist(box: Box) -> None:
    bundle = box.bundle("report", change=lambda config: config["root"].update(path="none"))
    done = box("run", "--bundle", str(bundle), "missing")
    assert done.returncode == 1
    assert "invalid rootfs" in done.stderr and "/root/path" in done.stderr
