"""podman with its default cgroup manager, systemd: the scope of each container is pyoci's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engines.conftest import STOPPABLE, busybox_tar, run, runtime, wait_ready
from tests.engines.test_podman import needs_no_pids_limit

__all__ = ["busybox_tar", "runtime"]

pytestmark = pytest.mark.booted

Podman = Callable[..., str]


@pytest.fixture
def podman(runtime: str, busybox_tar: Path) -> Iterator[Podman]:
    common = ("podman", "--cgroup-manager", "systemd", "--runtime", runtime)

    def call(*words: str, status: int = 0) -> str:
        return run(*common, *words, status=status).stdout

    call("import", "--quiet", str(busybox_tar), "busybox")
    yield call
    call("rm", "--all", "--force", "--time", "0")
    call("rmi", "--force", "busybox")


def scopes() -> list[str]:
    lines = run("systemctl", "list-units", "--all", "--plain", "--no-legend", "libpod-*.scope").stdout.splitlines()
    return [line.split()[0] for line in lines if "conmon" not in line]


def test_a_container_and_its_scope(podman: Podman) -> None:
    limit = needs_no_pids_limit()
    name = podman("run", "--detach", *limit, "--log-driver", "k8s-file", "busybox", "sh", "-c", STOPPABLE).strip()
    wait_ready("podman", "logs", name)
    assert scopes() == [f"libpod-{name}.scope"]
    pid = podman("inspect", "--format", "{{.State.Pid}}", name).strip()
    with open(f"/proc/{pid}/cgroup") as file:
        assert f"0::/machine.slice/libpod-{name}.scope" in file.read()
    seen = run("systemctl", "show", "-p", "KillSignal,TimeoutStopUSec", f"libpod-{name}.scope").stdout
    assert seen == "TimeoutStopUSec=10s\nKillSignal=15\n"  # which podman asks for by annotations
    assert podman("exec", name, "sh", "-c", "echo in").strip() == "in"
    podman("stop", "--time", "20", name)
    assert podman("inspect", "--format", "{{.State.ExitCode}}", name).strip() == "3"
    podman("rm", name)
    assert scopes() == []
    assert not os.path.exists(f"/sys/fs/cgroup/machine.slice/libpod-{name}.scope")
