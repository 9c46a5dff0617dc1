"""What is recorded of a container's namespaces, and what of /proc/PID counts; the attacks are in tests/security."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.container import identity
from pyoci.container.state import Container
from pyoci.errors import Error
from tests.container.box import Box
from tests.container.execs import refused, started

NUMBERS = st.lists(st.integers(1, 2**32 - 1), min_size=4, max_size=4)


def container(**more: Any) -> Container:
    return Container(root="/r", id="c", bundle="/b", rootfs="/b/rootfs", created="", annotations={}, cgroups={}, **more)


# -- the id map ------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(1, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(1, 9)), max_size=5), st.data()
)
def test_the_root_s_id_outside(rows: list[tuple[int, int, int]], data: st.DataObject) -> None:
    """The kernel's columns: inside, outside, size."""
    text = [f"{inside:>10} {outside:>10} {size:>10}\n" for inside, outside, size in rows]
    assert identity._outside("".join(text).encode()) == -1
    outside = data.draw(st.integers(0, 2**32 - 2))
    text.insert(data.draw(st.integers(0, len(text))), f"{0:>10} {outside:>10} {1:>10}\n")
    assert identity._outside("".join(text).encode()) == outside


# -- what has to be found --------------------------------------------------------------------------------------------


@given(NUMBERS, NUMBERS)
def test_what_is_recorded_counts_as_it_is(pid: list[int], user: list[int]) -> None:
    made = container(namespaces=(("pid", ""), ("user", "")), identity={"pid": pid, "user": user})
    found = {"pid": [0, 0, 0, 0], "user": [9, 9, 9, 9]}
    assert identity._expected(made, found, [4, 1]) == {"pid": pid, "user": user}


@given(NUMBERS, NUMBERS, st.sampled_from(["mount", "uts"]))
def test_without_a_user_namespace_new_ones_are_the_runtime_s(recorded: list[int], other: list[int], kind: str) -> None:
    made = container(namespaces=((kind, ""),), identity={kind: recorded})
    assert identity._expected(made, {kind: other}, [4, 1]) == {kind: [*recorded[:2], 4, 1]}
    made = container(namespaces=((kind, "/a/path"),), identity={kind: recorded})
    assert identity._expected(made, {kind: other}, [4, 1]) == {kind: recorded}


@given(NUMBERS, NUMBERS)
def test_without_a_record_the_owner_counts(mount: list[int], user: list[int]) -> None:
    """Of a new namespace the container's user namespace, of that one ours."""
    made = container(namespaces=(("mount", ""),))
    assert identity._expected(made, {"mount": mount}, [4, 1]) == {"mount": [*mount[:2], 4, 1]}
    made = container(namespaces=(("mount", ""), ("user", "")))
    expected = identity._expected(made, {"mount": mount, "user": user}, [4, 1])
    assert expected == {"mount": [*mount[:2], *user[:2]], "user": [*user[:2], 4, 1]}


def test_without_a_record_a_path_counts() -> None:
    status = os.stat("/proc/self/ns/net")
    there = [status.st_dev, status.st_ino]
    for path, found, expected in (
        ("/proc/self/ns/net", [*there, 7, 8], [*there, 7, 8]),
        ("/proc/self/ns/net", [4, 1, 7, 8], there),
        ("/proc/self/ns/nope", [4, 1, 7, 8], []),
    ):
        made = container(namespaces=(("network", path),))
        assert identity._expected(made, {"network": found}, [4, 1]) == {"network": expected}


def test_a_process_that_does_not_send_all() -> None:
    with pytest.raises(Error, match="not all of them"):
        identity.record(("pid", "user"), ())


# -- the record ------------------------------------------------------------------------------------------------------


def damaged(box: Box, change: Callable[[dict[str, Any]], object]) -> None:
    path = box.root / "c/state.json"
    state = json.loads(path.read_text())
    change(state["pyoci"]["identity"])
    path.write_text(json.dumps(state))


@pytest.mark.root
@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.pop("uts"),
        lambda record: record.update(uts=[]),
        lambda record: record.update(uts="uts:[4026531838]"),
        lambda record: record.update(uts=None),
        lambda record: record["uts"].reverse(),
        lambda record: record["uts"].__setitem__(0, 1),
        lambda record: record["uts"].__setitem__(1, 1),
    ],
)
def test_a_record_that_is_not_the_namespace_s(box: Box, change: Callable[[dict[str, Any]], object]) -> None:
    """Whatever stands there, exec does without an internal error; the control is the record as it was."""
    started(box)
    path = box.root / "c/state.json"
    before = path.read_text()
    damaged(box, change)
    refused(box("exec", "c", "/reporter"), "the container's first process is not in its uts namespace any more")
    path.write_text(before)
    assert box("exec", "c", "/reporter", "exit", "7").returncode == 7


@pytest.mark.root
def test_an_unprivileged_runtime_records_the_same(box: Box) -> None:
    """It cannot look at a process that is hidden from it: that one shows it."""

    def change(config: dict[str, Any]) -> None:
        del config["linux"]["cgroupsPath"], config["linux"]["resources"]
        config["linux"]["namespaces"] = [{"type": kind} for kind in ("user", "pid", "mount", "ipc", "uts")]
        config["mounts"] = [one for one in config["mounts"] if one["type"] in ("proc", "tmpfs")]
        for kind in ("uidMappings", "gidMappings"):
            config["linux"][kind] = [{"containerID": 0, "hostID": 1000, "size": 1}]

    bundle = box.bundle("sleep", change=change)
    for path in (box.root, box.directory, bundle, bundle / "rootfs"):
        os.chown(path, 1000, 1000)
    with box.as_user(1000):
        assert box("run", "--detach", "--bundle", str(bundle), "c").stderr == ""
        record = json.loads((box.root / "c/state.json").read_text())
        pid = record["init_process_pid"]
        user, own = os.stat(f"/proc/{pid}/ns/user").st_ino, os.stat("/proc/self/ns/user").st_ino
        for kind, found in record["pyoci"]["identity"].items():
            inode = os.stat(Path(f"/proc/{pid}/ns", "mnt" if kind == "mount" else kind)).st_ino
            assert (found[1], found[3]) == (inode, own if kind == "user" else user), kind
        assert len(record["pyoci"]["identity"]) == 5
        assert box("exec", "c", "/reporter", "exit", "7").returncode == 7
        assert box("delete", "--force", "c").stderr == ""
    os.chown(box.root, 0, 0)
