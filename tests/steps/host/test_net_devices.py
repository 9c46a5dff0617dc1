"""linux.netDevices, in network namespaces that the test makes: veth pairs are moved into real containers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from pyoci.cli import spec
from pyoci.config.linux import NetDevice
from pyoci.errors import ConfigError, Error
from pyoci.plan import create
from pyoci.steps.host.net_devices import MoveNetDevice
from tests.container.box import Box, Done, until
from tests.isolation import CLONE_NEWNET, CLONE_NEWNS, in_namespace
from tests.plan.configs import USER, around, read
from tests.steps.look import Change, changes, process, user_namespace
from tests.steps.scene import context, runtimes

pytestmark = pytest.mark.root

T = TypeVar("T")
Raw = dict[str, Any]


def ip(*words: str, pid: int | str = "self") -> Any:
    """iproute2's answer, in a process's network namespace."""
    command = ["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-json", *words]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(text) if text.strip() else None


def host() -> None:
    """The "host": a pair of devices, the one up and with addresses of every sort, the other down."""
    ip("link", "add", "v0", "address", "02:00:00:00:00:07", "mtu", "1400", "type", "veth", "peer", "name", "v1")
    ip("addr", "add", "10.1.2.3/24", "broadcast", "10.1.2.255", "dev", "v0")
    ip("addr", "add", "10.9.9.1", "peer", "10.9.9.2", "dev", "v0")
    ip("addr", "add", "10.3.3.3/24", "dev", "v0", "valid_lft", "1000", "preferred_lft", "1000")  # not permanent
    ip("addr", "add", "169.254.1.1/16", "scope", "link", "dev", "v0")
    ip("link", "set", "v0", "up")
    ip("link", "set", "lo", "up")
    ip("addr", "add", "fd00::5/64", "nodad", "dev", "v0")


KEPT = {"10.1.2.3/24", "10.9.9.1/32", "fd00::5/64"}
ALL = KEPT | {"10.3.3.3/24", "169.254.1.1/16"}


def on_host(body: Callable[[], T]) -> T:
    def inside() -> T:
        host()
        return body()

    return in_namespace(inside, CLONE_NEWNS | CLONE_NEWNET)


def devices(pid: int | str = "self") -> dict[str, Raw]:
    """Every device but lo: state, addresses of global or link scope given by hand, MAC, MTU."""
    found = {}
    for one in ip("address", "show", pid=pid):
        addresses = {
            f"{info['local']}/{info['prefixlen']}"
            for info in one["addr_info"]
            if not info["local"].startswith("fe80:")  # made by the kernel
        }
        if one["ifname"] != "lo":
            up = "UP" in one["flags"]
            found[one["ifname"]] = {"up": up, "addresses": addresses, "mac": one["address"], "mtu": one["mtu"]}
            found[one["ifname"]] |= {"peers": {info.get("address") for info in one["addr_info"]} - {None}}
    return found


def net_devices(**names: str) -> Change:
    """netDevices: what each device of the host is to be called."""
    entries = {device: {"name": name} if name else {} for device, name in names.items()}
    return lambda config: config["linux"].update(netDevices=entries)


def created(box: Box, change: Change, **more: Any) -> Raw:
    """A container of the "host", created, looked at and deleted: its devices, and those that the host has left."""
    bundle = box.bundle("exit", "0", change=change)

    def body() -> Raw:
        done = box("create", "--bundle", str(bundle), "a")
        assert (done.returncode, done.stderr) == (0, ""), done
        pid = box.state("a")["pid"]
        found = {"inside": devices(pid), "outside": devices()}
        assert box("delete", "--force", "a").returncode == 0
        return found

    return on_host(body)


@pytest.mark.parametrize("name", ["", "eth0"])
def test_a_device_moves_with_its_addresses(box: Box, name: str) -> None:
    """Those that are permanent and global; with its MAC and MTU, and up."""
    found = created(box, net_devices(v0=name))
    [(called, device)] = found["inside"].items()
    assert called == (name or "v0")
    assert device == {"up": True, "addresses": KEPT, "mac": "02:00:00:00:00:07", "mtu": 1400, "peers": {"10.9.9.2"}}
    assert set(found["outside"]) == {"v1"}


def test_addresses_keep_what_they_were_given(box: Box) -> None:
    """noprefixroute and metric, else there were another route; nodad, else the address could not be used at once."""
    bundle = box.bundle("exit", "0", change=net_devices(v0=""))

    def body() -> dict[str, Raw]:
        ip("addr", "add", "10.7.0.1/24", "dev", "v0", "noprefixroute")
        ip("addr", "add", "10.8.0.1/24", "dev", "v0", "metric", "77")
        done = box("create", "--bundle", str(bundle), "a")
        assert (done.returncode, done.stderr) == (0, ""), done
        [_lo, v0] = ip("address", "show", pid=box.state("a")["pid"])
        routes = {one["dst"]: one.get("metric") for one in ip("route", "show", pid=box.state("a")["pid"])}
        assert box("delete", "--force", "a").returncode == 0
        return {"routes": routes} | {info["local"]: info for info in v0["addr_info"]}

    found = on_host(body)
    assert found["fd00::5"]["nodad"] is found["10.7.0.1"]["noprefixroute"] is True
    assert "10.7.0.0/24" not in found["routes"] and found["routes"]["10.8.0.0/24"] == found["10.8.0.1"]["metric"] == 77


def test_several_and_numbered_by_the_kernel(box: Box) -> None:
    found = created(box, net_devices(v0="net%d", v1="net%d"))
    assert set(found["inside"]) == {"net0", "net1"}
    assert [found["inside"][name]["up"] for name in ("net0", "net1")] == [True, True]
    assert {len(one["addresses"]) for one in found["inside"].values()} == {len(KEPT), 0}


def test_a_container_with_a_user_namespace(box: Box) -> None:
    def owned(config: Raw) -> None:
        config["mounts"] = [one for one in config["mounts"] if one["type"] != "cgroup"]
        config["root"]["readonly"] = False
        for bundle in box.directory.glob("bundle-*"):
            os.chown(bundle / "rootfs", 100000, 100000)

    found = created(box, changes(net_devices(v0="eth0"), user_namespace(), owned))
    assert found["inside"]["eth0"]["addresses"] == KEPT


# -- a namespace that is joined, and failures


def joined(box: Box, change: Change, prepare: Callable[[int], object] = lambda pid: None) -> Raw:
    """The same with a namespace of somebody else's, which lives on: how the command ended, and who has what."""

    def body() -> Raw:
        holder = subprocess.Popen(["unshare", "--net", "sleep", "1000"])
        try:
            own = os.readlink("/proc/self/ns/net")
            until(lambda: os.readlink(f"/proc/{holder.pid}/ns/net") != own, "the holder has its namespace")
            until(lambda: Path(f"/proc/{holder.pid}/comm").read_text() == "sleep\n", "it runs")
            prepare(holder.pid)

            def join(config: Raw) -> None:
                for one in config["linux"]["namespaces"]:
                    if one["type"] == "network":
                        one["path"] = f"/proc/{holder.pid}/ns/net"

            bundle = box.bundle("exit", "0", change=changes(change, join))
            done = box("run", "--bundle", str(bundle), "a")
            return {"done": done, "inside": devices(holder.pid), "outside": devices()}
        finally:
            holder.kill()
            holder.wait()

    return on_host(body)


