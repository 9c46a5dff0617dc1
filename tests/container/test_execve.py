"""A program that execve(2) does not take: what run, start and exec say of it, with which status, and what is left."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyoci.kernel.libc import MACHINE
from pyoci.seccomp.allowance import NEEDED
from tests.container.box import SOON, Box, Done
from tests.container.exec.started import started
from tests.container.exec.test_merging import only_needed

pytestmark = pytest.mark.root

Config = dict[str, Any]
Make = Callable[[Path], object]
OTHER = {"x86_64": (183, "aarch64")}.get(MACHINE, (62, "x86_64"))
NOT_FOUND, FORMAT = "no such file or directory", "exec format error"


def content(data: bytes) -> Make:
    def make(path: Path) -> None:
        path.write_bytes(data)
        path.chmod(0o755)

    return make


def dynamic(path: Path) -> None:
    """A program of the host, in a rootfs that has no loader for it."""
    shutil.copy("/usr/bin/env", path)


def foreign(path: Path) -> None:
    data = (path.parent / "reporter").read_bytes()
    content(data[:18] + OTHER[0].to_bytes(2, "little") + data[20:])(path)


def sparse(path: Path) -> None:
    content(b"")(path)
    os.truncate(path, 1 << 30)


PROGRAMS: dict[str, tuple[Make, str, str]] = {
    "no loader": (dynamic, NOT_FOUND, r"/program needs the loader (/\S+) \(PT_INTERP\): \1 does not exist"),
    "no interpreter": (
        content(b"#!/none/sh -e\n"),
        NOT_FOUND,
        r"/program is a script for /none/sh \(its #! line\): /none/sh does not exist",
    ),
    "no format": (content(b"echo\n"), FORMAT, "/program has neither an ELF header nor a #! line"),
    "foreign": (foreign, FORMAT, f"/program is for {OTHER[1]}, this machine is {MACHINE}"),
    "cut off": (content(b"\x7fELF\2\1\1"), FORMAT, "/program has an ELF header that ends after 7 bytes"),
    "1 GiB of zeros": (sparse, FORMAT, "/program has neither an ELF header nor a #! line"),
    "loader out of bounds": (
        content(b"\x7fELF\2\1\1".ljust(18, b"\0") + b"\x3e\0".ljust(46, b"\xff") + b"\xff" * 200),
        FORMAT,
        "/program is an ELF file with 65535 program headers of 65535 bytes",
    ),
}


def unfiltered(config: Config) -> None:
    config["linux"].pop("seccomp", None)


def filtered(*names: str) -> Callable[[Config], None]:
    """A filter that kills for any other call."""

    def change(config: Config) -> None:
        rules = [{"names": list(names), "action": "SCMP_ACT_ALLOW"}]
        config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": rules}

    return change


FILTERS = {
    "no filter": unfiltered,
    "next to nothing": filtered("execve", "write", "exit", "exit_group"),
    "what exec needs": filtered(*NEEDED, "clone", "nanosleep", "clock_nanosleep", "pause"),
}


def told(done: Done, first: str, hint: str) -> None:
    """One error with this first line and hint, and no address of the runtime's memory."""
    line, *rest = done.stderr.splitlines()
    assert re.search(rf'level=error msg="({first})"$', line), done.stderr
    hints = [one.removeprefix("  hint: ") for one in rest if one.startswith("  hint: ")]
    assert len(hints) == 1 and re.fullmatch(hint, hints[0]), done.stderr
    assert not re.search("0x[0-9a-f]{8}", done.stderr), done.stderr


@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_of_run_and_of_start(box: Box, name: str, filter: str) -> None:
    make, reason, hint = PROGRAMS[name]

    def change(config: Config) -> None:
        FILTERS[filter](config)
        config["process"]["args"] = ["/program"]

    bundle = box.bundle(change=change)
    make(bundle / "rootfs/program")
    done = box("run", "--bundle", str(bundle), "a", timeout=SOON)
    told(done, f"pyoci run failed: exec /program: {reason}", hint)
    assert done.returncode == 255  # as runc's
    assert box("create", "--bundle", str(bundle), "a").stderr == ""
    done = box("start", "a", timeout=SOON)
    told(done, f"exec /program: {reason}", hint)
    assert (done.returncode, box.status("a")) == (1, "stopped")


