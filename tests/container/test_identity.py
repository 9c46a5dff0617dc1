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
from tests.container.exec.started import refused, started

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


def test_without_a_record_a_path_counts(tmp_path: Path) -> None:
    """Where it tells nothing any more the owner has to be the container's user namespace or the runtime's."""
    status = os.stat("/proc/self/ns/net")
    there = [status.st_dev, status.st_ino]
    kept = tmp_path / "net"
    kept.symlink_to("/proc/self/ns/net")  # as a mount of it, which no other process can take the place of
    (tmp_path / "file").touch()
    other, foreign, ours = [there[0], 1], [7, 8], [4, 1]
    for path, found, expected in (
        ("/proc/self/ns/net", [*there, *foreign], [*there, *foreign]),
        (str(kept), [*there, *foreign], [*there, *foreign]),
        (str(kept), [*other, *ours], there),
        *(
            (path, [*other, *owner], [*other, *owner] if owner == ours else [])
            for path in ("/proc/self/ns/net", "/proc/self/ns/nope", "/proc/4194305/ns/net", str(tmp_path / "file"))
            for owner in (ours, foreign, [])
        ),
    ):
        made = container(namespaces=(("network", path),))
        assert identity._expected(made, {"network": found}, ours) == {"network": expected}, (path, found)


@pytest.mark.parametrize("owner", ["runtime", "container", "other"])
@pytest.mark.parametrize("kind", ["network", "user"])
def test_the_owner_where_a_path_is_gone(kind: str, owner: str) -> None:
    """In a container with a user namespace; that one has to be a child of the runtime's, as no program can make it."""
    own, user = [4, 1], [4, 2]
    found = {"user": [*user, *own]}
    found[kind] = [4, 2 if kind == "user" else 3, *{"runtime": own, "container": user, "other": [4, 9]}[owner]]
    made = container(namespaces=((kind, "/proc/4194305/ns/x"),))
    accepted = owner == "runtime" or (owner == "container" and kind == "network")
    assert (identity._expected(made, found, own)[kind] == found[kind]) is accepted


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
def test_a_record_that_is_none(box: Box) -> None:
    started(box)
    damaged(box, lambda record: record.update(uts="uts:[4026531838]"))
    refused(box("exec", "c", "/reporter"), "state.json#/pyoci/identity: not an object of arrays of numbers")


@pytest.mark.root
def test_an_unprivileged_runtime_records_the_same(box: Box) -> None:
    """It cannot look at a process that is hidden from it: that one shows it."""
    bundle = box.own_bundle(1000)
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
