"""Namespaces of every type, new and joined by path."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pyoci import config
from pyoci.kernel import namespace, prctl
from pyoci.steps.host.namespaces import OpenNamespace
from pyoci.steps.init.namespaces import BecomeRoot, JoinNamespace, JoinNamespaces, LoopbackUp, Unshare
from tests.container.box import Box
from tests.isolation import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWTIME,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    in_namespace,
)
from tests.steps.look import Config, Look, changes
from tests.steps.scene import carry_out, context

pytestmark = pytest.mark.root

FILES = {"pid": "pid", "network": "net", "mount": "mnt", "ipc": "ipc", "uts": "uts", "user": "user"}
FILES |= {"cgroup": "cgroup", "time": "time"}
FLAGS = {"pid": CLONE_NEWPID, "network": CLONE_NEWNET, "mount": CLONE_NEWNS, "ipc": CLONE_NEWIPC, "uts": CLONE_NEWUTS}
FLAGS |= {"cgroup": CLONE_NEWCGROUP, "time": CLONE_NEWTIME, "user": CLONE_NEWUSER}
MAPPINGS = [{"containerID": 0, "hostID": 100000, "size": 65536}]


class Holder:
    """A process that lives in new namespaces, so that they can be joined by path."""

    def __init__(self, flags: int, id_map: str = "0 100000 65536\n") -> None:
        ready, go = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                if flags & CLONE_NEWUSER:
                    namespace.unshare(CLONE_NEWUSER)
                    os.write(ready[1], b"u")
                    os.read(go[0], 1)
                    os.setresgid(0, 0, 0)
                    os.setresuid(0, 0, 0)
                namespace.unshare(flags & ~CLONE_NEWUSER)
                self._stay(ready[1], flags)
            finally:
                os._exit(1)
        if flags & CLONE_NEWUSER:
            os.read(ready[0], 1)
            for kind in ("uid", "gid"):
                Path(f"/proc/{self.pid}/{kind}_map").write_text(id_map)
            os.write(go[1], b"x")
        self.member = int(os.read(ready[0], 20))
        for descriptor in (*ready, *go):
            os.close(descriptor)

    def _stay(self, ready: int, flags: int) -> None:
        child = os.fork()  # the first process of the pid and time namespaces
        if child == 0:
            if flags & CLONE_NEWUTS:
                socket.sethostname("held")
            while True:
                signal.pause()
        os.write(ready, b"%d" % child)
        while True:
            signal.pause()

    def path(self, type: str) -> str:
        return f"/proc/{self.member}/ns/{FILES[type]}"

    def inode(self, type: str) -> str:
        return os.readlink(self.path(type))

    def end(self) -> None:
        os.kill(self.member, signal.SIGKILL)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


Hold = Callable[..., Holder]


@pytest.fixture
def hold() -> Iterator[Hold]:
    made: list[Holder] = []

    def holder(*types: str, **more: Any) -> Holder:
        made.append(Holder(sum(FLAGS[type] for type in types), **more))
        return made[-1]

    yield holder
    for one in made:
        one.end()


def entry(config: Config, type: str, path: str = "") -> None:
    """Replace or add the entry of a type."""
    every = [one for one in config["linux"]["namespaces"] if one["type"] != type]
    config["linux"]["namespaces"] = [*every, {"type": type} | ({"path": path} if path else {})]


def host(type: str) -> str:
    return os.readlink(f"/proc/self/ns/{FILES[type]}")


def in_user_namespace(config: Config) -> None:
    entry(config, "user")
    config["linux"]["uidMappings"] = config["linux"]["gidMappings"] = MAPPINGS
    config["mounts"] = [one for one in config["mounts"] if one["type"] != "cgroup"]


def owned(box: Box) -> Callable[[Config], None]:
    """The root file system belongs to the container's root: the mount points can be made."""

    def change(config: Config) -> None:
        bundle = sorted(box.directory.glob("bundle-*"), key=lambda path: path.stat().st_mtime)[-1]
        os.chown(bundle / "rootfs", 100000, 100000)

    return change


# -- new -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("type", ["pid", "network", "ipc", "uts", "cgroup", "time"])
def test_a_new_namespace_is_new_and_the_others_are_the_hosts(look: Look, type: str) -> None:
    """mount is always there in this test; everything else only if it is named."""

    def change(config: Config) -> None:
        config["linux"]["namespaces"] = [{"type": "mount"}, {"type": type}]
        del config["hostname"]
        config["mounts"] = [one for one in config["mounts"] if one["type"] in ("proc", "tmpfs")]

    seen = look(change)["namespaces"]
    for name, file in FILES.items():
        assert (seen[file] != host(name)) is (name in ("mount", type)), name


def test_pid_one_and_its_proc(look: Look) -> None:
    seen = look(None, "/proc")
    assert (seen["pid"], seen["ppid"]) == (1, 0)
    assert [name for name in seen["files"]["/proc"]["entries"] if name.isdigit()] == ["1"]


def test_the_loopback_device_is_up(look: Look) -> None:
    assert look()["interfaces"] == {"lo": True}


