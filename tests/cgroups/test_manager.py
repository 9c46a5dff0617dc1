"""Making a cgroup: what is there afterwards, what is refused, and that a failure leaves nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from errno import EINVAL
from pathlib import Path
from typing import cast

import pytest

import pyoci.os
from pyoci.cgroups import files, hierarchies, manager, paths, processes, removal
from pyoci.cgroups.devices import rules
from pyoci.config.resources import DeviceRule
from pyoci.errors import StepError
from pyoci.kernel import textfile
from pyoci.kernel.path import openat2
from pyoci.undo import Undo
from tests.cgroups.conftest import limit, limit_pids, made

pytestmark = [pytest.mark.root, pytest.mark.also_guest]

DENY_ALL = (DeviceRule(pointer="/linux/resources/devices/0", allow=False, access="rwm"),)
RULES = DENY_ALL + rules.default_rules()
InV2 = Callable[[Callable[[dict[str, str]], None]], None]


def content(path: str) -> str:
    with open(path) as file:
        return file.read().strip()


def test_made_in_every_hierarchy_and_removed(planned: dict[str, str]) -> None:
    manager.create(planned, Undo())
    try:
        assert all(os.path.isdir(path) for path in planned.values())
    finally:
        removal.remove(planned)
    assert not any(os.path.exists(path) for path in planned.values())


def test_undone_with_its_parents_but_nothing_else(name: str) -> None:
    found = hierarchies.detect()
    planned = paths.plan(found, f"/{name}/a/b/c", "id")
    first = next(iter(planned.values()))
    os.makedirs(os.path.dirname(os.path.dirname(first)))
    with pytest.raises(RuntimeError), Undo() as undo:
        manager.create(planned, undo)
        assert all(os.path.isdir(path) for path in planned.values())
        raise RuntimeError
    assert made(name) == [os.path.dirname(os.path.dirname(first)), f"{first.split(name)[0]}{name}"]
    for path in made(name):
        os.rmdir(path)


def test_a_path_as_deep_as_a_path_can_be(planned: dict[str, str]) -> None:
    """Deeper than Python's stack and the number of descriptors; two hierarchies are enough to see it."""
    deep = {key: path + "/d" * 1200 for key, path in planned.items() if key in ("cpuset", "pids")}
    if not deep:
        pytest.skip("this machine has no v1 hierarchy")
    with pytest.raises(RuntimeError), Undo() as undo:
        manager.create(deep, undo)
        assert all(os.path.isdir(path) for path in deep.values())
        raise RuntimeError


def test_undone_with_children_that_were_made_in_it(planned: dict[str, str]) -> None:
    with pytest.raises(RuntimeError), Undo() as undo:
        manager.create(planned, undo)
        for path in planned.values():
            os.makedirs(f"{path}/child/grandchild")
        raise RuntimeError


def test_a_failure_is_undone_at_once(v1: dict[str, str], planned: dict[str, str], name: str) -> None:
    """Some hierarchies may be writable for an unprivileged runtime and others not; it goes on without any."""
    undo = Undo()
    with pytest.raises(StepError) as caught:
        manager.create({**planned, "absent": "/sys/fs/cgroup/no-such-hierarchy/a"}, undo)
    assert caught.value.errno == 2
    assert made(name) == []
    undo.run()


def test_an_existing_empty_one_is_used_and_survives_failure(planned: dict[str, str]) -> None:
    manager.create(planned, Undo())
    with pytest.raises(RuntimeError), Undo() as undo:
        manager.create(planned, undo)
        raise RuntimeError
    assert all(os.path.isdir(path) for path in planned.values())
    removal.remove(planned)


@pytest.mark.parametrize("below", ["", "/child"])
def test_one_with_processes_is_refused(planned: dict[str, str], sleeper: Callable[[], int], below: str) -> None:
    """In any of the hierarchies, also in a child."""
    for path in dict.fromkeys(planned.values()):
        os.makedirs(f"{path}{below}", exist_ok=True)
        if path == planned.get("cpuset") and below:
            continue  # children of a cpuset take no process before they are set up
        if path == planned.get("cpuset"):
            manager.create({"cpuset": path}, Undo())
        process = sleeper()
        with open(f"{path}{below}/cgroup.procs", "w") as file:
            file.write(str(process))
        with pytest.raises(StepError, match=r"^container's cgroup is not empty: 1 process\(es\) found$") as caught:
            manager.create(planned, Undo())
        assert (caught.value.pointer, caught.value.hint) == ("/linux/cgroupsPath", path)
        os.kill(process, 9)
        assert removal.wait_empty({"": path}, 5)
    removal.remove(planned)


