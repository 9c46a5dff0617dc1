"""--trace: the time of every step, as a timeline."""

from __future__ import annotations

import json
import os
import stat
from typing import Any

import pytest

from tests.container.box import Box

pytestmark = pytest.mark.root


def events(text: str) -> list[dict[str, Any]]:
    """Those of steps; the first one names the process."""
    loaded: list[dict[str, Any]] = json.loads(text)
    first, *rest = loaded
    assert (first["ph"], first["args"]) == ("M", {"name": "pyoci"})
    return rest


def test_every_step_of_both_sides(box: Box) -> None:
    path = box.directory / "trace"
    bundle = box.bundle("report")
    done = box("run", "--trace", str(path), "--bundle", str(bundle), "a")
    assert (done.returncode, done.stderr) == (0, "")
    found = events(path.read_text())
    names = [event["name"] for event in found]
    for name in ("MakeCgroups", "MountRoot", "MountFilesystem", "PivotRoot", "MaskPath", "SetCapabilities"):
        assert name in names, name
    assert names.index("MakeCgroups") < names.index("MountRoot") < names.index("PivotRoot")
    assert {event["ph"] for event in found} == {"X"}
    assert all(event["dur"] >= 0 and event["ts"] > 0 for event in found)
    assert len({event["pid"] for event in found}) == 2, "the runtime's and the container's process"
    [null] = [event for event in found if event["name"] == "PivotRoot"]
    assert null["args"] == {"pointer": "/root/path", "what": "switch to the container's root"}


def test_the_program_does_not_have_the_file(box: Box) -> None:
    path = box.directory / "trace"
    done = box("run", "--trace", str(path), "--bundle", str(box.bundle("report")), "a")
    assert json.loads(done.stdout)["fds"].keys() == {"0", "1", "2"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_failed_create_is_traced_up_to_the_failure(box: Box) -> None:
    def change(config: dict[str, Any]) -> None:
        config["process"]["args"] = ["/nothing"]

    path = box.directory / "trace"
    done = box("create", "--trace", str(path), "--bundle", str(box.bundle(change=change)), "a")
    assert done.returncode == 1 and os.listdir(box.root) == []
    assert events(path.read_text())[-1]["name"] == "ChangeDirectory"


def test_a_file_that_cannot_be_made(box: Box) -> None:
    done = box("create", "--trace", "/nonexistent/trace", "--bundle", str(box.bundle()), "a")
    assert done.returncode == 1 and os.listdir(box.root) == []
    assert "open /nonexistent/trace: no such file or directory" in done.stderr
    assert "  pointer: --trace\n" in done.stderr
