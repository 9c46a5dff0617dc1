"""What every security test needs: a container to attack from, and things outside of it that must stay as they are.

`Arena` is a Box (tests/container/box.py) with busybox bundles and a canary tree beside them. After the test the
canary, files and parameters of the host, the interpreter and its libraries are compared with what they were before.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.container.box import Box, Done

SOURCES = Path(__file__).parent
RACES = int(os.environ.get("PYOCI_TEST_RACES", "200"))  # creates per race, where there is no user namespace
CANARY = "the host's"  # content of every file of the canary tree

_LINKS = ("sh", "cat", "ls", "true", "stat", "readlink", "mkdir", "mount", "sleep", "head", "grep", "id", "wc", "echo")
_PARAMETERS = ("kernel/core_pattern", "kernel/hostname", "kernel/modprobe", "kernel/sysrq", "kernel/shmmax")
_ALL = [f"CAP_{name}" for name in ("CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "MKNOD", "SETUID", "SETGID", "SYS_ADMIN")]

# Where a container and its runtime may be. The id maps are the identity, so that file modes protect nothing: only
# the runtime's care stands between the container and the canary.
#   root    no user namespace anywhere
#   userns  the container has one
#   nested  the runtime itself is in one, where it may mount but not open sources beforehand
MODES = ("root", "userns", "nested")


class Arena(Box):
    """Containers of one test. `mode`: one of MODES."""

    def __init__(
        self, pyoci: str, directory: Path, mark: str, reporter: Path, mode: str = "root", view: str = "host"
    ) -> None:
        super().__init__(pyoci, directory, mark, reporter, view)
        self.mode = mode
        self.races = RACES if mode == "root" else RACES // 4  # creates per race
        if mode == "nested":
            self.prefix = (str(helper("nest")),)
        self.canary = directory / "canary"
        plant(self.canary)

    def bundle(self, *args: str, change: Callable[[dict[str, Any]], object] | None = None) -> Path:
        """A bundle with busybox and the reporter in its rootfs; one argument is a script for its shell."""
        path = super().bundle(*args)
        fill(path / "rootfs")
        config = json.loads((path / "config.json").read_text())
        config["root"]["readonly"] = False
        if len(args) == 1:
            config["process"]["args"] = ["/bin/sh", "-c", args[0]]
        elif args:
            config["process"]["args"] = list(args)
        if self.mode == "userns":
            config["linux"]["namespaces"].append({"type": "user"})
            for kind in ("uidMappings", "gidMappings"):
                config["linux"][kind] = [{"containerID": 0, "hostID": 0, "size": 65536}]
        if self.mode == "nested":
            # A cgroup hierarchy cannot be mounted from here.
            config["mounts"] = [one for one in config["mounts"] if one["type"] != "cgroup"]
        if change is not None:
            change(config)
        (path / "config.json").write_text(json.dumps(config))
        return path

    def run(self, bundle: Path, id: str = "c", **options: Any) -> Done:
        """`pyoci run`: stdout is the container's."""
        return self("run", "--bundle", str(bundle), id, **options)

    def create(self, bundle: Path, id: str = "c", *flags: str) -> int:
        """`pyoci create`, which must succeed; the pid of the process that waits for start."""
        done = self("create", *flags, "--bundle", str(bundle), id)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return int(self.state(id)["pid"])

    def remove_parents(self) -> None:
        """With the cgroups to which a hostile process has moved (hostile/program.py)."""
        for hierarchy in ("*/", ""):
            for path in Path("/sys/fs/cgroup").glob(f"{hierarchy}{self.mark}/outside"):
                path.rmdir()
        super().remove_parents()

    def is_clean_failure(self, done: Done) -> bool:
        """It failed with one of our errors: no signal, no traceback, nothing internal. 255: the program's turn had
        come, and it could not be executed."""
        ended = done.returncode in (1, 255) and "level=error" in done.stderr
        return ended and "Traceback" not in done.stderr and "internal error" not in done.stderr

    @contextmanager
    def swapping(self, first: Path, second: Path) -> Iterator[None]:
        """While inside, the two names are exchanged all the time; they must have been, and often."""
        swapper = subprocess.Popen([helper("swap"), first, second], stdout=subprocess.PIPE, text=True)
        assert swapper.stdout is not None
        swapper.stdout.readline()
        started = time.monotonic()
        try:
            yield
        finally:
            swapper.send_signal(signal.SIGTERM)
            output = swapper.communicate(timeout=20)[0]
        assert swapper.returncode == 0
        exchanged = int(output.split()[0])
        assert exchanged > 100 * (time.monotonic() - started), f"only {exchanged} exchanges: that was no race"


def everything(config: dict[str, Any]) -> None:
    """Capabilities for a container that does its worst."""
    for kind in ("bounding", "effective", "permitted"):
        config["process"]["capabilities"][kind] = list(_ALL)


