"""podman with its default cgroup manager, systemd: the scope of each container is pyoci's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engines.conftest import STOPPABLE, busybox_tar, run, runtime, wait_ready
from tests.engines.test_podman import needs_no_pids_limit
from tests.systemd.conftest import TESTER

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


def test_of_a_user(runtime: str, busybox_tar: Path, users_systemd: None) -> None:
    """podman in a user namespace of its own, where pyoci runs as root of that: the user's systemd is asked."""
    busybox_tar.parent.chmod(0o755)
    busybox_tar.chmod(0o644)
    user: tuple[str, ...] = (
        "setpriv",
        f"--reuid={TESTER}",
        f"--regid={TESTER}",
        "--init-groups",
        "env",
        "-i",
        "HOME=/home/tester",
    )
    user = (*user, f"PATH={os.environ['PATH']}", f"XDG_RUNTIME_DIR=/run/user/{TESTER}")
    podman = (*user, "podman", "--log-level", "error", "--cgroup-manager", "systemd", "--runtime", runtime)
    run(*podman, "import", "--quiet", str(busybox_tar), "busybox")
    limit = [*needs_no_pids_limit(), "--network", "none", "--log-driver", "k8s-file"]
    name = run(*podman, "run", "--detach", *limit, "busybox", "sh", "-c", STOPPABLE).stdout.strip()
    wait_ready(*podman, "logs", name)
    pid = run(*podman, "inspect", "--format", "{{.State.Pid}}", name).stdout.strip()
    with open(f"/proc/{pid}/cgroup") as file:
        assert f"user@{TESTER}.service/user.slice/libpod-{name}.scope\n" in file.read()
    run(*podman, "rm", "--force", "--time", "0", name)
    left = run(*user, "systemctl", "--user", "list-units", "--all", "--plain", "--no-legend", "libpod-*").stdout
    assert f"libpod-{name}.scope" not in left  # conmon's own is podman's, and may take a moment longer
    run(*podman, "rmi", "--force", "busybox")
