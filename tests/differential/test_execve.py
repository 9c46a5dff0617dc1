"""A program that cannot begin, and signals while one runs: `run` in the foreground ends and speaks as runc's does."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyoci.cli import spec
from tests import reporter
from tests.container.box import until
from tests.differential import run
from tests.differential.test_runc import id, runc

pytestmark = pytest.mark.root
__all__ = ["id", "runc"]

Change = Callable[[dict[str, Any], Path], object]


def file(content: bytes) -> Change:
    def change(config: dict[str, Any], rootfs: Path) -> None:
        config["process"]["args"] = ["/program"]
        (rootfs / "program").write_bytes(content)
        (rootfs / "program").chmod(0o755)

    return change


def filter(action: str, errno: int | None = None) -> Change:
    def change(config: dict[str, Any], rootfs: Path) -> None:
        rule = {"names": ["execve"], "action": action, **({"errnoRet": errno} if errno else {})}
        config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}

    return change


def hook(config: dict[str, Any], rootfs: Path) -> None:
    config["hooks"] = {"startContainer": [{"path": "/reporter", "args": ["reporter", "die", "31"]}]}


CASES: dict[str, Change] = {
    "loader": file(Path("/usr/bin/env").read_bytes()),
    "interpreter": file(b"#!/none\n"),
    "format": file(b"echo\n"),
    "empty": file(b""),
    "killed": filter("SCMP_ACT_KILL_PROCESS"),
    "EPERM": filter("SCMP_ACT_ERRNO"),
    "ENOENT": filter("SCMP_ACT_ERRNO", 2),
    "startContainer": hook,
}


def bundle(directory: Path, id: str, change: Change) -> Path:
    path = directory / "bundle"
    (path / "rootfs").mkdir(parents=True)
    shutil.copy(reporter.build(), path / "rootfs/reporter")
    config = spec.example(v2=False)
    config["process"].update(terminal=False, args=["/reporter", "exit", "0"])
    config["linux"]["cgroupsPath"] = f"/{id}"
    change(config, path / "rootfs")
    (path / "config.json").write_text(json.dumps(config))
    return path


def ended(runtime: str, directory: Path, id: str, change: Change) -> tuple[int, str]:
    """Status, and the first line of what was said from `exec` or `error` on."""
    path = bundle(directory, id, change)
    done = subprocess.run(
        [runtime, "--root", str(directory / "root"), "run", "--bundle", str(path), id],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    run.remove_cgroups(id)
    line = (done.stderr.splitlines() or [""])[0].rstrip('"')
    starts = [at for at in (line.find("exec /"), line.find("error running")) if at >= 0]
    return done.returncode, line[min(starts) :].strip() if starts else ""


@pytest.mark.parametrize("name", CASES)
def test_a_program_that_cannot_begin(name: str, runc: str, pyoci: str, id: str, tmp_path: Path) -> None:
    ours = ended(pyoci, tmp_path / "ours", f"{id}-ours", CASES[name])
    theirs = ended(runc, tmp_path / "theirs", f"{id}-theirs", CASES[name])
    assert ours == theirs and ours[0] != 0


SENT = (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGPIPE, signal.SIGURG, signal.SIGWINCH, signal.SIGUSR2)
TRAPS = "; ".join(f'trap "echo {number.name} >>/told" {number.name[3:]}' for number in SENT)
SCRIPT = f'{TRAPS}; trap "exit 7" TERM; echo ready >>/told; while :; do sleep 0.05; done'


def shell(config: dict[str, Any], rootfs: Path) -> None:
    config["root"]["readonly"] = False
    config["process"].update(args=["/busybox", "sh", "-c", SCRIPT])
    found = shutil.which("busybox")
    assert found, "install busybox-static"
    shutil.copy(found, rootfs / "busybox")
    rootfs.chmod(0o777)


def told(runtime: str, directory: Path, id: str) -> tuple[int, list[str]]:
    """What the program is told of the signals that are sent to `run`."""
    path = bundle(directory, id, shell)
    command = [runtime, "--root", str(directory / "root"), "run", "--bundle", str(path), id]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, process_group=0)
    log = path / "rootfs/told"
    until(lambda: log.exists() and "ready" in log.read_text(), "the program has its traps")
    for number in SENT:
        os.kill(process.pid, number)
        time.sleep(0.3)  # of those that arrive each is seen on its own; two runtimes have the same time
    os.kill(process.pid, signal.SIGTERM)
    status = process.wait(60)
    run.remove_cgroups(id)
    return status, log.read_text().split()


def test_signals(runc: str, pyoci: str, id: str, tmp_path: Path) -> None:
    ours = told(pyoci, tmp_path / "ours", f"{id}-ours")
    assert ours == told(runc, tmp_path / "theirs", f"{id}-theirs")
    assert ours == (7, ["ready", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGPIPE", "SIGUSR2"])
