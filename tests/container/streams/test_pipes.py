"""run and exec in the foreground without a terminal: whose the caller's streams are, and who keeps them."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.container.box import Box, until
from tests.container.exec.started import Change, busybox, started
from tests.container.exec.test_exec import user_namespace

pytestmark = pytest.mark.root

USER = 1000


def as_user(config: dict[str, Any]) -> None:
    config["process"]["user"] = {"uid": USER, "gid": USER}


class Shell:
    """`run` or `exec` of a shell in the foreground, as the user."""

    def __init__(self, box: Box, command: str, change: Change | None = None) -> None:
        self.box = box
        self.command = command
        self.bundle = started(box, change)
        busybox(self.bundle, "sh", "cat", "sleep", "wc", "yes")

    def words(self, script: str, *flags: str) -> list[str]:
        if self.command == "exec":
            return self.box.command("exec", *flags, "--user", str(USER), "c", "/bin/sh", "-c", script)
        config = json.loads((self.bundle / "config.json").read_text())
        config["process"]["args"] = ["/bin/sh", "-c", script]
        config["linux"]["cgroupsPath"] += "-run"
        as_user(config)
        other = self.box.directory / "run"
        other.mkdir(exist_ok=True)
        config["root"]["path"] = str(self.bundle / "rootfs")
        (other / "config.json").write_text(json.dumps(config))
        return self.box.command("run", *flags, "--bundle", str(other), "other")

    def __call__(self, script: str, **streams: Any) -> int:
        done = subprocess.run(self.words(script), timeout=60, check=False, **streams)
        return done.returncode


def theirs(box: Box, name: str, content: str) -> Path:
    """A file of the host that only root may read."""
    path = box.directory / name
    path.write_text(content)
    path.chmod(0o600)
    return path


def owner(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_uid, status.st_gid, status.st_mode & 0o777


@pytest.mark.parametrize("change", [None, user_namespace], ids=["plain", "user namespace"])
@pytest.mark.parametrize("command", ["run", "exec"])
def test_a_file_of_the_host_stays_its_owner_s(box: Box, command: str, change: Change | None) -> None:
    """`exec --user 1000 ... < /etc/shadow` is a way to read it, not to give it away. The program can open its streams
    again all the same, as images do that log to /dev/stdout."""
    shell = Shell(box, command, change)
    source, target, errors = (theirs(box, name, text) for name, text in (("in", "secret\n"), ("out", ""), ("err", "")))
    with source.open() as first, target.open("w") as second, errors.open("w") as third:
        script = "cat; echo again >/proc/self/fd/1; echo wrong >/proc/self/fd/2; cat /proc/self/fd/0; exit 5"
        assert shell(script, stdin=first, stdout=second, stderr=third) == 5
    assert (target.read_text(), errors.read_text()) == ("secret\nagain\n", "wrong\n")
    assert [owner(path) for path in (source, target, errors)] == [(0, 0, 0o600)] * 3


@pytest.mark.parametrize("command", ["run", "exec"])
def test_both_outputs_in_one_file_keep_their_order(box: Box, command: str) -> None:
    shell = Shell(box, command)
    target = theirs(box, "out", "")
    with target.open("w") as file:
        script = "i=0; while [ $i -lt 50 ]; do echo $i; i=$((i+1)); echo $i >&2; i=$((i+1)); done"
        assert shell(script, stdin=subprocess.DEVNULL, stdout=file, stderr=file) == 0
    assert target.read_text().split() == [str(number) for number in range(50)]


@pytest.mark.parametrize("command", ["run", "exec"])
def test_much_of_it(box: Box, command: str) -> None:
    """In and out at the same time, more than any buffer holds; nothing is lost at the end."""
    shell = Shell(box, command)
    source, target = theirs(box, "in", ""), theirs(box, "out", "")
    source.write_bytes(os.urandom(3_000_001))
    with source.open() as first, target.open("w") as second:
        assert shell("cat", stdin=first, stdout=second) == 0
    assert target.read_bytes() == source.read_bytes()


def test_what_goes_on_does_not_hold_exec_up(box: Box) -> None:
    """What the program itself has written arrives; one that it has left behind loses its pipe."""
    shell = Shell(box, "exec")
    target = theirs(box, "out", "")
    with target.open("w") as file:
        assert shell("yes & sleep 0.1; echo last; exit 3", stdin=subprocess.DEVNULL, stdout=file) == 3
    assert "last\n" in target.read_text()


def test_a_program_that_reads_nothing(box: Box) -> None:
    shell = Shell(box, "exec")
    source = theirs(box, "in", "x" * 1_000_000)
    with source.open() as file:
        assert shell("exec <&-; sleep 0.1; exit 4", stdin=file) == 4


def test_nobody_takes_a_terminal_s_output(box: Box) -> None:
    """`exec -t ... | head -1`: a program that does not mind SIGPIPE is not stuck in a full terminal."""
    shell = Shell(box, "exec")
    reading, writing = os.pipe()
    words = shell.words("trap '' PIPE; i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done; exit 6", "--tty")
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=writing)
    os.close(writing)
    assert os.read(reading, 1) == b"0"
    os.close(reading)
    assert process.wait(60) == 6


def test_nobody_takes_the_output(box: Box) -> None:
    """A full disk: the program is told by a broken pipe, as its own write(2) would not be for ever."""
    shell = Shell(box, "exec")
    with open("/dev/full", "w") as full:
        assert shell("trap '' PIPE; while echo; do :; done; exit 6", stdin=subprocess.DEVNULL, stdout=full) == 6


@pytest.mark.parametrize("name", ["/dev/full", "/dev/zero"])
def test_devices_of_the_host(box: Box, name: str) -> None:
    before = os.stat(name)
    shell = Shell(box, "exec")
    descriptor = os.open(name, os.O_RDONLY)
    try:
        assert shell("[ -p /proc/self/fd/0 ]", stdin=descriptor) == 0
    finally:
        os.close(descriptor)
    assert (os.stat(name).st_uid, os.stat(name).st_ctime_ns) == (before.st_uid, before.st_ctime_ns)


def test_the_caller_s_terminal_is_not_left_with_the_container(box: Box) -> None:
    """A process that stays behind could read there what the caller types long after: a password."""
    shell = Shell(box, "exec")
    master, slave = pty.openpty()
    try:
        before = os.fstat(slave)
        script = "exec 5<&0; sleep 1000 <&5 & echo $!; exit 0"
        assert shell(script, stdin=slave, stdout=slave, stderr=slave) == 0
        left = os.read(master, 100).decode().split()[0]
        assert os.fstat(slave).st_uid == before.st_uid
        script = f"for n in 0 1 2; do [ -p /proc/{left}/fd/$n ] || exit 1; done"
        assert shell(script, stdin=subprocess.DEVNULL) == 0
    finally:
        os.close(master)
        os.close(slave)


def test_a_file_of_its_own_is_its_own(box: Box) -> None:
    """Nothing to copy: the next one goes on where the program has stopped reading."""
    shell = Shell(box, "exec")
    source = theirs(box, "in", "one\ntwo\n")
    os.chown(source, USER, USER)
    with source.open() as file:
        assert shell("read line; [ $line = one ]", stdin=file) == 0
        assert os.lseek(file.fileno(), 0, os.SEEK_CUR) == 4


def test_detached_it_has_the_streams_themselves(box: Box) -> None:
    """As runc: they were opened for it, and are given to its user."""
    shell = Shell(box, "exec")
    target = theirs(box, "out", "")
    with target.open("w") as file:
        words = shell.words("echo x >/proc/self/fd/1", "--detach")
        assert subprocess.run(words, stdin=subprocess.DEVNULL, stdout=file, timeout=60, check=False).returncode == 0
    until(lambda: target.read_text() == "x\n", "it has written")
    assert target.stat().st_uid == USER


def test_reading_in_the_background(box: Box) -> None:
    """The shell's job control: exec stops, and not the program (SIGTTIN is about exec's own terminal)."""
    shell = Shell(box, "exec")
    pid, master = pty.fork()
    if pid == 0:  # a shell with job control, of which exec is a background job
        os.environ["PS1"] = ""
        words = " ".join(f"'{word}'" for word in shell.words("echo ready; sleep 1000"))
        os.execvp("busybox", ["busybox", "sh", "-mc", f"{words} & sleep 0.5; cat /proc/$!/stat; kill -KILL $!; wait"])
    try:
        output = b""
        os.write(master, b"typed\n")
        while b") " not in output:
            output += os.read(master, 4096)
        assert b") T " in output
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(master)
