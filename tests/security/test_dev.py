"""SEC-31, SEC-32, SEC-33: an image whose /dev, /dev/null or /dev/console is a trap, with nothing mounted over it.

CVE-2026-41579, CVE-2026-47766, CVE-2026-88264, CVE-2026-88265.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.container.box import Done
from tests.security.harness import Arena

pytestmark = pytest.mark.root


def no_dev(config: dict[str, Any]) -> None:
    config["mounts"] = [one for one in config["mounts"] if not one["destination"].startswith("/dev")]


# /dev is a link


@pytest.mark.parametrize("command", ["run", "create"])
@pytest.mark.parametrize("what", ["dev", "dev/pts", "dev/shm"])
@pytest.mark.parametrize("relative", [False, True], ids=["absolute", "relative"])
def test_link_to_the_host(any_arena: Arena, command: str, what: str, relative: bool) -> None:
    """A clean error, or nodes inside the root. The canary has a ptmx, a null and a console of its own."""
    arena = any_arena
    bundle = arena.bundle("true", change=no_dev)
    rootfs = bundle / "rootfs"
    place = rootfs / what
    if what == "dev":
        place.rmdir()
    target = "../" * 20 + str(arena.canary)[1:] if relative else str(arena.canary)
    place.symlink_to(target)
    done = arena(command, "--bundle", str(bundle), "c")
    assert done.returncode == 0 or arena.is_clean_failure(done)
    if what == "dev" and done.returncode == 0:
        # What the link means below the root: there the devices are.
        inside = rootfs / str(arena.canary)[1:]
        assert stat.S_ISCHR((inside / "full").lstat().st_mode) or arena.mode != "root"


# /dev/null is a trap


def file(place: Path, canary: Path) -> None:
    place.write_text("the image's")


def absolute_link(place: Path, canary: Path) -> None:
    place.symlink_to(canary / "file")


def relative_link(place: Path, canary: Path) -> None:
    place.symlink_to("../" * 20 + str(canary / "file")[1:])


def proc_link(place: Path, canary: Path) -> None:
    place.symlink_to("/proc/sys/kernel/hostname")


def fifo(place: Path, canary: Path) -> None:
    os.mkfifo(place)


def zero(place: Path, canary: Path) -> None:
    os.mknod(place, stat.S_IFCHR | 0o666, os.makedev(1, 5))


def directory(place: Path, canary: Path) -> None:
    place.mkdir()


Trap = Callable[[Path, Path], None]
TRAPS: list[Trap] = [file, absolute_link, relative_link, proc_link, fifo, zero, directory]


@pytest.mark.parametrize("stdio", ["null", "pipe", "file"])
@pytest.mark.parametrize("trap", TRAPS)
def test_null_is_a_trap(arena: Arena, trap: Trap, stdio: str) -> None:
    """Standard streams are not redirected into it, its owner does not change, and nobody waits for its other end."""

    def change(config: dict[str, Any]) -> None:
        no_dev(config)
        config["process"]["user"] = {"uid": 1000, "gid": 1000}
        config["linux"]["maskedPaths"] = []

    bundle = arena.bundle("echo out; echo error >&2", change=change)
    place = bundle / "rootfs/dev/null"
    trap(place, arena.canary)
    before = place.lstat()
    shell = {"null": 'exec "$@" > /dev/null', "pipe": '"$@" | cat', "file": 'exec "$@"'}[stdio]
    arena.prefix = ("sh", "-c", shell, "sh")
    done = arena("run", "--bundle", str(bundle), "c", timeout=20)
    arena.prefix = ()
    assert done.returncode == 0 or arena.is_clean_failure(done), done
    assert done.stdout == ("" if stdio == "null" else "out\n") or done.returncode
    assert "error" in done.stderr
    after = place.lstat()
    assert (after.st_uid, after.st_gid, after.st_mode, after.st_size) == (
        before.st_uid,
        before.st_gid,
        before.st_mode,
        before.st_size,
    )
    if trap is file:
        assert place.read_text() == "the image's"


def test_null_of_the_image_is_used_if_it_is_one(arena: Arena) -> None:
    """Control: the real device takes the place of the host's."""
    bundle = arena.bundle("readlink /proc/self/fd/0; stat -L -c %d /proc/self/fd/0 /dev/null", change=no_dev)
    done = arena.run(bundle)
    name, one, other = done.stdout.split()
    assert (name, done.stderr) == ("/dev/null", "")
    assert one == other


# /dev/console is a trap


@pytest.mark.parametrize("read_only", [False, True], ids=["writable", "read-only"])
@pytest.mark.parametrize("trap", [*TRAPS, None], ids=[*(one.__name__ for one in TRAPS), "nothing"])
def test_console_is_a_trap(arena: Arena, trap: Trap | None, read_only: bool) -> None:
    def change(config: dict[str, Any]) -> None:
        config["mounts"] = [one for one in config["mounts"] if one["destination"] not in ("/dev", "/dev/shm")]
        config["mounts"] = [one for one in config["mounts"] if one["destination"] != "/dev/mqueue"]
        config["process"]["terminal"] = True
        config["root"]["readonly"] = read_only

    bundle = arena.bundle("true", change=change)
    place = bundle / "rootfs/dev/console"
    if trap is not None:
        trap(place, arena.canary)
    before = place.lstat() if trap is not None else None
    done = with_console(arena, bundle)
    assert done.returncode == 0 or arena.is_clean_failure(done), done
    if trap in (absolute_link, relative_link, proc_link):
        assert "symbolic link" in done.stderr
    if before is not None:
        after = place.lstat()
        assert (after.st_ino, after.st_mode, after.st_uid, after.st_size) == (
            before.st_ino,
            before.st_mode,
            before.st_uid,
            before.st_size,
        )


def test_console_link_to_nothing(arena: Arena) -> None:
    """A dangling link: what it names is not made, neither on the host nor in the root."""

    def change(config: dict[str, Any]) -> None:
        no_dev(config)
        config["mounts"].append({"destination": "/dev/pts", "type": "devpts", "options": ["newinstance"]})
        config["process"]["terminal"] = True

    bundle = arena.bundle("true", change=change)
    (bundle / "rootfs/dev/console").symlink_to(arena.canary / "missing")
    assert arena.is_clean_failure(with_console(arena, bundle))
    assert not (arena.canary / "missing").exists()
    assert not os.path.lexists(f"{bundle}/rootfs{arena.canary}/missing")


def with_console(arena: Arena, bundle: Path) -> Done:
    """`create` with somebody who takes the terminal."""
    path = arena.directory / "console.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        done = arena("create", "--console-socket", str(path), "--bundle", str(bundle), "c", timeout=20)
        listener.setblocking(False)
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            pass
        else:
            with connection:
                _, descriptors, _, _ = socket.recv_fds(connection, 100, 4)
                for one in descriptors:
                    os.close(one)
    path.unlink()
    return done
