"""podman of an ordinary user, in the booted tree, with both of its cgroup managers."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Iterator

import pytest

from tests.engines.conftest import run

pytestmark = pytest.mark.booted

TESTER = 1000
Podman = Callable[..., str]
NO_LIMIT = ("--pids-limit", "-1", "--network", "none")  # the booted tree lacks the pids controller


@pytest.fixture(params=["systemd", "cgroupfs"])
def podman(request: pytest.FixtureRequest, runtime: str, busybox_tar: pathlib.Path) -> Iterator[Podman]:
    """As the user tester, with a systemd of its own; every container and the image are removed afterwards."""
    if not pathlib.Path("/run/systemd/system").is_dir():
        pytest.skip("needs systemd: tests/lanes/booted pytest -m booted tests/engines")
    run("loginctl", "enable-linger", "tester")
    run("systemctl", "start", f"user@{TESTER}")
    home = pathlib.Path("/home/tester")
    home.mkdir(exist_ok=True)
    os.chown(home, TESTER, TESTER)
    os.chdir(home)
    words = f"setpriv --reuid={TESTER} --regid={TESTER} --init-groups env -i PATH={os.environ['PATH']}"
    user = f"{words} HOME={home} USER=tester XDG_RUNTIME_DIR=/run/user/{TESTER}".split()

    def call(*words: str, status: int = 0) -> str:
        command = (*user, "podman", "--cgroup-manager", request.param, "--runtime", runtime, *words)
        return run(*command, status=status).stdout

    call("import", "--quiet", str(busybox_tar), "busybox")
    yield call
    call("rm", "--all", "--force", "--time", "0")
    call("rmi", "--force", "busybox")


def test_run(podman: Podman) -> None:
    """Status and output come back, and the ranges of /etc/subuid are mapped."""
    script = "cat /proc/self/uid_map; ls -n /dev/null; exit 7"
    seen = podman("run", "--rm", *NO_LIMIT, "busybox", "sh", "-c", script, status=7)
    assert seen.split()[:6] == ["0", str(TESTER), "1", "1", "100000", "65536"]
    assert "crw-rw-rw-" in seen


def test_users(podman: Podman) -> None:
    """Another user with groups, and the user's own id (keep-id), which is not the container's root."""
    other = podman("run", "--rm", *NO_LIMIT, "--user", "7:8", "--group-add", "9", "busybox", "id")
    assert other.split() == ["uid=7", "gid=8", "groups=8,9"]
    own = podman("run", "--rm", *NO_LIMIT, "--userns=keep-id", "busybox", "id", "-u")
    assert own.split() == [str(TESTER)]


def test_life(podman: Podman) -> None:
    podman("run", "--detach", *NO_LIMIT, "--name", "a", "busybox", "sleep", "100")
    assert podman("exec", "--user", "5", "a", "id", "-u").split() == ["5"]
    assert "sleep" in podman("top", "a")
    podman("pause", "a")
    assert podman("inspect", "--format", "{{.State.Status}}", "a").split() == ["paused"]
    podman("unpause", "a")
    podman("kill", "a")
    assert podman("wait", "a").split() == ["137"]
