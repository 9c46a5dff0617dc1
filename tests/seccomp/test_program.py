"""program(): flags, the cache behind it, and what the running kernel makes of the result."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pyoci.config.seccomp import Seccomp, SyscallArg, SyscallRule
from pyoci.errors import StepError
from pyoci.kernel import constants, libseccomp
from pyoci.kernel import seccomp as kernel
from pyoci.seccomp import cache
from pyoci.seccomp import program as seccomp
from pyoci.seccomp.program import program
from tests.seccomp.model import default_profile

LOG, SPEC_ALLOW = constants.SECCOMP_FILTER_FLAG_LOG, constants.SECCOMP_FILTER_FLAG_SPEC_ALLOW
ALLOW_ALL = Seccomp(default_action="SCMP_ACT_ALLOW")


def in_child(profile: Seccomp, root: Path, body: Callable[[], int]) -> int:
    """The exit status, or minus the signal, of a child that loads the profile and calls `body`."""
    made = program(profile, str(root))
    prepared = kernel.prepare(made.bpf)
    pid = os.fork()
    if pid == 0:
        try:
            ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
            prepared.load(made.flags)
            os._exit(body())
        finally:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def error_of(number: int, *arguments: int) -> Callable[[], int]:
    """Makes the call; 0 or the errno it failed with."""
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    words = [ctypes.c_long(word) for word in (number, *arguments)]
    return lambda: ctypes.get_errno() if syscall(*words) < 0 else 0


def denied(name: str, action: str, code: int | None = None, *args: SyscallArg) -> Seccomp:
    rule = SyscallRule(pointer="/linux/seccomp/syscalls/0", names=(name,), action=action, errno=code, args=args)
    return Seccomp(default_action="SCMP_ACT_ALLOW", syscalls=(rule,))


@pytest.mark.parametrize(
    ("names", "flags"),
    [
        (None, SPEC_ALLOW),
        ((), 0),
        (("SECCOMP_FILTER_FLAG_TSYNC",), 0),
        (("SECCOMP_FILTER_FLAG_LOG",), LOG),
        (("SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_LOG"), LOG | SPEC_ALLOW),
        (("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",), 0),
    ],
)
def test_flags(names: tuple[str, ...] | None, flags: int, tmp_path: Path) -> None:
    made = program(Seccomp(default_action="SCMP_ACT_ALLOW", flags=names), str(tmp_path))
    assert made.flags == flags


def test_every_flag_of_the_schema_is_known_here() -> None:
    from pyoci.config.schema.documents import DOCUMENTS

    known = {*seccomp._FLAGS, seccomp._IGNORED}
    assert known == set(DOCUMENTS["defs-linux.json"]["definitions"]["SeccompFlag"]["enum"])


def test_flags_are_not_part_of_the_entry(tmp_path: Path) -> None:
    first = program(ALLOW_ALL, str(tmp_path))
    second = program(Seccomp(default_action="SCMP_ACT_ALLOW", flags=()), str(tmp_path))
    assert first.bpf == second.bpf and first.flags != second.flags
    assert len(os.listdir(tmp_path / cache.NAME)) == 1


def test_a_cached_profile_needs_no_libseccomp(tmp_path: Path) -> None:
    """Another process gets the same program without loading the library or forking, in well under 1 ms."""
    code = f"""
import os, sys, time
from tests.seccomp.model import default_profile
profile = default_profile()
from pyoci.seccomp.program import program
program(profile, {str(tmp_path)!r}) if sys.argv[1] == "miss" else None
os.fork = None
times = []
for _ in range(20):
    start = time.perf_counter()
    made = program(profile, {str(tmp_path)!r})
    times.append(time.perf_counter() - start)
