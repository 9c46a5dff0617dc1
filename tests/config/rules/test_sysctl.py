"""linux.sysctl: only keys of the container's own namespaces. A key of the host would change every container."""

from __future__ import annotations

from typing import Any

import pytest

from pyoci import config
from pyoci.config.rules import rules
from tests.config.rules.cases import MAP

CONFLICT = 'sysctl "kernel.hostname" is not allowed as it conflicts with the OCI "hostname" field'
SYSCTLS = [
    # key, what it needs, the message without that
    ("kernel.shmmax", "ipc", 'sysctl "kernel.shmmax" is not allowed in the hosts ipc namespace'),
    ("kernel/shm_rmid_forced", "ipc", 'sysctl "kernel.shm_rmid_forced" is not allowed in the hosts ipc namespace'),
    ("fs.mqueue.msg_max", "ipc", 'sysctl "fs.mqueue.msg_max" is not allowed in the hosts ipc namespace'),
    ("net.core.somaxconn", "network", 'sysctl "net.core.somaxconn" not allowed in host network namespace'),
    (
        "net/ipv4/conf/eth0.1/mtu",
        "network",
        'sysctl "net.ipv4.conf.eth0/1.mtu" not allowed in host network namespace',
    ),
    ("kernel.domainname", "uts", 'sysctl "kernel.domainname" is not in a separate kernel namespace'),
    (
        "user.max_user_namespaces",
        "user",
        "setting ucounts without a user namespace not allowed: user.max_user_namespaces",
    ),
]


def sysctl(key: str, *left_out: str) -> list[str]:
    present = [entry for entry in ("ipc", "network", "uts", "user", "mount") if entry not in left_out]
    raw: dict[str, Any] = {
        "root": {"path": "r"},
        "linux": {"namespaces": [{"type": type} for type in present], "sysctl": {key: "1"}},
    }
    if "user" in present:
        raw["linux"] |= {"uidMappings": MAP, "gidMappings": MAP}
    return [error.message for error in rules.violations(config.read(raw))]


@pytest.mark.parametrize(("key", "type", "message"), SYSCTLS)
def test_sysctl_needs_its_namespace(key: str, type: str, message: str) -> None:
    assert sysctl(key) == []
    assert sysctl(key, type) == [message]


@pytest.mark.parametrize(
    "key",
    [
        "kernel.core_pattern",
        "kernel/core_pattern",
        "vm.overcommit_memory",
        "fs.mqueue",
        "net",
        "netfilter.x",
        "kernel.shmmaxx",
        "/net/ipv4/ip_forward",
        "",
    ],
)
def test_sysctl_of_the_host(key: str) -> None:
    assert len(sysctl(key)) == 1


@pytest.mark.parametrize(
    "key",
    [
        "net/../kernel/core_pattern",
        "net/./x",
        "net//x",
        "net/",
        "net./../kernel.core_pattern",
        "net.//.kernel.core_pattern",
        "net.ipv4.",
        "fs.mqueue./../../kernel/core_pattern",
        "net/ipv4\n/x",
        "net/\x7f",
        "user/../kernel/core_pattern",
    ],
)
def test_sysctl_that_leaves_its_directory(key: str) -> None:
    message = sysctl(key)
    assert len(message) == 1
    assert message[0].endswith("is not a valid key")
    assert "\n" not in message[0]


def test_hostname_has_a_field_of_its_own() -> None:
    assert sysctl("kernel.hostname") == [CONFLICT]
    assert sysctl("kernel.hostname", "uts") == ['sysctl "kernel.hostname" is not in a separate kernel namespace']
