"""seccomp(2): programs loaded into children, and what is refused."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from pyoci.errors import system_call
from pyoci.kernel import constants, seccomp

LOG, SPEC_ALLOW, TSYNC = (
    constants.SECCOMP_FILTER_FLAG_LOG,
    constants.SECCOMP_FILTER_FLAG_SPEC_ALLOW,
    constants.SECCOMP_FILTER_FLAG_TSYNC,
)
NEW_LISTENER = constants.SECCOMP_FILTER_FLAG_NEW_LISTENER
WAIT_KILLABLE_RECV = constants.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV

ALLOW, KILL_PROCESS, ERRNO, USER_NOTIF = 0x7FFF0000, 0x80000000, 0x50000, 0x7FC00000


def program(*instructions: tuple[int, int, int, int]) -> bytes:
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)


def always(verdict: int) -> bytes:
    return program((0x06, 0, 0, verdict))


def all_but(number: int, verdict: int) -> bytes:
    return program((0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, verdict), (0x06, 0, 0, ALLOW))


def child(body: Callable[[], int]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(body())
        finally:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def no_new_privs() -> None:
    ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)


def test_a_loaded_program_filters() -> None:
    prepared = seccomp.prepare(all_but(seccomp_number("getppid"), ERRNO | errno.EXDEV))

    def body() -> int:
        no_new_privs()
        assert prepared.load(0) == 0
        libc = ctypes.CDLL(None, use_errno=True)
        return ctypes.get_errno() if libc.syscall(seccomp_number("getppid")) < 0 else 0

    assert child(body) == errno.EXDEV


def seccomp_number(name: str) -> int:
    return {"x86_64": {"getppid": 110}, "aarch64": {"getppid": 173}}[os.uname().machine][name]


def test_killed_after_the_load() -> None:
    prepared = seccomp.prepare(always(KILL_PROCESS))

    def body() -> int:
        no_new_privs()
        prepared.load(0)
        return 0

    assert child(body) == -signal.SIGSYS


def test_a_listener_is_the_result() -> None:
    prepared = seccomp.prepare(always(ALLOW))

    def body() -> int:
        no_new_privs()
        return int(os.readlink(f"/proc/self/fd/{prepared.load(NEW_LISTENER)}") != "anon_inode:seccomp notify")

    assert child(body) == 0


@pytest.mark.root
def test_needs_a_privilege_or_its_renunciation() -> None:
    prepared = seccomp.prepare(always(ALLOW))

    def body() -> int:
        os.setresuid(65534, 65534, 65534)
        try:
            prepared.load(0)
        except OSError as error:
            assert system_call(error).startswith("seccomp(1, 0, ")
            return error.errno or 0
        return 0

    assert child(body) == errno.EACCES


@pytest.mark.parametrize("bpf", [b"", b"\0" * 7, b"\0" * 9, always(ALLOW) * 4097, always(ALLOW) * 65537])
def test_a_size_that_the_structure_cannot_say(bpf: bytes) -> None:
    with pytest.raises(OSError, match="Invalid argument") as caught:
        seccomp.prepare(bpf)
    assert caught.value.errno == errno.EINVAL
    assert "instructions" in system_call(caught.value)


def test_flags_supported() -> None:
    for flag in (0, LOG, SPEC_ALLOW, LOG | TSYNC):
        assert seccomp.flags_supported(flag)
    assert not seccomp.flags_supported(1 << 30)
    assert not seccomp.flags_supported(LOG | 1 << 30)
    newer = tuple(int(part) for part in os.uname().release.split(".")[:2]) >= (5, 19)
    assert seccomp.flags_supported(WAIT_KILLABLE_RECV) == newer


@pytest.mark.parametrize("bpf", [always(ALLOW), always(KILL_PROCESS), always(ERRNO), always(ALLOW) * 4096])
def test_check_accepts_and_leaves_the_caller_alone(bpf: bytes) -> None:
    before = status_lines()
    seccomp.check(bpf, SPEC_ALLOW)
    assert status_lines() == before


def status_lines() -> list[str]:
    lines = Path("/proc/self/status").read_text().splitlines()
    children = Path("/proc/thread-self/children").read_text()
    return [children, *(line for line in lines if line.startswith(("Seccomp", "NoNewPrivs", "Cap")))]


def test_check_does_not_wait_for_an_agent() -> None:
    """A filter that notifies of everything, its own end included, would wait for ever if it had a listener."""
    seccomp.check(
        always(USER_NOTIF),
        NEW_LISTENER | WAIT_KILLABLE_RECV,
    )


@pytest.mark.parametrize(
    ("bpf", "flags"),
    [
        (program((0x05, 0, 0, 5), (0x06, 0, 0, ALLOW)), 0),
        (program((0x20, 0, 0, 64), (0x06, 0, 0, ALLOW)), 0),
        (program((0x20, 0, 0, 0)), 0),
        (always(ALLOW), 1 << 30),
    ],
    ids=["a jump past the end", "a load past the data", "no end", "an unknown flag"],
)
def test_check_refuses(bpf: bytes, flags: int) -> None:
    with pytest.raises(OSError, match="Invalid argument") as caught:
        seccomp.check(bpf, flags)
    assert caught.value.errno == errno.EINVAL
    assert system_call(caught.value).startswith("seccomp(SECCOMP_SET_MODE_FILTER")


def test_check_leaves_no_core_file(tmp_path: Path) -> None:
    """SIGSYS would write one where core files are on: in the working directory, by the kernel's own pattern."""
    before = os.getcwd()
    os.chdir(tmp_path)
    try:
        seccomp.check(always(KILL_PROCESS), 0)
    finally:
        os.chdir(before)
    assert list(tmp_path.iterdir()) == []