loaded = "libseccomp" in open("/proc/self/maps").read()
modules = [name for name in sys.modules if "libseccomp" in name or "seccomp_profile" in name or "hashlib" in name]
print(len(made.bpf), loaded, [name for name in modules if "hashlib" not in name], min(times) < 0.001)
"""
    command = [sys.executable, "-c", code]
    first = subprocess.run([*command, "miss"], capture_output=True, text=True, check=True).stdout.split(maxsplit=1)
    second = subprocess.run([*command, "hit"], capture_output=True, text=True, check=True).stdout.split(maxsplit=1)
    assert first[0] == second[0]
    assert second[1] == "False [] True\n"


def test_a_damaged_entry_is_rewritten(tmp_path: Path) -> None:
    made = program(ALLOW_ALL, str(tmp_path))
    (entry,) = (tmp_path / cache.NAME).iterdir()
    whole = entry.read_bytes()
    entry.write_bytes(whole[:-8])
    assert program(ALLOW_ALL, str(tmp_path)) == made
    assert entry.read_bytes() == whole


@pytest.mark.root
def test_a_forged_entry_is_not_believed(tmp_path: Path) -> None:
    """Right in every way, and it allows everything; but somebody else wrote it, or may write to it."""
    strict = denied("getppid", "SCMP_ACT_ERRNO", errno.EXDEV)
    made, key = program(strict, str(tmp_path)), cache.key(strict)
    allowing = program(ALLOW_ALL, str(tmp_path))
    cache.store(str(tmp_path), key, allowing.bpf, (), libseccomp.path())
    assert program(strict, str(tmp_path)) == allowing, "that would be the danger"
    entry = tmp_path / cache.NAME / key
    forged = entry.read_bytes()
    for owner, mode in ((65534, 0o600), (0, 0o606)):
        entry.unlink()
        entry.write_bytes(forged)
        entry.chmod(mode)
        os.chown(entry, owner, -1)
        assert program(strict, str(tmp_path)) == made


def test_no_cache_without_a_state_directory(tmp_path: Path) -> None:
    assert program(ALLOW_ALL, str(tmp_path / "absent")).bpf
    assert not (tmp_path / "absent").exists()


def test_a_profile_that_the_kernel_does_not_take(tmp_path: Path) -> None:
    args = [SyscallArg(pointer="", index=0, value=value, op="SCMP_CMP_EQ") for value in range(1500)]
    profile = denied("read", "SCMP_ACT_ERRNO", 1, *args)
    with pytest.raises(StepError) as caught:
        program(profile, str(tmp_path))
    message = "unable to init seccomp: error loading seccomp filter into kernel: invalid argument"
    assert caught.value.message == message
    assert caught.value.pointer == "/linux/seccomp"
    assert caught.value.errno == errno.EINVAL
    assert caught.value.call.startswith("seccomp(SECCOMP_SET_MODE_FILTER, ")
    assert "the kernel takes 4096" in caught.value.hint
    assert not (tmp_path / cache.NAME).exists()


@pytest.mark.parametrize("action", ["KILL", "KILL_THREAD", "KILL_PROCESS", "TRAP", "ERRNO", "TRACE", "LOG"])
def test_a_profile_that_forbids_its_own_end_is_proved(action: str, tmp_path: Path) -> None:
    children = Path("/proc/thread-self/children")
    before, start = children.read_text(), time.monotonic()
    assert program(Seccomp(default_action=f"SCMP_ACT_{action}"), str(tmp_path)).bpf
    assert time.monotonic() - start < 5, "even where _exit tries for ever"
    assert children.read_text() == before, "nobody is left to wait for"


GETPPID, PERSONALITY, SOCKET, MOUNT, CLONE3 = 110, 135, 41, 165, 435
x86_64 = pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers of system calls are those of x86-64")


@x86_64
def test_the_kernel_obeys(tmp_path: Path) -> None:
    def status(profile: Seccomp) -> int:
        return in_child(profile, tmp_path, error_of(GETPPID))

    assert status(ALLOW_ALL) == 0
    assert status(denied("getppid", "SCMP_ACT_ERRNO")) == errno.EPERM
    assert status(denied("getppid", "SCMP_ACT_ERRNO", errno.EXDEV)) == errno.EXDEV
    assert status(denied("getppid", "SCMP_ACT_TRACE")) == errno.ENOSYS, "nobody traces"
    assert status(denied("getppid", "SCMP_ACT_LOG")) == 0
    for action in ("TRAP", "KILL", "KILL_THREAD", "KILL_PROCESS"):
        assert status(denied("getppid", f"SCMP_ACT_{action}")) == -signal.SIGSYS


@x86_64
def test_the_kernel_compares_arguments(tmp_path: Path) -> None:
    argument = SyscallArg(pointer="", index=0, value=2**32 + 5, op="SCMP_CMP_GE")
    profile = denied("personality", "SCMP_ACT_ERRNO", errno.EXDEV, argument)
    assert in_child(profile, tmp_path, error_of(PERSONALITY, 0xFFFFFFFF)) == 0
    assert in_child(profile, tmp_path, error_of(PERSONALITY, 2**32 + 4)) == 0
    assert in_child(profile, tmp_path, error_of(PERSONALITY, 2**32 + 5)) == errno.EXDEV
    assert in_child(profile, tmp_path, error_of(PERSONALITY, 2**33)) == errno.EXDEV


@x86_64
def test_the_kernel_under_a_default_profile(tmp_path: Path) -> None:
    profile = default_profile()
    for call, error in (
        (error_of(GETPPID), 0),
        (error_of(PERSONALITY, 0xFFFFFFFF), 0),
        (error_of(PERSONALITY, 0x40000), errno.EPERM),
        (error_of(MOUNT, 0, 0, 0, 0, 0), errno.EPERM),
        (error_of(SOCKET, 38, 5, 0), errno.EPERM),
        (error_of(SOCKET, 1, 1, 0), 0),
        (error_of(CLONE3, 0, 0), errno.ENOSYS),
        (error_of(2000), errno.ENOSYS),
    ):
        assert in_child(profile, tmp_path, call) == error


@x86_64
def test_the_speculation_mitigation_is_off_only_with_spec_allow(tmp_path: Path) -> None:
    """SPEC_ALLOW, the default, leaves the process's state as it was; without it the kernel may add the mitigation."""

    def state() -> int:
        status = Path("/proc/self/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("Speculation_Store_Bypass"))
        return int("mitigated" in line)

    assert in_child(ALLOW_ALL, tmp_path, state) == state()