def test_a_namespace_that_is_joined(box: Box) -> None:
    """It keeps the device when the container has ended: the runtime does not take it back (config-linux.md)."""
    found = joined(box, net_devices(v0="eth0"))
    assert found["done"].returncode == 0
    assert found["inside"]["eth0"]["addresses"] == KEPT


def refused(found: Raw) -> list[str]:
    """The lines of a failure after which the "host" has everything that it had before."""
    done: Done = found["done"]
    assert done.returncode == 1
    v0 = found["outside"]["v0"]
    assert (v0["up"], v0["mac"], v0["mtu"]) == (True, "02:00:00:00:00:07", 1400)
    assert KEPT <= v0["addresses"]
    assert found["outside"]["v1"]["up"] is False
    return done.stderr.splitlines()


def test_a_name_that_is_taken(box: Box) -> None:
    """The device stays where it was, with its addresses, and up."""
    found = joined(box, net_devices(v0="eth0"), lambda pid: ip("link", "add", "eth0", "type", "veth", pid=pid))
    said = refused(found)
    assert "error creating network interfaces: move netDevice v0 to namespace /proc/" in said[0]
    assert "fail to move network device v0 to network namespace: file exists" in said[0]
    assert "  pointer: /linux/netDevices/v0" in said
    assert found["outside"]["v0"]["addresses"] == ALL
    assert os.listdir(box.root) == []


def test_a_failure_later_on_brings_them_back(box: Box) -> None:
    """Both, in a namespace that outlives the container, where they would be lost."""
    found = joined(box, changes(net_devices(v0="eth0", v1="eth1"), process(args=["/no/such/program"])))
    said = refused(found)
    assert "no such file or directory" in said[0]
    assert set(found["outside"]) == {"v0", "v1"} and found["inside"] == {}


def test_a_device_that_does_not_exist(box: Box) -> None:
    said = refused(joined(box, net_devices(eth7="")))
    assert "link not found for interface eth7 on runtime namespace: Link not found" in said[0]
    assert "  pointer: /linux/netDevices/eth7" in said


def test_the_loopback_device_stays(box: Box) -> None:
    """The kernel does not let it go."""
    bundle = box.bundle("exit", "0", change=net_devices(lo=""))

    def body() -> tuple[Done, bool]:
        done = box("run", "--bundle", str(bundle), "a")
        [lo] = ip("link", "show", "lo")
        return done, "UP" in lo["flags"]

    done, up = on_host(body)
    assert done.returncode == 1 and "fail to move network device lo" in done.stderr
    assert up


# -- plans


def test_rootless_is_refused() -> None:
    raw = spec.example(v2=False)
    raw["linux"]["netDevices"] = {"eth0": {}}
    with pytest.raises(ConfigError, match="network devices are not supported for rootless containers") as caught:
        create.make(read(raw), around(raw, host=USER))
    assert caught.value.pointer == "/linux/netDevices"


def test_one_step_each_once_the_process_exists() -> None:
    raw = spec.example(v2=False)
    raw["linux"]["netDevices"] = {"eth0": {}, "eth1": {"name": "e"}}
    steps = [step for step in create.make(read(raw), around(raw)).admit if isinstance(step, MoveNetDevice)]
    assert [step.pointer for step in steps] == ["/linux/netDevices/eth0", "/linux/netDevices/eth1"]
    assert [step.describe() for step in steps] == [
        "move the network device eth0",
        "move the network device eth1, to be called e",
    ]
    assert "pyoci.kernel.links" not in sys.modules or "pyroute2" in sys.modules


def test_without_pyroute2(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a dependency, but the one for this property alone."""
    monkeypatch.setitem(sys.modules, "pyroute2", None)
    monkeypatch.delitem(sys.modules, "pyoci.kernel.links", raising=False)
    step = MoveNetDevice(pointer="/linux/netDevices/e", device=NetDevice(pointer="", device="e"))
    with pytest.raises(Error, match=r"linux.netDevices needs the Python package pyroute2") as caught:
        step.execute(runtimes(context()))
    assert "python3-pyroute2" in caught.value.hint
