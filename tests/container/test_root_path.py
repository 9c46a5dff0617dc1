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


@pytest.mark.parametrize("command", ["create", "run"])
@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("none", "no such file or directory"),
        ("reporter", "not a directory"),
        ("reporter/below", "not a directory"),
        ("pipe", "not a directory"),
    ],
)
def test_a_root_path_that_is_no_directory(box: Box, command: str, path: str, why: str) -> None:
    bundle = box.bundle("report", change=lambda config: config["root"].update(path=path))
    (bundle / "reporter").write_text("a file")
    os.mkfifo(bundle / "pipe")
    done = box(command, "--bundle", str(bundle), "none")
    assert done.returncode == 1
    first, pointer, hint = done.stderr.splitlines()
    assert first.endswith(f'msg="pyoci {command} failed: invalid rootfs: stat {bundle}/{path}: {why}"')
    assert pointer == "  pointer: /root/path"
    assert hint.startswith(f"  hint: {bundle}/{path} has to be the directory that becomes the container's /")
