"""Paths of namespaces that are none, or of another type: refused before anything is made."""

from __future__ import annotations

import re

import pytest

from tests.container.box import Box
from tests.steps.init.test_namespaces import FILES, Hold, entry, hold

__all__ = ["hold"]

pytestmark = pytest.mark.root


@pytest.mark.parametrize("type", sorted(FILES))
def test_a_path_of_another_type_is_refused(box: Box, hold: Hold, type: str) -> None:
    other = "ipc" if type == "uts" else "uts"
    path = hold(other).path(other)
    bundle = box.bundle("report", change=lambda config: entry(config, type, path))
    done = box("run", "--bundle", str(bundle), "wrong")
    assert done.returncode == 1
    assert f"open the {type} namespace {path}: it is a {other} namespace: invalid argument" in done.stderr
    assert re.search(r"pointer: /linux/namespaces/\d/path\n", done.stderr)
    assert f"hint: a {type} namespace is a file like /proc/PID/ns/{FILES[type]}" in done.stderr


@pytest.mark.parametrize("path", ["/etc/passwd", "/proc/self/status", "/", "/dev/null"])
def test_what_is_no_namespace_is_refused(box: Box, path: str) -> None:
    bundle = box.bundle("report", change=lambda config: entry(config, "network", path))
    done = box("run", "--bundle", str(bundle), "wrong")
    assert done.returncode == 1
    assert f"open the network namespace {path}: it is no namespace: invalid argument" in done.stderr


def test_a_path_that_does_not_exist(box: Box) -> None:
    bundle = box.bundle("report", change=lambda config: entry(config, "network", "/proc/1/ns/none"))
    done = box("run", "--bundle", str(bundle), "missing")
    assert done.returncode == 1
    assert "open the network namespace /proc/1/ns/none: /proc/1/ns/none: no such file or directory" in done.stderr
    assert re.search(r"pointer: /linux/namespaces/\d/path\n", done.stderr)
    assert "hint: a network namespace is a file like /proc/PID/ns/net, or one that" in done.stderr
