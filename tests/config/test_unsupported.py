"""What is read but not carried out is an error that names its pointer; what changes nothing passes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pyoci import config
from pyoci.config import unsupported
from pyoci.errors import UnsupportedError
from tests.config.rule_cases import changed

ONE = [
    ("linux.seccomp", {"defaultAction": "SCMP_ACT_LOG", "listenerPath": "/s"}, "/linux/seccomp/listenerPath"),
    (
        "linux.seccomp",
        {"defaultAction": "SCMP_ACT_LOG", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_NOTIFY"}]},
        "/linux/seccomp/syscalls/0/action",
    ),
]


@pytest.mark.parametrize(("path", "value", "pointer"), ONE)
def test_unsupported(path: str, value: Any, pointer: str) -> None:
    found = config.read(changed((path, value)))
    assert list(unsupported.unsupported(found)) == [pointer]
    with pytest.raises(UnsupportedError) as caught:
        unsupported.check(found)
    assert caught.value.pointer == pointer
    assert caught.value.message == f"{pointer[1:].replace('/', '.')} is not supported yet"
    assert caught.value.hint


def test_supported() -> None:
    affinity = ("process.execCPUAffinity", {"initial": "0"})
    seccomp = ("linux.seccomp", {"defaultAction": "SCMP_ACT_LOG"})
    for raw in (changed(), changed(affinity, seccomp), {}):
        unsupported.check(config.read(raw))


def test_default_configs_of_engines_are_supported() -> None:
    for name in ("docker-default", "podman-default", "containerd-ctr-default", "runc-spec", "crun-spec"):
        path = Path(__file__).parent / "corpus" / f"{name}.json"
        unsupported.check(config.read(json.loads(path.read_text())))