@pytest.mark.parametrize("user", [False, True])
@pytest.mark.parametrize(("monotonic", "boottime"), [(86400, 100000), (0, 5)])
def test_clock_offsets(box: Box, look: Look, user: bool, monotonic: int, boottime: int) -> None:
    import time

    def change(config: Config) -> None:
        entry(config, "time")
        config["linux"]["timeOffsets"] = {
            "monotonic": {"secs": monotonic, "nanosecs": 5},
            "boottime": {"secs": boottime},
        }

    before = time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME)
    seen = look(changes(change, in_user_namespace, owned(box)) if user else change)
    after = time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME)
    assert int(before[0]) + monotonic <= seen["monotonic"] <= after[0] + monotonic + 1
    assert int(before[1]) + boottime <= seen["boottime"] <= after[1] + boottime + 1


def test_the_root_of_a_cgroup_namespace_is_the_containers_cgroup(look: Look) -> None:
    seen = look(lambda config: entry(config, "cgroup"))
    assert {line.split(":")[2] for line in seen["cgroup"]} == {"/"}


# -- joined ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("type", ["pid", "network", "ipc", "uts", "cgroup", "time"])
def test_a_joined_namespace(look: Look, hold: Hold, type: str) -> None:
    holder = hold(type)

    def change(config: Config) -> None:
        entry(config, type, holder.path(type))
        if type == "uts":
            del config["hostname"]

    seen = look(change)
    assert seen["namespaces"][FILES[type]] == holder.inode(type)
    if type == "uts":
        assert seen["hostname"] == "held"
    if type == "pid":
        assert seen["pid"] > 1


KEYS = {"network": "net.ipv4.ip_default_ttl", "ipc": "kernel.msgmni", "uts": "kernel.domainname"}


@pytest.mark.parametrize("type", KEYS)
@pytest.mark.parametrize("hosts", [True, False])
def test_kernel_parameters_of_a_joined_namespace(box: Box, hold: Hold, type: str, hosts: bool) -> None:
    """The path may lead to a namespace of the host, whose parameters are not the container's to set."""
    path = f"/proc/{os.getpid()}/ns/{FILES[type]}" if hosts else hold(type).path(type)
    file = Path("/proc/sys", KEYS[type].replace(".", "/"))
    same = file.read_text().strip()  # the host's, which is not changed even if nobody refuses it

    def change(config: Config) -> None:
        entry(config, type, path)
        config["linux"]["sysctl"] = {KEYS[type]: "99" if type == "network" and not hosts else same}
        if type == "uts":
            del config["hostname"]

    before = file.read_text()
    done = box("run", "--bundle", str(box.bundle("exit", "0", change=change)), "a")
    assert file.read_text() == before
    if hosts:
        expected = f'sysctl \\"{KEYS[type]}\\" not allowed in host {type} namespace'
        assert expected in done.stderr.splitlines()[0] and f"  pointer: /linux/sysctl/{KEYS[type]}" in done.stderr
    else:
        assert (done.returncode, done.stderr) == (0, "")


def test_a_joined_mount_namespace(look: Look, hold: Hold) -> None:
    """The root is switched inside it."""
    holder = hold("mount")
    seen = look(lambda config: entry(config, "mount", holder.path("mount")), "/")
    assert seen["namespaces"]["mnt"] == holder.inode("mount")
    assert "reporter" in seen["files"]["/"]["entries"]


def test_all_of_them_at_once(look: Look, hold: Hold) -> None:
    """As the second container of a pod, and more."""
    types = ("pid", "network", "ipc", "uts", "cgroup", "time")
    holder = hold(*types)

    def change(config: Config) -> None:
        for type in types:
            entry(config, type, holder.path(type))
        del config["hostname"]

    seen = look(change)["namespaces"]
    assert {type: seen[FILES[type]] for type in types} == {type: holder.inode(type) for type in types}


def without_proc(config: Config) -> None:
    """What a user namespace may not mount while others are the host's."""
    config["mounts"] = [one for one in config["mounts"] if one["type"] == "tmpfs"]
    config["linux"].update(maskedPaths=[], readonlyPaths=[])


@pytest.mark.parametrize("kind", ["uid", "gid"])
def test_other_mappings_than_the_joined_user_namespace_has(box: Box, hold: Hold, kind: str) -> None:
    holder = hold("user")

    def change(config: Config) -> None:
        entry(config, "user", holder.path("user"))
        config["linux"]["uidMappings"] = config["linux"]["gidMappings"] = MAPPINGS
        config["linux"][f"{kind}Mappings"] = [{"containerID": 0, "hostID": 200000, "size": 65536}]
        config["mounts"] = [one for one in config["mounts"] if one["type"] != "cgroup"]

    done = box("create", "--bundle", str(box.bundle("exit", "0", change=changes(change, owned(box)))), "a")
    assert "both namespace path and non-matching mapping specified" in done.stderr.splitlines()[0]
    assert f"  pointer: /linux/{kind}Mappings" in done.stderr and "the namespace has 0 100000 65536" in done.stderr
    assert os.listdir(box.root) == []