def test_a_frozen_one_is_refused(planned: dict[str, str], in_v2: InV2) -> None:
    def refused(planned: dict[str, str]) -> None:
        manager.create(planned, Undo())
        path, file, text = (
            (planned["freezer"], "freezer.state", "FROZEN")
            if "freezer" in planned
            else (planned[""], "cgroup.freeze", "1")
        )
        with open(f"{path}/{file}", "w") as opened:
            opened.write(text)
        assert processes.is_frozen(planned)
        with pytest.raises(StepError, match=r"^container's cgroup unexpectedly frozen$"):
            manager.create(planned, Undo())
        processes.thaw(planned)
        assert not processes.is_frozen(planned)
        removal.remove(planned)

    refused(planned)
    in_v2(refused)


def test_cpuset_is_filled_from_above(name: str, v1: dict[str, str]) -> None:
    if "cpuset" not in v1:
        pytest.skip("this machine has no v1 cpuset hierarchy")
    top = os.path.dirname(v1["cpuset"])
    planned = {"cpuset": f"{v1['cpuset']}/a/b"}
    with pytest.raises(RuntimeError), Undo() as undo:
        manager.create(planned, undo)
        for path in (v1["cpuset"], f"{v1['cpuset']}/a", planned["cpuset"]):
            for file in ("cpuset.cpus", "cpuset.mems"):
                assert content(f"{path}/{file}") == content(f"{top}/{file}") != ""
        raise RuntimeError


def test_cpuset_of_a_parent_is_kept(v1: dict[str, str]) -> None:
    if "cpuset" not in v1:
        pytest.skip("this machine has no v1 cpuset hierarchy")
    os.mkdir(v1["cpuset"])
    with open(f"{v1['cpuset']}/cpuset.cpus", "w") as opened:
        opened.write("0")
    planned = {"cpuset": f"{v1['cpuset']}/a/b"}
    manager.create(planned, Undo())
    assert content(f"{planned['cpuset']}/cpuset.cpus") == content(f"{v1['cpuset']}/cpuset.cpus") == "0"
    assert content(f"{planned['cpuset']}/cpuset.mems") == content(f"{v1['cpuset']}/cpuset.mems") != ""
    removal.remove(planned)
    os.rmdir(f"{v1['cpuset']}/a")
    os.rmdir(v1["cpuset"])


def test_controllers_are_passed_down_to_the_leaf_only(in_v2: InV2) -> None:
    def body(planned: dict[str, str]) -> None:
        deep = {"": f"{planned['']}/a/b"}
        available = set(content("/sys/fs/cgroup/cgroup.controllers").split())
        before = content("/sys/fs/cgroup/cgroup.subtree_control")
        with Undo() as undo:
            manager.create(deep, undo)
            assert set(content(f"{deep['']}/cgroup.controllers").split()) == available
            assert content(f"{deep['']}/cgroup.subtree_control") == ""
            undo.run()
        for controller in set(content("/sys/fs/cgroup/cgroup.subtree_control").split()) - set(before.split()):
            with open("/sys/fs/cgroup/cgroup.subtree_control", "w") as file:
                file.write(f"-{controller}")

    in_v2(body)


def test_a_controller_that_is_refused_does_not_stop_the_others(in_v2: InV2, sleeper: Callable[[], int]) -> None:
    """A parent that holds a process may pass on no controller of domains (EBUSY), only those that take threads: that is
    for whoever needs them to report."""
    process = sleeper()

    def body(planned: dict[str, str]) -> None:
        os.mkdir(planned[""])
        with open(f"{planned['']}/cgroup.procs", "w") as file:
            file.write(str(process))
        deep = {"": f"{planned['']}/a"}
        with Undo() as undo:
            manager.create(deep, undo)
            with pytest.raises(StepError) as caught:
                limit(deep, {"memory": {"limit": 1 << 24}})
            assert caught.value.pointer == "/linux/resources/memory/limit"
            assert caught.value.hint.startswith("the memory controller is not available here: ")
            if "pids" in Path(planned[""], "cgroup.controllers").read_text().split():
                limit_pids(deep, 5)
                assert Path(deep[""], "pids.max").read_text() == "5\n"
            undo.run()
        os.kill(process, 9)
        assert removal.wait_empty(planned, 5)
        os.rmdir(planned[""])

    in_v2(body)


def test_threaded_neighbourhood(in_v2: InV2) -> None:
    def body(planned: dict[str, str]) -> None:
        os.makedirs(f"{planned['']}/threads")
        with open(f"{planned['']}/threads/cgroup.type", "w") as file:
            file.write("threaded")
        inside = {"": f"{planned['']}/a/b"}
        with (
            pytest.raises(
                StepError, match=r'^cannot enter cgroupv2 ".*/a/b" with domain controllers -- it is in an inv'
            ) as caught,
            Undo() as undo,
        ):
            manager.create(inside, undo, domain_limits=True)
        assert caught.value.hint == "", "the reason is no process, also not those in the root"
        assert not os.path.exists(f"{planned['']}/a")
        with Undo() as undo:
            manager.create(inside, undo)
            assert content(f"{inside['']}/cgroup.type") == content(f"{planned['']}/a/cgroup.type") == "threaded"
            with pytest.raises(StepError, match=r"domain controllers -- it is in threaded mode$"):
                manager.create(inside, Undo(), domain_limits=True)
            undo.run()
        removal.remove(planned)

    in_v2(body)


