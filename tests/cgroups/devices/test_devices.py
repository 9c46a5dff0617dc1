"""Device rules in force: what a process in the cgroup can really make and open, on v1 and v2."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyoci.cgroups import manager, processes, removal
from pyoci.cgroups.devices import devices
from pyoci.cgroups.devices import rules as device_rules
from pyoci.config.resources import DeviceRule
from pyoci.errors import ConfigError, StepError
from pyoci.kernel import bpf, constants
from pyoci.kernel.libc import c_ulong, function
from pyoci.undo import Undo
from tests.cgroups.conftest import mount
from tests.cgroups.devices.reference import Hole, Reference

pytestmark = [pytest.mark.root, pytest.mark.also_guest]

InV2 = Callable[[Callable[[dict[str, str]], None]], None]
Access = tuple[str, int, int, str]

NODES = ((1, 3), (1, 5), (1, 7), (5, 7))
MODES = {"r": os.O_RDONLY, "w": os.O_WRONLY, "rw": os.O_RDWR}
DENY_ALL = (DeviceRule(pointer="/linux/resources/devices/0", allow=False, access="rwm"),)
ALLOW_ALL = (DeviceRule(pointer="/linux/resources/devices/0", allow=True, access="rwm"),)
DEFAULT = DENY_ALL + device_rules.default_rules()

real_rules = st.lists(
    st.builds(
        DeviceRule,
        pointer=st.just("/linux/resources/devices/0"),
        allow=st.booleans(),
        type=st.sampled_from("acc"),
        major=st.sampled_from((-1, 1, 1, 5)),
        minor=st.sampled_from((-1, 3, 5, 7)),
        access=st.sampled_from(("m", "r", "w", "rw", "rwm", "rwm")),
    ),
    max_size=8,
).map(tuple)


def tried(planned: dict[str, str]) -> set[Access]:
    """What a process in the cgroup may do: make a node, open it in each mode."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            function("unshare", c_ulong)(constants.CLONE_NEWNS)
            mount("none", "/", "", constants.MS_REC | constants.MS_PRIVATE)
            mount("none", "/mnt", "tmpfs")
            for major, minor in NODES:
                os.mknod(f"/mnt/{major}:{minor}", 0o20600, os.makedev(major, minor))
            processes.join(planned, os.getpid())
            for major, minor in NODES:
                for letters, mode in MODES.items():
                    if _may(_opening, f"/mnt/{major}:{minor}", mode):
                        os.write(writing, f"c {major} {minor} {letters}\n".encode())
                if _may(os.mknod, f"/mnt/new{major}:{minor}", 0o20600, os.makedev(major, minor)):
                    os.write(writing, f"c {major} {minor} m\n".encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as file:
        lines = file.read().splitlines()
    os.waitpid(child, 0)
    return {(kind, int(major), int(minor), letters) for kind, major, minor, letters in map(str.split, lines)}


def _opening(path: str, mode: int) -> None:
    os.close(os.open(path, mode | os.O_NOCTTY))


def _may(attempt: Callable[..., object], *arguments: object) -> bool:
    try:
        attempt(*arguments)
    except PermissionError:
        return False
    except OSError:  # no driver behind the number: the filter let us through to it
        pass
    return True


def expected(reference: Reference) -> set[Access]:
    every = [("c", major, minor, letters) for major, minor in NODES for letters in (*MODES, "m")]
    return {access for access in every if reference.decides(*access)}


def decides_as_the_reference(planned: dict[str, str]) -> None:
    """Applied one after the other to the same cgroup, whatever state the one before left."""
    manager.create(planned, Undo())

    @given(real_rules)
    @settings(max_examples=30, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def check(rules: tuple[DeviceRule, ...]) -> None:
        try:
            reference = Reference(rules)
        except Hole:
            return
        manager.apply_devices(planned, rules, Undo())
        assert tried(planned) == expected(reference)

    check()
    removal.remove(planned)


def test_v1_decides_as_the_reference(v1: dict[str, str]) -> None:
    decides_as_the_reference({"devices": v1["devices"]})


def test_v2_decides_as_the_reference(in_v2: InV2) -> None:
    in_v2(decides_as_the_reference)


def test_default_list_on_v1(v1: dict[str, str]) -> None:
    manager.create(v1, Undo())
    manager.apply_devices(v1, DEFAULT, Undo())
    with open(f"{v1['devices']}/devices.list") as file:
        lines = [line.strip() for line in file]
    assert lines[:3] == ["c *:* m", "b *:* m", "c 1:3 rwm"] and len(lines) == 11
    removal.remove(v1)


def ids(planned: dict[str, str]) -> list[int]:
    cgroup = os.open(planned[""], os.O_RDONLY)
    try:
        return bpf.attached(cgroup)
    finally:
        os.close(cgroup)


def test_one_program_that_is_replaced(in_v2: InV2) -> None:
    def body(planned: dict[str, str]) -> None:
        manager.create(planned, Undo())
        before = os.listdir("/proc/self/fd")
        manager.apply_devices(planned, DEFAULT, Undo())
        first = ids(planned)
        manager.apply_devices(planned, DENY_ALL, Undo())
        second = ids(planned)
        assert len(first) == len(second) == 1 and first != second
        assert bpf.open_program(first[0]) is None, "the old one is still alive"
        assert tried(planned) == set()
        assert os.listdir("/proc/self/fd") == before
        removal.remove(planned)

    in_v2(body)


def test_no_moment_without_a_filter(in_v2: InV2) -> None:
    """A process that tries all the time never opens what the old rules and the new ones deny, and always opens what
    both allow; that the rules change it sees as well."""

    def body(planned: dict[str, str]) -> None:
        manager.create(planned, Undo())
        manager.apply_devices(planned, DEFAULT, Undo())
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            _try_on(planned, writing)
        os.close(writing)
        assert os.read(reading, 1)
        for number in range(300):
            rules = DEFAULT if number % 2 else (*DEFAULT, *many_rules(number))
            manager.apply_devices(planned, rules, Undo())
        os.kill(child, signal.SIGTERM)
        with open(reading) as file:
            counted = file.read()
        os.waitpid(child, 0)
        denied, allowed, rounds = map(int, counted.split())
        assert (denied, allowed) == (0, rounds)
        assert rounds > 300, "too slow to notice anything"
        removal.remove(planned)

    in_v2(body)


def many_rules(number: int) -> tuple[DeviceRule, ...]:
    return tuple(
        DeviceRule(pointer="", allow=True, type="c", major=1000 + number, minor=minor, access="rwm")
        for minor in range(50)
    )


def _try_on(planned: dict[str, str], report: int) -> None:
    """Until SIGTERM: open a device that is denied (fuse) and one that is allowed (null)."""
    denied = allowed = rounds = 0
    end = False

    def stop(_number: int, _frame: object) -> None:
        nonlocal end
        end = True

    try:
        signal.signal(signal.SIGTERM, stop)
        function("unshare", c_ulong)(constants.CLONE_NEWNS)
        mount("none", "/", "", constants.MS_REC | constants.MS_PRIVATE)
        mount("none", "/mnt", "tmpfs")
        os.mknod("/mnt/denied", 0o20600, os.makedev(10, 229))
        os.mknod("/mnt/allowed", 0o20600, os.makedev(1, 3))
        processes.join(planned, os.getpid())
        os.write(report, b" ")
        while not end:
            denied += _may(_opening, "/mnt/denied", os.O_RDWR)
            allowed += _may(_opening, "/mnt/allowed", os.O_RDWR)
            rounds += 1
        os.write(report, f"{denied} {allowed} {rounds}\n".encode())
    finally:
        os._exit(0)


@pytest.mark.parametrize("old", [0, 2, 3])
def test_any_number_of_old_programs(in_v2: InV2, old: int) -> None:
    """Several are AND-ed by the kernel: all of them have to go."""

    def body(planned: dict[str, str]) -> None:
        manager.create(planned, Undo())
        cgroup = os.open(planned[""], os.O_RDONLY)
        for _ in range(old):
            program = bpf.load_device_program(b"\xb7\0\0\0\0\0\0\0\x95\0\0\0\0\0\0\0")
            bpf.attach(cgroup, program)
            os.close(program)
        os.close(cgroup)
        assert len(ids(planned)) == old
        manager.apply_devices(planned, DEFAULT, Undo())
        assert len(ids(planned)) == 1
        assert ("c", 1, 3, "rw") in tried(planned)
        removal.remove(planned)

    in_v2(body)


def test_everything_allowed_needs_no_program(in_v2: InV2) -> None:
    def body(planned: dict[str, str]) -> None:
        manager.create(planned, Undo())
        manager.apply_devices(planned, ALLOW_ALL, Undo())
        assert ids(planned) == []
        manager.apply_devices(planned, DENY_ALL, Undo())
        manager.apply_devices(planned, ALLOW_ALL, Undo())
        assert len(ids(planned)) == 1
        assert len(tried(planned)) == len(NODES) * 4
        removal.remove(planned)

    in_v2(body)


def test_undone_where_the_cgroup_stays(in_v2: InV2) -> None:
    def body(planned: dict[str, str]) -> None:
        manager.create(planned, Undo())
        with Undo() as undo:
            manager.apply_devices(planned, DEFAULT, undo)
            assert len(ids(planned)) == 1
            undo.run()
        assert ids(planned) == []
        removal.remove(planned)

    in_v2(body)


NO_CAPABILITY = """
import os, sys
from pyoci.cgroups import manager
from pyoci.config.resources import DeviceRule
from pyoci.errors import StepError
from pyoci.kernel import libc
from pyoci.undo import Undo

planned, userns, allow = eval(sys.argv[1])
if userns:
    libc.function("unshare", libc.c_ulong)(0x10000000)
else:
    os.setresuid(65534, 65534, 65534)
rules = (DeviceRule(pointer="", allow=allow, access="rwm"),)
try:
    manager.apply_devices(planned, rules, Undo())
    print("ignored")
except StepError as error:
    print("fatal", error.errno, error.call.split("(")[0])
"""


@pytest.fixture
def for_anybody(tmp_path: Path) -> dict[str, str]:
    """The environment of a user who imports pyoci from a copy: a checkout below /root is closed to others."""
    shutil.copytree(Path(manager.__file__).parents[1], tmp_path / "pyoci", ignore=shutil.ignore_patterns("__pycache__"))
    return {"PYTHONPATH": str(tmp_path)}


@pytest.mark.parametrize(
    ("userns", "allow", "verdict"),
    [(False, False, "fatal 1 bpf"), (False, True, "ignored"), (True, False, "ignored"), (True, True, "ignored")],
)
def test_v2_without_the_capability(
    in_v2: InV2, for_anybody: dict[str, str], userns: bool, allow: bool, verdict: str
) -> None:
    """Fatal in the initial user namespace if anything is denied; in a user namespace it cannot be had."""

    def body(planned: dict[str, str]) -> None:
        manager.create(planned, Undo())
        command = [sys.executable, "-P", "-c", NO_CAPABILITY, repr((planned, userns, allow))]
        done = subprocess.run(command, capture_output=True, text=True, env=for_anybody)
        assert done.stdout.strip() == verdict, done.stderr
        assert ids(planned) == []
        removal.remove(planned)

    in_v2(body)


@pytest.mark.parametrize(("userns", "verdict"), [(False, "fatal 13 "), (True, "ignored")])
def test_v1_without_the_capability(v1: dict[str, str], for_anybody: dict[str, str], userns: bool, verdict: str) -> None:
    planned = {"devices": v1["devices"]}
    manager.create(planned, Undo())
    command = [sys.executable, "-P", "-c", NO_CAPABILITY, repr((planned, userns, False))]
    done = subprocess.run(command, capture_output=True, text=True, env=for_anybody)
    assert done.stdout.startswith(verdict), (done.stdout, done.stderr)
    removal.remove(planned)


def test_a_v1_parent_that_denies(v1: dict[str, str]) -> None:
    """A cgroup cannot have more than its parent; the error names the rule."""
    parent, child = {"devices": v1["devices"]}, {"devices": f"{v1['devices']}/a"}
    manager.create(parent, Undo())
    manager.apply_devices(parent, DENY_ALL, Undo())
    manager.create(child, Undo())
    rule = DeviceRule(pointer="/linux/resources/devices/1", allow=True, type="c", major=1, minor=3, access="r")
    with pytest.raises(StepError) as caught:
        manager.apply_devices(child, (*DENY_ALL, rule), Undo())
    assert (caught.value.pointer, caught.value.errno) == ("/linux/resources/devices/1", 1)
    assert 'devices.allow", "c 1:3 r")' in caught.value.call
    removal.remove(child)
    removal.remove(parent)


def test_no_hierarchy_for_devices() -> None:
    with pytest.raises(StepError, match=r"^mountpoint for devices not found$"):
        devices.apply({"pids": "/sys/fs/cgroup/pids/x"}, DEFAULT, Undo())


def test_a_hole_is_found_before_anything_is_touched(planned: dict[str, str]) -> None:
    rules = (
        *DENY_ALL,
        DeviceRule(pointer="/1", allow=True, type="c", access="rwm"),
        DeviceRule(pointer="/2", allow=False, type="c", major=1, access="r"),
    )
    with pytest.raises(ConfigError) as caught:
        manager.apply_devices(planned, rules, Undo())
    assert caught.value.pointer == "/2"
