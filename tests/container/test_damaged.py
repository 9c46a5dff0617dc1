"""A state.json that is damaged or that another program has written: one clear error from every command, and never a
signal to a process that the file does not name by pid and start time. Without containers; with real processes.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pyoci import jsonfile
from pyoci.cli import list as list_command
from pyoci.cli.state import description
from pyoci.config import read as read_config
from pyoci.config.node import Node
from pyoci.config.resources import read_resources
from pyoci.container import delete, exec_process, kill, ps, records, saved_config, start, state
from pyoci.container.exec_process import ProcessOptions
from pyoci.container.records import Container
from pyoci.errors import ConfigError, DamagedError, Error, ForeignError
from tests.container.kept_files import FILES, changed, filled, pointers

Write = Callable[[Any], None]
OTHERS: tuple[Any, ...] = (..., None, True, -1, 0, 1, 2**70, 1.5, "", "x", [], ["x"], [1], {}, {"x": 1}, {"x": "/x"})
SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
CGROUPS = {"": "/sys/fs/cgroup/unified/pyoci-none/x", "freezer": "/sys/fs/cgroup/freezer/pyoci-none/x"}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """write(value): the state.json of a container "a", text as it is."""

    def put(value: Any) -> None:
        directory = tmp_path / "root/a"
        directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        os.chmod(directory, 0o711)
        (directory / "state.json").write_text(value if isinstance(value, str) else json.dumps(value))

    return put


@contextmanager
def sleeper() -> Iterator[int]:
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process.pid
        process.kill()


def alive(pid: int) -> bool:
    found = state.process(pid)
    return found is not None and found[0] != "Z"


TYPES = {"str": str, "int": int, "bool": bool, "dict": dict, "tuple": tuple, "None": type(None)}


def types(annotation: str) -> list[type]:
    """Of "dict[str, Any] | None": dict and that of None."""
    return [TYPES[one.partition("[")[0]] for one in annotation.split(" | ")]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_member_as_something_else(file: Path, tmp_path: Path) -> None:
    """It is refused by one error, or it was of no importance: then every field is what it should be."""
    raw = filled(file, 4194303, 7, CGROUPS)
    refused = 0
    for way in pointers(raw):
        if any(type(part) is int and part > 1 for part in way):  # one item of an array is like the other
            continue
        for new in OTHERS:
            mutant = json.dumps(changed(raw, way, new)).encode()
            try:
                found = state.record(str(tmp_path), "a", jsonfile.parse(mutant, "state.json"))
            except (ConfigError, records.Damage, ForeignError):
                refused += 1
                continue
            for field, kind in Container.__annotations__.items():
                value = getattr(found, field)
                assert type(value) in types(kind), (way, new)
            assert bool(found.pid) == bool(found.start_time)
            assert jsonfile.dumps(description(found, ""))
            for path in found.cgroups.values():
                assert path.startswith("/") and path != "/"
    assert refused > 150


@pytest.mark.root
@SETTINGS
@given(data=st.data())
def test_no_command_hits_another_process(data: st.DataObject, write: Write, tmp_path: Path) -> None:
    """kill and delete --force of a container whose file was changed in one place: the process that it named dies only
    of a file that still names it, and no command ends with anything but an Error."""
    with sleeper() as pid:
        found = state.process(pid)
        assert found is not None
        _change_and_try(data, write, str(tmp_path / "root"), pid, found[1])


def _change_and_try(data: st.DataObject, write: Write, root: str, pid: int, started: int) -> None:
    raw = filled(data.draw(st.sampled_from(FILES)), pid, started, CGROUPS)
    raw.get("pyoci", raw)["hooks"] = raw["config"]["Hooks"] = {}
    way = data.draw(st.sampled_from([("init_process_pid",), ("init_process_start",), *pointers(raw)]))
    number = st.sampled_from([pid - 1, pid + 1, -pid, pid + 2**32, started + 1, started - 1])
    mutant = changed(raw, way, data.draw(st.sampled_from(OTHERS) | number))
    write(mutant)
    named = (mutant.get("init_process_pid"), mutant.get("init_process_start")) == (pid, started)
    for command in (
        lambda: description(state.load(root, "a"), ""),
        lambda: list_command.containers(root, True),
        lambda: ps.pids(root, "a"),
        lambda: start.start(root, "a"),
        lambda: kill.kill(root, "a", 0, False),
        lambda: kill.kill(root, "a", 18, True),
        lambda: exec_process.config(ProcessOptions(args=("x",)), "/b", saved_config.load(root, "a")[1]),
        lambda: delete.delete(root, "a", force=True),
    ):
        try:
            command()
        except Error:
            pass
        assert named or alive(pid)
    assert alive(pid) != named
    assert not os.path.lexists(f"{root}/a")


DAMAGE = {
    "": "the file is empty",
    "{": "not JSON: ",
    '{"id": "a", "init_process_pid": 1': "not JSON: ",
    "[]": "#: not an object",
    "7": "#: not an object",
    "{}": "#/config: missing",
    '{"pyoci": 7}': "#/pyoci: not an object",
    '{"pyoci": {"version": 99}, "config": {}}': " has version 99, this pyoci knows 1",
    '{"config": {}, "config": {}}': "#/config: the key is given twice",
    '{"config": {"rootfs": "/"}, "init_process_pid": 1, "init_process_start": 0}': "0 does not go with process 1",
}


@pytest.mark.parametrize("text", DAMAGE)
def test_the_file_the_reason_and_the_way_out(write: Write, tmp_path: Path, text: str) -> None:
    write(text)
    root = str(tmp_path / "root")
    with pytest.raises(DamagedError) as caught:
        state.load(root, "a")
    assert caught.value.message.startswith(f"{root}/a/state.json"), caught.value.message
    assert DAMAGE[text] in caught.value.message
    assert (
        f"`pyoci --root {root} delete --force a` stops and removes whatever state.json still identifies"
        in caught.value.hint
    )


def test_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/state.json").mkdir()
    with pytest.raises(DamagedError, match="not a file"):
        state.load(str(tmp_path), "a")
    (tmp_path / "a/state.json").rmdir()
    (tmp_path / "a/state.json").symlink_to("/dev/zero")
    with pytest.raises(DamagedError, match="not a file"):
        state.load(str(tmp_path), "a")
    (tmp_path / "a/state.json").unlink()
    os.mkfifo(tmp_path / "a/state.json")
    with pytest.raises(DamagedError, match="the file is empty"):
        state.load(str(tmp_path), "a")


CRUN = '{"pid": 1, "process-start-time": 2, "cgroup-path": "/x", "rootfs": "/r", "bundle": "/b"}'
YOUKI = '{"ociVersion": "v1.0.2", "id": "a", "status": "running", "pid": 1, "bundle": "/b", "creator": 0}'


@pytest.mark.parametrize(("name", "text", "words"), [("status", CRUN, "of crun"), ("state.json", YOUKI, "by neither")])
@pytest.mark.parametrize("force", [False, True])
def test_other_runtimes_containers_are_left_alone(
    tmp_path: Path, name: str, text: str, words: str, force: bool
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / name).write_text(text)
    with pytest.raises(ForeignError, match=words):
        state.load(str(tmp_path), "a")
    with pytest.raises(ForeignError, match=words):
        delete.delete(str(tmp_path), "a", force)
    assert (tmp_path / "a" / name).read_text() == text


@pytest.mark.parametrize("file", FILES[:1], ids=lambda file: file.stem)
def test_what_exec_and_update_read_of_a_container(write: Write, tmp_path: Path, file: Path) -> None:
    """The other file of a container, saved-config.json: every member as something else is refused, or harmless."""
    write(filled(file, 4194303, 7, CGROUPS))
    directory = tmp_path / "root/a"
    descriptor = os.open(directory, os.O_RDONLY)
    config = {
        "process": {"oomScoreAdj": 5, "user": {"umask": 18}, "capabilities": {"bounding": ["CAP_KILL"]}},
        "linux": {
            "seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["a"], "action": "SCMP_ACT_LOG"}]},
            "resources": {"memory": {"limit": 5}, "devices": [{"allow": False, "access": "rwm"}]},
            "devices": [{"path": "/dev/x", "type": "c", "major": 1, "minor": 3}],
        },
    }
    saved_config.save(config, False, descriptor)
    os.close(descriptor)
    kept = json.loads((directory / "saved-config.json").read_text())
    assert saved_config.load(str(tmp_path / "root"), "a")[1] == kept
    refused = 0
    for way in pointers(kept):
        for new in OTHERS:
            (directory / "saved-config.json").write_text(json.dumps(changed(kept, way, new)))
            try:
                _, found = saved_config.load(str(tmp_path / "root"), "a")
            except ConfigError:  # a number that no JSON of ours has
                continue
            except DamagedError as error:
                assert error.message.startswith(f"{directory}/saved-config.json#/"), error.message
                refused += 1
                continue
            assert read_config(found["config"]).linux is not None
            assert read_resources(Node(found.get("resources", {}), "/linux/resources")) is not None
    assert refused > 100


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("process", {"execCPUAffinity": {"initial": "a"}}, "#/config/process/execCPUAffinity/initial: bad CPUAffinity"),
        ("process", {"execCPUAffinity": {"final": "3-1"}}, "#/config/process/execCPUAffinity/final: bad CPUAffinity"),
        ("linux", {"memoryPolicy": {"mode": "MPOL_X"}}, "#/config/linux/memoryPolicy/mode: invalid memory policy mode"),
    ],
)
def test_words_that_rules_check(write: Write, tmp_path: Path, place: str, value: dict[str, Any], said: str) -> None:
    write(filled(FILES[0], 4194303, 7, CGROUPS))
    file = tmp_path / "root/a/saved-config.json"
    file.write_text(json.dumps({"version": 1, "no_new_keyring": False, "config": {place: value}}))
    with pytest.raises(DamagedError) as caught:
        saved_config.load(str(tmp_path / "root"), "a")
    assert caught.value.message.startswith(f"{file}{said}")


def test_what_a_newer_version_has_kept_is_not_read(write: Write, tmp_path: Path) -> None:
    """The two files of a container are of one format; an update by a newer pyoci writes only this one."""
    write(filled(FILES[0], 4194303, 7, CGROUPS))
    file = tmp_path / "root/a/saved-config.json"
    kept = {"version": state.FORMAT, "no_new_keyring": False, "config": {}}
    file.write_text(json.dumps(kept))
    assert saved_config.load(str(tmp_path / "root"), "a")[1] == kept
    file.write_text(json.dumps({**kept, "version": 99}))
    with pytest.raises(DamagedError) as caught:
        saved_config.load(str(tmp_path / "root"), "a")
    assert caught.value.message == f"{file} has version 99, this pyoci knows {state.FORMAT}"
    assert caught.value.hint.startswith("use the newer pyoci; ")


@example(1)
@SETTINGS
@given(st.integers(min_value=0))
def test_half_a_file(write: Write, tmp_path: Path, length: int) -> None:
    """Cut off anywhere, it is damaged; nothing of it is believed."""
    whole = json.dumps(filled(FILES[length % len(FILES)], 4194303, 7, CGROUPS))
    write(whole[: length % len(whole)])
    with pytest.raises(DamagedError):
        state.load(str(tmp_path / "root"), "a")


@pytest.mark.parametrize("number", [-1, 2**31, 2**64 - 1])
def test_a_pid_that_no_process_can_have(write: Write, tmp_path: Path, number: int) -> None:
    """pid_t would cut it to the number of another process. The control is the largest one that there may be."""
    largest = 2**31 - 1
    write(filled(FILES[0], largest, 1, CGROUPS))
    assert state.load(str(tmp_path / "root"), "a").pid == largest
    write(filled(FILES[0], number, 1, CGROUPS))
    with pytest.raises(DamagedError):
        state.load(str(tmp_path / "root"), "a")