def test_oom_kills_are_counted(planned: dict[str, str], in_v2: InV2) -> None:
    if "memory" not in planned:
        pytest.skip("this machine has no v1 memory hierarchy")
    manager.create(planned, Undo())
    assert manager.oom_kills(planned) == 0
    with open(f"{planned['memory']}/memory.limit_in_bytes", "w") as file:
        file.write("4M")
    command = f"echo $$ > {planned['memory']}/cgroup.procs; exec \"$0\" -c 'b = bytearray(1 << 27)'"
    done = subprocess.run(["sh", "-c", command, sys.executable], capture_output=True)
    assert done.returncode == -9
    assert manager.oom_kills(planned) == 1
    removal.remove(planned)
    assert manager.oom_kills(planned) == 0
    in_v2(lambda planned: None if manager.oom_kills(planned) == 0 else pytest.fail("counted without a cgroup"))


def test_a_parent_shared_by_two_that_come_and_go(name: str, v1: dict[str, str]) -> None:
    """Each removes the parent that it made when it undoes; the other must not fail by that."""
    children = []
    for number in range(2):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                planned = {"pids": f"{v1['pids']}/shared/parent/{number}"}
                for _ in range(300):
                    with Undo() as undo:
                        manager.create(planned, undo)
                        undo.run()
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    for path in made(name):  # who comes last may find that the other holds the parent
        os.rmdir(path)


class Fault(Exception):
    pass


def steps(planned: dict[str, str], undo: Undo) -> None:
    manager.create(planned, undo)
    if "pids" in planned:
        limit_pids(planned, 10)
    manager.apply_devices(planned, RULES, undo)
    for descriptor in processes.open_tasks(planned):
        os.close(descriptor)


def fail_at_each_call(monkeypatch: pytest.MonkeyPatch, planned: dict[str, str], name: str) -> int:
    """Let the n-th system call fail, for every n; returns how many there are."""
    from pyoci.kernel import bpf

    count = limit = 0

    def counted(function: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **more: object) -> object:
            nonlocal count
            count += 1
            if count == limit:
                raise OSError(5, "Input/output error")
            return function(*args, **more)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(files, "openat2", counted(openat2))
        patch.setattr(pyoci.os, "mkdir", counted(os.mkdir))
        patch.setattr(bpf, "_bpf", counted(bpf._bpf))
        patch.setattr(files.Directory, "write", counted(files.Directory.write))
        patch.setattr(textfile, "read", counted(textfile.read))
        while True:
            count, limit = 0, limit + 1
            before = len(os.listdir("/proc/self/fd"))
            try:
                with Undo() as undo:
                    steps(planned, undo)
                    calls, limit = limit - 1, 0
                    raise Fault
            except Fault:
                assert made(name) == []
                return calls
            except StepError as error:
                assert error.errno == 5 and error.pointer.startswith("/linux/"), error
            assert made(name) == [], f"after call {limit}"
            assert len(os.listdir("/proc/self/fd")) == before, f"after call {limit}"


def test_a_failure_of_any_call_leaves_nothing(
    name: str, planned: dict[str, str], in_v2: InV2, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = {controller: f"{path}/a" for controller, path in planned.items()}
    assert fail_at_each_call(monkeypatch, planned, name) > 2 * len(planned)
    in_v2(lambda planned: None if fail_at_each_call(monkeypatch, planned, name) > 8 else pytest.fail("too few calls"))


class Refusing:
    """A directory whose cgroup.subtree_control refuses one controller, as the kernel does for cpu while real-time
    processes run outside of the root. Not the kernel's own: no cgroup of this machine can be brought to that."""

    def __init__(self, controller: bytes) -> None:
        self.controller = controller
        self.enabled: list[bytes] = []

    def write(self, _file: str, text: bytes) -> None:
        if b"+" + self.controller in text.split():
            raise OSError(EINVAL, os.strerror(EINVAL))
        self.enabled += text.split()


@pytest.mark.parametrize("refused", [b"cpuset", b"cpu", b"io", b"pids", b"none"])
def test_a_refused_controller_keeps_no_other_one_out(refused: bytes) -> None:
    controllers = [b"cpuset", b"cpu", b"io", b"memory", b"pids"]
    directory = Refusing(refused)
    manager._enable(cast(files.Directory, directory), controllers)
    assert directory.enabled == [b"+" + name for name in controllers if name != refused]
