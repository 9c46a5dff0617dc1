"""What to write instead of a value that breaks the schema: in `validate`, and in the hint of create's error."""

from __future__ import annotations

from typing import Any

import pytest

from pyoci.config import loader, report
from pyoci.config.rules.rule import NO_ID
from pyoci.errors import ConfigError

MINIMAL: dict[str, Any] = {"ociVersion": "1.3.0", "root": {"path": "rootfs"}}


def linux(**members: Any) -> dict[str, Any]:
    return {**MINIMAL, "linux": members}


def process(**members: Any) -> dict[str, Any]:
    return {**MINIMAL, "process": {"cwd": "/", "args": ["sh"], **members}}


def user(**ids: Any) -> dict[str, Any]:
    return process(user={"uid": 0, "gid": 0, **ids})


def rlimit(type: str) -> dict[str, Any]:
    return process(rlimits=[{"type": type, "soft": 1, "hard": 1}])


def profile(**members: Any) -> dict[str, Any]:
    return linux(seccomp={"defaultAction": "SCMP_ACT_ALLOW", **members})


def pages(size: str) -> dict[str, Any]:
    return linux(resources={"hugepageLimits": [{"pageSize": size, "limit": 1}]})


def memory(value: Any) -> dict[str, Any]:
    return linux(resources={"memory": {"limit": value}})


@pytest.mark.parametrize(
    ("raw", "hint"),
    [
        (linux(namespaces=[{"type": "net"}]), "did you mean 'network'?"),
        (linux(namespaces=[{"type": "mnt"}]), "did you mean 'mount'?"),
        (linux(namespaces=[{"type": "cgruop"}]), "did you mean 'cgroup'?"),
        (linux(namespaces=[{"type": "zzz"}]), ""),
        (linux(devices=[{"type": "char", "path": "/dev/x", "major": 1, "minor": 1}]), "did you mean 'c'?"),
        (linux(devices=[{"type": "FIFO", "path": "/dev/x"}]), "did you mean 'p'?"),
        (linux(devices=[{"type": "B", "path": "/dev/x"}]), "did you mean 'b'?"),
        (linux(devices=[{"type": "x", "path": "/dev/x"}]), ""),
        (linux(rootfsPropagation="rslve"), "did you mean 'rslave'?"),
        (profile(defaultAction="ALLOW"), "did you mean 'SCMP_ACT_ALLOW'?"),
        (profile(defaultAction="SCMP_ACT_ERNO"), "did you mean 'SCMP_ACT_ERRNO'?"),
        (profile(architectures=["x86_64"]), "did you mean 'SCMP_ARCH_X86_64'?"),
        (pages("2mb"), "did you mean '2MB'?"),
        (pages("2 MiB"), "did you mean '2MB'?"),
        (pages("large"), ""),
        (pages("kb"), ""),
        (user(uid=-1), NO_ID),
        (user(gid=1 << 32), NO_ID),
        (user(additionalGids=[0, -1]), NO_ID),
        (linux(uidMappings=[{"containerID": -1, "hostID": 0, "size": 1}]), ""),
        (memory("5"), "write 5, without quotes"),
        (memory(5.0), "write 5: only a number without fraction and exponent is a whole one"),
        (memory(5.5), ""),
        (memory("512m"), "write the number of bytes: there are no units"),
        (memory("max"), "write -1 for no limit where there is one, or leave it out"),
        (memory("0x10"), "write the number in decimal, without quotes"),
        (process(terminal="False"), "write false, without quotes"),
        (process(terminal=1), "write true"),
        (process(terminal="no"), ""),
        (process(args="sh"), "write a list, in square brackets"),
        (process(args=["sleep", 5]), 'write "5", in quotes'),
        (process(env=["A=1", True]), 'write "true", in quotes'),
        (process(user={"uid": "root", "gid": 0}), "write the number: names are not looked up"),
        (process(user={"uid": 0, "gid": " 5"}), "write 5, without quotes"),
        ({**MINIMAL, "mounts": [{}]}, "it is the place of the mount, a path in the container that begins with /"),
        ({**MINIMAL, "root": {}}, ""),
    ],
)
def test_hint(raw: dict[str, Any], hint: str) -> None:
    (violation,) = report.schema_violations(raw)
    assert violation.hint == hint
    with pytest.raises(ConfigError) as caught:
        loader.check(raw)
    assert caught.value.hint == hint
