from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import pytest

import pyoci
from pyoci.config import report
from pyoci.config.mount_options import names
from pyoci.config.schema.documents import DOCUMENTS
from tests.cli.conftest import Run


@pytest.fixture
def features(run_cli: Run) -> dict[str, Any]:
    done = run_cli("features")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith('{\n    "ociVersionMin": "1.0.0",\n')
    assert done.stdout.endswith("\n}\n")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_is_what_the_specification_calls_features(features: dict[str, Any]) -> None:
    assert report.schema_violations(features, "features-schema.json") == []
    assert features["annotations"]["io.github.pyoci.version"] == pyoci.__version__


def test_says_what_engines_decide_by(features: dict[str, Any]) -> None:
    """containerd and CRI-O: recursive read-only mounts and user namespaces."""
    assert "rro" in features["mountOptions"]
    assert features["mountOptions"] == names()
    assert "user" in features["linux"]["namespaces"]
    assert features["linux"]["mountExtensions"]["idmap"]["enabled"] is True


def test_claims_nothing_that_does_not_work(features: dict[str, Any]) -> None:
    linux = features["linux"]
    assert linux["cgroup"] == {"v1": True, "v2": True, "systemd": True, "systemdUser": True, "rdma": True}
    assert linux["netDevices"]["enabled"] is (importlib.util.find_spec("pyroute2") is not None)
    assert features["potentiallyUnsafeConfigAnnotations"] == ["org.systemd.property."]
    assert not any(key.startswith("org.opencontainers.runc") for key in features["annotations"])


def test_capabilities_are_the_kernel_s(features: dict[str, Any]) -> None:
    names = features["linux"]["capabilities"]
    assert names[0] == "CAP_CHOWN"
    assert len(names) == int(Path("/proc/sys/kernel/cap_last_cap").read_text()) + 1


def test_seccomp(features: dict[str, Any]) -> None:
    seccomp = features["linux"]["seccomp"]
    assert seccomp["enabled"] is True
    words = DOCUMENTS["defs-linux.json"]["definitions"]
    assert set(seccomp["actions"]) == set(words["SeccompAction"]["enum"])
    assert set(seccomp["knownFlags"]) == set(words["SeccompFlag"]["enum"])
    newer = tuple(int(part) for part in os.uname().release.split(".")[:2]) >= (5, 19)
    assert ("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" in seccomp["supportedFlags"]) == newer
    assert len(seccomp["operators"]) == 7
    assert {"SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"} <= set(seccomp["archs"])
    assert set(seccomp["supportedFlags"]) <= set(seccomp["knownFlags"])
