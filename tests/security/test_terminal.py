"""The terminal is the container's own devpts's, whatever the image has in its place. CVE-2025-52565."""

from __future__ import annotations

import array
import os
import socket
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.container.box import Done
from tests.security.harness import Arena, never_opened

pytestmark = pytest.mark.root

SHORT = 20  # seconds: nothing here has a reason to wait


class Console:
    """Listens on --console-socket; everything that is sent to it is kept."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.masters: list[int] = []
        self.arrived = threading.Event()
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen(16)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection = self.socket.accept()[0]
            except OSError:
                return
            with connection:
                _, control, _, _ = connection.recvmsg(4096, socket.CMSG_SPACE(4))
                for _, _, data in control:
                    self.masters += array.array("i", data)
            self.arrived.set()

    def read(self) -> str:
        """What the container has printed by its end."""
        assert self.arrived.wait(SHORT)  # it may be on its way, or in the thread's hands
        output = b""
        while True:
            try:
                chunk = os.read(self.masters[-1], 4096)
            except OSError:  # EIO: nobody has the slave any more
                return output.decode().replace("\r\n", "\n")
            if not chunk:
                return output.decode().replace("\r\n", "\n")
            output += chunk

    def close(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join()
        for master in self.masters:
            os.close(master)


@contextmanager
def console(arena: Arena) -> Iterator[Console]:
    # A socket's path is at most 107 bytes: name it from a short link.
    listening = Console(arena.directory / "s")
    try:
        yield listening
    finally:
        listening.close()
        listening.path.unlink()


def attempt(arena: Arena, bundle: Path, number: int) -> tuple[Done, str]:
    """Create, start, read, delete: the create's result and what the program printed to its terminal."""
    with console(arena) as listening:
        id = f"c{number}"
        command = ("create", "--console-socket", str(listening.path), "--bundle", str(bundle), id)
        done = arena(*command, timeout=SHORT)
        if done.returncode:
            return done, ""
        assert arena("start", id, timeout=SHORT).returncode == 0
        output = listening.read()
        assert arena("delete", "--force", id, timeout=SHORT).returncode == 0
        return done, output


def with_terminal(*kept: str) -> Callable[[dict[str, Any]], None]:
    """A terminal, and of the mounts on /dev and below only these."""

    def change(config: dict[str, Any]) -> None:
        config["process"]["terminal"] = True
        config["mounts"] = [
            one for one in config["mounts"] if not one["destination"].startswith("/dev") or one["destination"] in kept
        ]

    return change


def ptmx(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(5, 2))


def slave(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(136, 0))


TRAPS: dict[str, Callable[[Path], object]] = {
    "link to core_pattern": lambda path: path.symlink_to("/proc/sys/kernel/core_pattern"),
    "link out": lambda path: path.symlink_to("../../../../canary/ptmx"),
    "link to the real one": lambda path: path.symlink_to("/dev/ptmx"),
    "file": lambda path: path.write_text("x"),
    "fifo": os.mkfifo,
    "directory": Path.mkdir,
    "the host's multiplexer": ptmx,
    "a slave": slave,
}


def test_a_terminal(any_arena: Arena) -> None:
    bundle = any_arena.bundle("test -t 0 && stat -c %t /dev/console", change=with_terminal("/dev", "/dev/pts"))
    done, output = attempt(any_arena, bundle, 0)
    assert (done.stderr, output) == ("", "88\n")


def test_a_trap_in_place_of_the_multiplexer(any_arena: Arena) -> None:
    """No devpts is mounted; the image has something else as /dev/pts/ptmx."""
    for number, (name, make) in enumerate(TRAPS.items()):
        bundle = any_arena.bundle("true", change=with_terminal())
        (bundle / "rootfs/dev/pts").mkdir()
        trap = bundle / "rootfs/dev/pts/ptmx"
        make(trap)
        with never_opened(*([] if trap.is_symlink() else [trap])):
            done, _ = attempt(any_arena, bundle, number)
        assert any_arena.is_clean_failure(done), (name, done)
        assert "/dev/pts/ptmx" in done.stderr


@pytest.mark.parametrize("link", ["/tmp", "../../canary/pts", "{canary}/pts", "/proc/self/fd", "."])
def test_a_link_in_place_of_devpts(any_arena: Arena, link: str) -> None:
    """/dev/pts is a link: the mount goes where it leads inside the root, or nowhere."""
    bundle = any_arena.bundle("test -t 0 && echo fine", change=with_terminal("/dev/pts"))
    (bundle / "rootfs/dev/pts").symlink_to(link.format(canary=any_arena.canary))
    done, output = attempt(any_arena, bundle, 0)
    if link in ("/proc/self/fd", "."):  # inside /proc; a mount over /dev, in which nothing can be made then
        assert any_arena.is_clean_failure(done), done
    else:
        assert (output, done.stderr) == ("fine\n", ""), done


def test_a_trap_in_place_of_the_console(any_arena: Arena) -> None:
    """The image, which has no mount on /dev, comes with a /dev/console."""
    script = (
        "test -t 0 && stat -c %t:%T /dev/console; test -L /dev/console && echo link; grep -c core_pattern /proc/mounts"
    )
    for number, (name, make) in enumerate(TRAPS.items()):
        bundle = any_arena.bundle(script, change=with_terminal("/dev/pts"))
        make(bundle / "rootfs/dev/console")
        done, output = attempt(any_arena, bundle, number)
        if name == "directory" or name.startswith("link"):
            assert any_arena.is_clean_failure(done), (name, done)
        else:
            assert (output, done.stderr) == ("88:0\n0\n", ""), name
    assert (bundle / "rootfs/dev/console").exists()


@pytest.mark.parametrize("trap", ["link to core_pattern", "link out", "fifo"])
def test_a_race_for_the_console(arena: Arena, trap: str) -> None:
    """A file and something else in turns, in a volume on /dev that has a devpts on /dev/pts."""
    volume = arena.directory / "dev"
    (volume / "pts").mkdir(parents=True)
    (volume / "console").write_text("")
    (volume / "null").symlink_to("/tmp/null")
    TRAPS[trap](volume / "trap")

    def change(config: dict[str, Any]) -> None:
        with_terminal("/dev/pts")(config)
        config["linux"].update(maskedPaths=[])
        config["mounts"].insert(0, {"destination": "/dev", "source": str(volume), "options": ["bind"]})

    script = "test -t 0 && echo terminal; grep -e core_pattern -e canary /proc/self/mountinfo"
    bundle = arena.bundle(script, change=change)
    worked = 0
    with arena.swapping(volume / "console", volume / "trap"):
        for number in range(arena.races // 2):
            done, output = attempt(arena, bundle, number)
            assert output == "terminal\n" if done.returncode == 0 else arena.is_clean_failure(done), done
            worked += not done.returncode
    assert worked


def test_the_callers_terminal_stays_the_callers(arena: Arena) -> None:
    """A container without a terminal of its own, started from one: it has a session of its own (CVE-2016-10124)."""
    bundle = arena.bundle("cat /proc/self/stat")
    master, terminal = os.openpty()
    try:
        command = ["setsid", "--ctty", *arena.command("run", "--bundle", str(bundle), "c")]
        done = subprocess.run(command, stdin=terminal, capture_output=True, text=True, timeout=SHORT, check=False)
    finally:
        os.close(master)
        os.close(terminal)
    fields = done.stdout.rpartition(")")[2].split()
    assert fields[4] == "0", done  # tty_nr
