"""execve(2) with arrays made beforehand, and the programs that are spawned with it."""

from __future__ import annotations

import os
import signal
from errno import EACCES, ENOENT, ENOEXEC
from pathlib import Path

import pytest

from pyoci.errors import system_call
from pyoci.kernel.execute import Image
from pyoci.kernel.spawn import spawn

ENV = "/usr/bin/env"
OWN_CHILDREN = Path(f"/proc/self/task/{os.getpid()}/children")


def run(path: str, image: Image, stdin: bytes = b"", directory: int = -1) -> tuple[bytes, int]:
    """Output and exit status."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    source, feed = os.pipe2(os.O_CLOEXEC)
    os.write(feed, stdin)
    os.close(feed)
    pid, pidfd = spawn(path.encode(), image, (source, writing, writing), directory)
    for descriptor in (writing, source, pidfd):
        os.close(descriptor)
    with os.fdopen(reading, "rb") as file:
        output = file.read()
    return output, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def shell(code: str, *env: str) -> tuple[bytes, int]:
    return run("/bin/sh", Image(("sh", "-c", code), env))


def test_arguments_and_environment_arrive_as_they_are() -> None:
    odd = "\udcff\n='\" "
    output, status = run(
        "/bin/sh", Image(("sh", "-c", 'printf "%s|" "$0" "$@"; exec /usr/bin/env -0', odd, ""), (f"A={odd}",))
    )
    assert (output.partition(b"|A=")[0], status) == (odd.encode("utf-8", "surrogateescape") + b"|", 0)
    assert b"A=" + odd.encode("utf-8", "surrogateescape") + b"\0" in output


def test_an_entry_that_is_known_late() -> None:
    image = Image((ENV,), ("A=1",))
    image.add_env(b"HOME=/root")
    assert run(ENV, image) == (b"A=1\nHOME=/root\n", 0)
    with pytest.raises(ValueError, match="no spare place"):
        image.add_env(b"B=2")


def test_no_environment() -> None:
    assert run(ENV, Image((ENV,), ())) == (b"", 0)


def test_thousands_of_entries() -> None:
    entries = tuple(f"V{number}={'x' * number}" for number in range(2000))
    assert run(ENV, Image((ENV,), entries))[0].decode().splitlines() == list(entries)


def test_warming_does_nothing() -> None:
    Image(("x",), ()).warm()


@pytest.mark.parametrize(("content", "mode", "errno"), [(None, 0, ENOENT), ("", 0o755, ENOEXEC), ("x", 0o644, EACCES)])
def test_what_cannot_be_executed(tmp_path: Path, content: str | None, mode: int, errno: int) -> None:
    program = tmp_path / "program"
    if content is not None:
        program.write_text(content)
        program.chmod(mode)
    before, children = os.listdir("/proc/self/fd"), OWN_CHILDREN.read_text()
    with pytest.raises(OSError, match=os.strerror(errno)) as caught:
        spawn(os.fsencode(program), Image(("x",), ()), (0, 1, 2))
    assert caught.value.errno == errno
    assert system_call(caught.value) == f'execve("{program}")'
    assert os.listdir("/proc/self/fd") == before
    assert OWN_CHILDREN.read_text() == children  # reaped


def test_descriptors_of_a_spawned_program() -> None:
    extra = os.dup(0)
    os.set_inheritable(extra, True)
    try:
        output, _ = shell("ls /proc/$$/fd")
    finally:
        os.close(extra)
    assert output.split() == [b"0", b"1", b"2"]


def test_streams_in_each_others_places() -> None:
    """The descriptors given may be 0, 1 or 2 themselves, in any order."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        os.dup2(writing, 0)
        os.dup2(writing, 1)
        os.dup2(os.open("/dev/null", os.O_RDONLY), 2)
        child, _ = spawn(b"/bin/sh", Image(("sh", "-c", "readlink /proc/$$/fd/0; echo error >&2"), ()), (2, 0, 1))
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        assert file.read() == b"/dev/null\nerror\n"
    assert os.waitpid(pid, 0)[1] == 0


def test_signals_group_and_directory(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_PATH)
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    try:
        code = "grep -E 'SigBlk|SigIgn' /proc/self/status; pwd; test $(ps -o pgid= -p $$) = $$ && echo leader"
        output, status = run("/bin/sh", Image(("sh", "-c", code), ("PATH=/usr/bin:/bin",)), directory=directory)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        signal.signal(signal.SIGUSR1, before)
        os.close(directory)
    assert output.decode().split() == ["SigBlk:", "0" * 16, "SigIgn:", "0" * 16, str(tmp_path), "leader"]
    assert status == 0


def test_what_runs_before_the_program() -> None:
    reading, writing = os.pipe2(os.O_CLOEXEC)
    pid, pidfd = spawn(
        b"/bin/sh", Image(("sh", "-c", "umask"), ()), (0, writing, writing), before=lambda: os.umask(0o75)
    )
    os.close(writing)
    os.close(pidfd)
    with os.fdopen(reading, "rb") as file:
        assert file.read() == b"0075\n"
    os.waitpid(pid, 0)