@pytest.mark.parametrize("filter", ["no filter", "what exec needs"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_of_exec(box: Box, name: str, filter: str) -> None:
    make, reason, hint = PROGRAMS[name]
    bundle = started(box, _of_reporter if filter != "no filter" else unfiltered)
    make(bundle / "rootfs/program")
    for flags in ([], ["--detach"]):
        done = box("exec", *flags, "c", "/program", timeout=SOON)
        told(done, f"exec failed: unable to start container process: exec /program: {reason}", hint)
        assert done.returncode == 255


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_of_exec_below_a_filter_that_stage_1_loads(box: Box, name: str) -> None:
    """Which allows what exec needs, this looking included, and kills for anything else."""
    make, reason, hint = PROGRAMS[name]
    bundle = box.bundle("sleep", change=only_needed)
    make(bundle / "rootfs/program")
    assert box("create", "--bundle", str(bundle), "c").stderr == ""
    done = box("exec", "c", "/program", timeout=SOON)
    told(done, f"exec failed: unable to start container process: exec /program: {reason}", hint)
    assert done.returncode == 255


def _of_reporter(config: Config) -> None:
    """What exec and a container's program need, which is not all: that is killed, should it be called."""
    rest = ["acct", "swapon", "swapoff", "reboot", "execveat"]
    config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": rest, "action": "SCMP_ACT_KILL_PROCESS"}],
    }


@pytest.mark.parametrize(
    ("kind", "limit"),
    [("AS", 16 << 20), ("DATA", 1 << 20), ("NOFILE", 4), ("FSIZE", 0), ("NPROC", 1), ("STACK", 1 << 17)],
)
def test_looking_does_not_keep_a_program_from_running(box: Box, kind: str, limit: int) -> None:
    """With a filter the file is looked at before every execve(2), under the program's own limits."""

    def change(config: Config) -> None:
        _of_reporter(config)
        config["process"]["rlimits"] = [{"type": f"RLIMIT_{kind}", "soft": limit, "hard": limit}]

    done = box("run", "--bundle", str(box.bundle("exit", "3", change=change)), "a")
    assert (done.returncode, done.stderr) == (3, "")


def unmoded(path: Path) -> None:
    path.write_bytes(b"")


DENIED = "permission denied"
NO_FILES: dict[str, tuple[Make, str, str]] = {
    "mode": (unmoded, DENIED, "/program has mode 0644: it is executable for nobody"),
    "directory": (Path.mkdir, "is a directory", "/program is a directory"),
    "FIFO": (os.mkfifo, DENIED, "/program is a FIFO"),
    "device": (lambda path: path.symlink_to("/dev/zero"), DENIED, "/program is a device"),
}


@pytest.mark.parametrize("name", NO_FILES)
def test_what_cannot_be_executed(box: Box, name: str) -> None:
    """Of create, as runc's; nothing is opened that could block or never end."""
    make, reason, hint = NO_FILES[name]
    bundle = box.bundle(change=lambda config: config["process"].update(args=["/program"]))
    make(bundle / "rootfs/program")
    begin = "unable to start container process: (error during container init: )?"
    for command in ("create", "run"):
        done = box(command, "--bundle", str(bundle), "a", timeout=SOON)
        told(done, rf'pyoci {command} failed: {begin}exec: \\"/program\\": {reason}', hint)
        assert done.returncode == 1
    bundle = started(box)
    make(bundle / "rootfs/program")
    done = box("exec", "c", "/program", timeout=SOON)
    told(done, rf'exec failed: {begin}exec: \\"/program\\": {reason}', hint)
    assert done.returncode == 255


def test_what_is_found_along_path_and_cannot_be_executed(box: Box) -> None:
    bundle = box.bundle(change=lambda config: config["process"].update(args=["program"], env=["PATH=/bin:/"]))
    (bundle / "rootfs/program").write_bytes(b"")
    done = box("create", "--bundle", str(bundle), "a")
    first = r'.* exec: \\"program\\": executable file not found in \$PATH'
    told(done, first, "searched /bin:/ of process.env; /program has mode 0644: it is executable for nobody")


def test_a_program_that_is_gone_when_it_is_started(box: Box) -> None:
    bundle = box.bundle()
    assert box("create", "--bundle", str(bundle), "a").stderr == ""
    (bundle / "rootfs/reporter").unlink()
    done = box("start", "a")
    told(done, "exec /reporter: no such file or directory", "/reporter does not exist")


@pytest.mark.parametrize("kind", ["prestart", "createContainer", "startContainer", "poststart"])
def test_a_hook(box: Box, kind: str) -> None:
    """Looked up where the hook is: on the host, or in the container."""
    script = box.directory / "hook"
    content(b"#!/none/sh\n")(script)
    path = "/hook" if kind == "startContainer" else str(script)
    bundle = box.bundle("sleep", change=lambda config: config.update(hooks={kind: [{"path": path}]}))
    content(b"#!/none/sh\n")(bundle / "rootfs/hook")
    done = box("run", "--detach", "--bundle", str(bundle), "a")
    hint = rf"the hook is {path}: {path} is a script for /none/sh \(its #! line\): /none/sh does not exist"
    told(done, f".*error running {kind} hook #0: fork/exec {path}: no such file or directory", hint)
    assert done.returncode == 1
