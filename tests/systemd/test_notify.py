"""A service of Type=notify with a watchdog whose program is in a container: systemd hears it as long as it runs."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.container.streams.test_notify import SOURCE
from tests.systemd.conftest import Scopes

pytestmark = pytest.mark.booted

WATCHDOG = 3  # seconds; the program speaks every second
LIMIT = 60


@pytest.fixture(scope="module")
def notifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("notifier") / "notifier"
    subprocess.run(["gcc", "-static", "-O1", "-x", "c", "-o", str(program), "-"], input=SOURCE.encode(), check=True)
    return program


def service(scopes: Scopes, notifier: Path, *messages: str) -> subprocess.CompletedProcess[str]:
    """A service that is a container in the foreground; what systemd-run says when it has ended."""

    def change(config: dict[str, Any]) -> None:
        config["process"]["args"] = ["/notifier", *messages]
        config["mounts"].append({"destination": "/notifier", "source": str(notifier), "options": ["bind"]})

    bundle = scopes.bundle(change=change)
    command = ["systemd-run", "--wait", "--collect", f"--unit={scopes.mark}.service"]
    command += ["-p", "Type=notify", "-p", f"WatchdogSec={WATCHDOG}", "-p", "WatchdogSignal=KILL"]
    command += [scopes.pyoci, "--root", str(scopes.root), "--systemd-cgroup", "run", "-b", bundle, "a"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT)


def test_a_watchdog_is_fed(scopes: Scopes, notifier: Path) -> None:
    """For longer than it waits, and to the end; the main process is the container's."""
    fed = ["-1", "WATCHDOG=1"] * (2 * WATCHDOG)
    done = service(scopes, notifier, "READY=1", *fed, "STOPPING=1")
    assert (done.returncode, "success" in done.stderr) == (0, True), done.stderr


def test_a_watchdog_that_is_not_fed(scopes: Scopes, notifier: Path) -> None:
    """The control of the test above."""
    done = service(scopes, notifier, "READY=1", f"-{3 * WATCHDOG}")
    assert done.returncode != 0 and "watchdog" in done.stderr, done.stderr
    assert scopes("delete", "--force", "a").returncode == 0