def fill(rootfs: Path) -> None:
    """A root file system of busybox."""
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.fail("install busybox-static: the containers of the security tests are made of it", pytrace=False)
    for name in ("bin", "proc", "dev", "sys", "etc", "tmp"):
        (rootfs / name).mkdir(exist_ok=True)
    shutil.copy(busybox, rootfs / "bin/busybox")
    for name in _LINKS:
        (rootfs / "bin" / name).symlink_to("busybox")


def plant(canary: Path) -> None:
    """The canary tree: names that a runtime touches on its way, each with content that it must not."""
    for name in ("", "dir", "pts", "shm", "fs", "empty", *(f"dir{number}" for number in range(10))):
        (canary / name).mkdir(exist_ok=True)
    for name in (
        "file",
        "null",
        "ptmx",
        "console",
        "tty",
        "fd",
        "passwd",
        "dir/file",
        "dir0/file",
        "pts/ptmx",
        "pts/0",
    ):
        (canary / name).write_text(CANARY)
        (canary / name).chmod(0o640)


def describe(tree: Path) -> list[str]:
    """One line for everything below `tree`: what it is, whose, and what is in it. Reading changes none of it."""
    lines = []
    for directory, names, files in sorted(os.walk(tree)):
        for name in sorted(["", *files, *(one for one in names if os.path.islink(f"{directory}/{one}"))]):
            path = os.path.join(directory, name)
            status = os.lstat(path)
            content = b""
            if stat.S_ISREG(status.st_mode):
                content = Path(path).read_bytes()
            elif stat.S_ISLNK(status.st_mode):
                content = os.readlink(path).encode()
            facts = (status.st_mode, status.st_uid, status.st_gid, status.st_ino, status.st_nlink, status.st_rdev)
            lines.append(f"{path} {facts} {status.st_mtime_ns} {status.st_ctime_ns} {digest(content)}")
    return lines


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def parameters() -> list[str]:
    """Kernel parameters of the host that were written by escapes of the past."""
    return [
        f"{name} = {path.read_text().strip()}" for name in _PARAMETERS if (path := Path("/proc/sys", name)).exists()
    ]


class Valuables:
    """Host files that the runtime executes or maps, held open: replaced by an upgrade is fine, written is not."""

    def __init__(self, pyoci: str) -> None:
        interpreter = Path(pyoci).parent / "python3"
        if not interpreter.exists():
            interpreter = Path("/usr/bin/python3")
        interpreter = interpreter.resolve()
        paths = {str(Path(pyoci).resolve()), str(interpreter), *libraries(str(interpreter))}
        self.files = {path: os.open(path, os.O_RDONLY) for path in sorted(paths)}

    def hashes(self) -> list[str]:
        return [f"{path} {digest(os.pread(file, 1 << 28, 0))}" for path, file in self.files.items()]

    def close(self) -> None:
        for file in self.files.values():
            os.close(file)


def arenas(pyoci: str, directory: Path, mark: str, reporter: Path, mode: str, view: str = "host") -> Iterator[Arena]:
    """For a fixture: an arena, and after the test everything outside of it is as it was, or the test has failed."""
    arena = Arena(pyoci, directory, mark, reporter, mode, view)
    arena.root.mkdir()
    before = arena.snapshot()
    valuables = Valuables(pyoci)

    def outside() -> list[str]:
        return describe(arena.canary) + parameters() + valuables.hashes()

    known = outside()
    yield arena
    arena.clean()
    now = outside()
    changed = [f"- {line}" for line in known if line not in now] + [f"+ {line}" for line in now if line not in known]
    valuables.close()
    left = arena.differences(before)
    assert changed == [], "the host was changed:\n" + "\n".join(changed)
    assert left == [], "\n".join(left)


@functools.cache
def libraries(program: str) -> list[str]:
    """What ldd(1) finds."""
    linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    return [os.path.realpath(word) for word in linked.split() if word.startswith("/")]


_libc = ctypes.CDLL(None, use_errno=True)
_IN_OPEN = 0x20


@contextmanager
def never_opened(*paths: Path) -> Iterator[None]:
    """Nobody opens these files while inside (inotify(7)); to look at them with O_PATH is no such thing."""
    queue = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    assert queue >= 0
    try:
        for path in paths:
            assert _libc.inotify_add_watch(queue, os.fsencode(path), _IN_OPEN) >= 0
        yield
        with pytest.raises(BlockingIOError):
            os.read(queue, 4096)
    finally:
        os.close(queue)


def helper(name: str, *flags: str) -> Path:
    """Path of a compiled C program below this directory, in the cache as the reporter is."""
    source = SOURCES / f"{name}.c"
    name = source.stem
    command = ["gcc", "-D_GNU_SOURCE", "-O1", "-Wall", "-Wextra", "-Werror", *(flags or ("-static",))]
    cache = Path(os.environ.get("PYOCI_TEST_CACHE", SOURCES.parent.parent / ".cache"))
    program = cache / f"{name}-{digest(source.read_bytes() + repr(command).encode())}" / name
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        temporary = program.with_name(f"{name}.{os.getpid()}")
        subprocess.run([*command, "-o", temporary, source], check=True)
        temporary.rename(program)
    return program
