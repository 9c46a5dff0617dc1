"""state.json as earlier versions wrote it: their containers are started, entered, stopped and deleted by this one.

tests/container/states holds one file per form that was ever in use, with @NAME@ where a value belongs to the machine.
A new form gets a new file; the old ones stay.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pyoci.container import state
from tests.container.box import Box
from tests.container.test_life_cycle import MISSING, refused

STATES = sorted(Path(__file__).with_name("states").glob("*.json"))
kept = pytest.mark.parametrize("file", STATES, ids=lambda file: file.stem)


def test_there_is_one_of_this_version() -> None:
    assert any(file.stem.startswith(f"{state.FORMAT}-") for file in STATES)


@kept
@pytest.mark.root
def test_its_container_lives_on(box: Box, file: Path) -> None:
    assert box("create", "--bundle", str(box.bundle("sleep")), "a").stderr == ""
    path = box.root / "a/state.json"
    now = json.loads(path.read_text())
    text = file.read_text().replace('"@PID@"', str(now["init_process_pid"]))
    text = text.replace('"@START@"', str(now["init_process_start"])).replace("@ROOTFS@", now["config"]["rootfs"])
    text = text.replace("@BUNDLE@", str(Path(now["config"]["rootfs"]).parent))
    text = text.replace('"@CGROUPS@"', json.dumps(now["cgroup_paths"]))
    text = text.replace('"@IDENTITY@"', json.dumps(now["pyoci"]["identity"]))
    path.write_text(text)
    found = box.state("a")
    assert (found["status"], found["pid"]) == ("created", now["init_process_pid"])
    assert found["bundle"] == str(Path(now["config"]["rootfs"]).parent)
    assert found["annotations"] == {"org.example.key": "a=b"}
    assert box("start", "a").stderr == ""
    assert box.status("a") == "running"
    done = box("exec", "a", "/reporter", "exit", "7")  # with a record of its namespaces, or without
    assert (done.returncode, done.stderr) == (7, "")
    assert box("kill", "a", "KILL").stderr == ""
    box.wait("a", "stopped")
    assert box("delete", "a").stderr == ""
    refused(box("state", "a"), MISSING)


@pytest.mark.root
def test_one_of_a_later_version_is_left_alone(box: Box) -> None:
    assert box("create", "--bundle", str(box.bundle("sleep")), "a").stderr == ""
    path = box.root / "a/state.json"
    written = path.read_text()
    later = json.loads(written)
    later["pyoci"]["version"] = state.FORMAT + 1
    path.write_text(json.dumps(later))
    for command in (("state",), ("start",), ("kill",), ("delete",), ("exec",), ("update",), ("pause",)):
        done = box(*command, "a", *(["/x"] if command == ("exec",) else []))
        assert done.returncode in (1, 255), command
        assert f"state.json has version {state.FORMAT + 1}, this pyoci knows {state.FORMAT}" in done.stderr
        assert "hint: use the newer pyoci; `pyoci --root" in done.stderr
    path.write_text(written)
    assert box.status("a") == "created"
