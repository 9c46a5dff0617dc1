"""hostname, domainname, linux.sysctl."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from pyoci.errors import StepError
from pyoci.steps.init.system import SetDomainname, SetHostname, SetSysctl
from tests.container.box import Box
from tests.isolation import CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWUTS, in_namespace
from tests.steps.look import Config, Look
from tests.steps.scene import carry_out, context

pytestmark = pytest.mark.root


@pytest.mark.parametrize("name", ["a", "h" * 64, "name.with.dots", "späß"])
def test_names(name: str) -> None:
    def body() -> tuple[str, str]:
        carry_out(context(), SetHostname(name=name), SetDomainname(name=name[::-1]))
        return Path("/proc/sys/kernel/hostname").read_text(), Path("/proc/sys/kernel/domainname").read_text()

    assert in_namespace(body, CLONE_NEWUTS) == (name + "\n", name[::-1] + "\n")
    assert socket.gethostname() != name


def test_a_name_that_is_too_long() -> None:
    with pytest.raises(StepError) as caught:
        in_namespace(lambda: carry_out(context(), SetHostname(name="h" * 65)), CLONE_NEWUTS)
    assert caught.value.pointer == "/hostname"
    assert caught.value.call.startswith("sethostname(")


def sysctl(key: str, value: str) -> SetSysctl:
    return SetSysctl(pointer=f"/linux/sysctl/{key}", key=key, value=value)


def test_parameters() -> None:
    def body() -> list[str]:
        wanted = {"net/ipv4/ip_forward": "1", "kernel/shmmax": "1048576", "fs/mqueue/msg_max": "16"}
        wanted["net/ipv4/ping_group_range"] = "5 9"
        carry_out(context(), *(sysctl(key, value) for key, value in wanted.items()))
        return [" ".join(Path(f"/proc/sys/{key}").read_text().split()) for key in wanted]

    found = in_namespace(body, CLONE_NEWNET | CLONE_NEWIPC)
    assert found == ["1", "1048576", "16", "5 9"]


@pytest.mark.parametrize(
    ("key", "value"), [("net/ipv4/none", "1"), ("net/ipv4/ip_forward", "word"), ("../../tmp/x", "1")]
)
def test_what_cannot_be_set(key: str, value: str) -> None:
    with pytest.raises(StepError) as caught:
        in_namespace(lambda: carry_out(context(), sysctl(key, value)), CLONE_NEWNET)
    assert caught.value.pointer == f"/linux/sysctl/{key}"
    told = "the kernel has no parameter net.ipv4.none, or not in this namespace"
    assert caught.value.hint == (told if key.endswith("none") else "")


def test_a_container_with_all_of_it(look: Look) -> None:
    """Also where /proc/sys of the container is read-only."""

    def change(config: Config) -> None:
        config.update(hostname="h" * 64, domainname="example.org")
        config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}

    seen = look(change, "/proc/sys")
    assert (seen["hostname"], seen["domainname"]) == ("h" * 64, "example.org")
    assert seen["files"]["/proc/sys"]["mount_flags"] & 1


def test_parameters_of_a_container(box: Box) -> None:
    """In its own namespaces, and not in the runtime's."""
    wanted = {"net.ipv4.ip_default_ttl": "77", "kernel.msgmnb": "4096"}
    files = [f"/proc/sys/{key.replace('.', '/')}" for key in wanted]
    before = [Path(file).read_text() for file in files]
    bundle = box.bundle("sleep", change=lambda config: config["linux"].update(sysctl=wanted))
    assert box("run", "--detach", "--bundle", str(bundle), "a").stderr == ""
    enter = ["nsenter", "--target", str(box.state("a")["pid"]), "--net", "--ipc"]
    found = subprocess.run([*enter, "cat", *files], capture_output=True, text=True, check=True).stdout
    assert found.split() == list(wanted.values())
    assert [Path(file).read_text() for file in files] == before
