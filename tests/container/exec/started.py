"""For the tests of exec: a container that runs, and what a process of exec sees in it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests import reporter
from tests.container.box import Box, Done, until

Change = Callable[[dict[str, Any]], object]
Report = dict[str, Any]

# What two processes of one container do not have in common, of a report and of its /proc/self/status.
_OWN = ("pid", "ppid", "pgid", "sid", "fds", "argv", "monotonic", "boottime", "files", "status")
_OWN_OF_STATUS = ("SigQ", "NStgid", "NSpid")


def started(box: Box, change: Change | None = None, *flags: str, id: str = "c") -> Path:
    """Start a container whose program writes /init, its report, and sleeps; its rootfs is writable. The bundle."""

    def writable(config: dict[str, Any]) -> None:
        config["root"]["readonly"] = False
        if change is not None:
            change(config)

    bundle = box.bundle("report-to", "/init", ",", "sleep", change=writable)
    maps = json.loads((bundle / "config.json").read_text())["linux"].get("uidMappings")
    owner = maps[0]["hostID"] if maps else 0
    os.chown(bundle / "rootfs", owner, owner)
    os.chmod(bundle / "rootfs", 0o777)
    done = box("run", "--detach", *flags, "--bundle", str(bundle), id)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return bundle


def report_of_init(bundle: Path) -> Report:
    path = bundle / "rootfs/init"
    until(lambda: path.exists() and path.read_bytes()[-1:] == b"\n", "the first process has told what it sees")
    (found,) = reporter.parse(path.read_bytes())
    return found


def report(done: Done) -> Report:
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    (found,) = reporter.parse(done.stdout.encode("utf-8", "surrogateescape"))
    return found


def seen(box: Box, *flags: str, id: str = "c", **options: Any) -> Report:
    """The report of a process of exec."""
    return report(box("exec", *flags, id, "/reporter", "report", **options))


def common(found: Report) -> Report:
    """The part of a report that is the same for every process of a container that has the same `process`."""
    status = {key: value for key, value in (found["status"] or {}).items() if key not in _OWN_OF_STATUS}
    return {key: value for key, value in found.items() if key not in _OWN} | {"status": status}


def process_file(box: Box, **members: Any) -> str:
    """A process.json; `members` replace what a small one says."""
    process = {"args": ["/reporter", "report"], "cwd": "/", "user": {"uid": 0, "gid": 0}, "env": [], **members}
    path = box.directory / f"process-{next(box.numbers)}.json"
    path.write_text(json.dumps(process))
    return str(path)


def refused(done: Done, text: str) -> None:
    """Exit status 255, nothing on standard output, one error with this text."""
    assert (done.returncode, done.stdout) == (255, ""), done
    first = done.stderr.splitlines()[0]
    assert 'msg="exec failed: ' in first, done.stderr
    assert text in first.replace('\\"', '"'), done.stderr
    assert done.stderr.count("level=error") == 1
    assert "Traceback" not in done.stderr and "internal error" not in done.stderr


def busybox(bundle: Path, *names: str) -> None:
    """Put busybox into the rootfs of a bundle."""
    found = shutil.which("busybox")
    assert found, "install busybox-static"
    (bundle / "rootfs/bin").mkdir(exist_ok=True)
    shutil.copy(found, bundle / "rootfs/bin/busybox")
    for name in names:
        os.symlink("busybox", bundle / "rootfs/bin" / name)