@pytest.mark.parametrize("given", [True, False])
def test_a_joined_user_namespace(box: Box, look: Look, hold: Hold, given: bool) -> None:
    """With and without mappings beside the path; containerd and CRI-O send both."""
    holder = hold("user")

    def change(config: Config) -> None:
        entry(config, "user", holder.path("user"))
        if given:
            config["linux"]["uidMappings"] = config["linux"]["gidMappings"] = MAPPINGS
        config["mounts"] = [one for one in config["mounts"] if one["type"] != "cgroup"]

    seen = look(changes(change, owned(box)))
    assert seen["namespaces"]["user"] == holder.inode("user")
    assert seen["uid_map"] == ["         0     100000      65536"]
    assert seen["uid"] == [0, 0, 0]


def test_a_pod_with_a_user_namespace(box: Box, look: Look, hold: Hold) -> None:
    """Everything belongs to the joined user namespace, so it has to be entered first."""
    types = ("user", "network", "ipc", "uts", "pid")
    holder = hold(*types)

    def change(config: Config) -> None:
        for type in types:
            entry(config, type, holder.path(type))
        del config["hostname"]
        config["mounts"] = [one for one in config["mounts"] if one["type"] != "cgroup"]

    seen = look(changes(change, owned(box)))["namespaces"]
    assert {type: seen[FILES[type]] for type in types} == {type: holder.inode(type) for type in types}


def test_a_new_user_namespace_beside_the_hosts_network(box: Box, look: Look, hold: Hold) -> None:
    """The network namespace belongs to the host, so it has to be joined before."""
    holder = hold("network")

    def change(config: Config) -> None:
        in_user_namespace(config)
        entry(config, "network", holder.path("network"))

    seen = look(changes(change, owned(box)))
    assert seen["namespaces"]["net"] == holder.inode("network")
    assert seen["uid_map"] == ["         0     100000      65536"]


# -- step by step ----------------------------------------------------------------------------------------------------


def spaces(*entries: tuple[str, str]) -> tuple[Any, ...]:
    raw = {"linux": {"namespaces": [{"type": type, "path": path} for type, path in entries]}}
    return config.read(raw).linux.namespaces


def test_the_order_of_joining_depends_on_the_owner(hold: Hold) -> None:
    """From inside a user namespace: its own network by its own right, the order of the entries does not matter."""
    holder = hold("user", "network", "uts")
    expected = {type: holder.inode(type) for type in ("user", "network", "uts")}
    for order in (("network", "user", "uts"), ("user", "uts", "network"), ("uts", "network", "user")):

        def body(order: tuple[str, ...] = order) -> dict[str, str]:
            made = context()
            every = spaces(*((type, holder.path(type)) for type in order))
            carry_out(made, *(OpenNamespace(pointer=one.pointer, namespace=one) for one in every))
            carry_out(made, JoinNamespaces(pointer="/linux/namespaces", namespaces=every))
            return {type: host(type) for type in order}

        assert in_namespace(body, 0) == expected


def test_join_by_the_descriptor_that_was_opened_before(hold: Hold) -> None:
    """Whatever the path names by then."""
    holder = hold("uts")
    [one] = spaces(("uts", holder.path("uts")))
    expected = holder.inode("uts")

    def body() -> bool:
        made = context()
        carry_out(made, OpenNamespace(pointer="/n", namespace=one))
        os.kill(holder.member, signal.SIGKILL)
        carry_out(made, JoinNamespace(pointer="/n", namespace=one))
        return host("uts") == expected

    assert in_namespace(body, 0)


def test_become_root_without_groups() -> None:
    def body() -> tuple[tuple[int, ...], tuple[int, ...], list[int]]:
        os.setgroups([0])
        carry_out(context(), BecomeRoot())
        return os.getresuid(), os.getresgid(), os.getgroups()

    assert in_namespace(body, CLONE_NEWUSER | CLONE_NEWNS) == ((0, 0, 0), (0, 0, 0), [])


def test_become_root_hides_again() -> None:
    """Whatever fs.suid_dumpable says: a change of ids may have made the process dumpable."""

    def body() -> tuple[int, int]:
        prctl.set_dumpable(True)
        prctl.set_parent_death_signal(0)
        carry_out(context(), BecomeRoot())
        signal = ctypes.c_int()
        ctypes.CDLL(None).prctl(2, ctypes.byref(signal), 0, 0, 0)  # PR_GET_PDEATHSIG
        return int(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)), signal.value  # PR_GET_DUMPABLE

    assert in_namespace(body, CLONE_NEWUSER | CLONE_NEWNS) == (0, 9)


def test_unshare_and_loopback() -> None:
    def body() -> list[tuple[int, str]]:
        carry_out(context(), Unshare(kind="network", flag=CLONE_NEWNET), LoopbackUp())
        return [(len(socket.if_nameindex()), socket.if_nameindex()[0][1])]

    assert in_namespace(body) == [(1, "lo")]
