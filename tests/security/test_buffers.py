"""The kernel writes nothing beyond the memory that it is given (BPF_PROG_QUERY of Linux 6.17 to 7.2 did).

Every buffer of pyoci.kernel.libc is put between guards here, and every call that has one is made.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.root

GUARDED = r"""
import ctypes, gc, mmap, os, sys
sys.path.insert(0, sys.argv[1])
from pyoci.kernel import libc

PATTERN = b"\xaa" * 4096
made = []


def buffer(size, data=b""):
    pages = -(-size // 4096) * 4096
    memory = mmap.mmap(-1, pages + 8192)
    memory[:] = b"\xaa" * len(memory)
    start = 4096 + pages - size  # the guard begins right after the last byte
    array = (ctypes.c_char * size).from_buffer(memory, start)
    array[:] = data.ljust(size, b"\0")
    made.append((memory, start, size, sys._getframe(1).f_code.co_name))
    return array


libc.buffer = buffer
libc.addressof = ctypes.addressof
from pyoci.kernel import bpf, capability, clone, keyring, mount, path, seccomp


def intact():
    for memory, start, size, caller in made:
        before, after = bytes(memory[:start]), bytes(memory[start + size:])
        assert before == b"\xaa" * len(before) and after == b"\xaa" * len(after), caller
    print(" ".join(sorted({caller for *_, caller in made})))


def attempt(call, *args):
    try:
        return call(*args)
    except OSError:
        return None


exec(sys.argv[2])
intact()
"""

EVERYTHING = r"""
capability.get()
pid, pidfd = clone.clone(lambda: None)
os.waitpid(pid, 0)
path.filesystem_type(os.open("/proc", os.O_RDONLY))
attempt(keyring.join_session, "_ses.guarded")
cgroup = os.open(sys.argv[3], os.O_RDONLY)
attempt(bpf.attached, cgroup)
code = bytes.fromhex("b700000001000000" "9500000000000000")  # r0 = 1; exit
program = attempt(bpf.load_device_program, code)
if program is not None:
    attempt(bpf.attach, cgroup, program)
    attempt(bpf.attached, cgroup)
    attempt(bpf.detach, cgroup, program)
attempt(bpf.load_device_program, bytes(8))
"""

OVERFLOW = r"""
array = buffer(8)
ctypes.memset(ctypes.addressof(array), 0, 9)
"""


def guarded(code: str, cgroup: str = "/") -> subprocess.CompletedProcess[str]:
    """Run `code` in a process of its own."""
    project = str(Path(__file__).parent.parent.parent)
    command = [sys.executable, "-c", GUARDED, project, code, cgroup]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_guards_are_intact(tmp_path: Path) -> None:
    hierarchy = next((path for path in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup") if os.path.isdir(path)), "/")
    cgroup = Path(hierarchy, f"pyoci-guards-{os.getpid()}")
    cgroup.mkdir()
    try:
        done = guarded(EVERYTHING, str(cgroup))
    finally:
        cgroup.rmdir()
    assert (done.returncode, done.stderr) == (0, "")
    assert {"get", "clone", "filesystem_type", "join_session", "_attribute", "attached"} <= set(done.stdout.split())


def test_a_byte_too_many_is_noticed() -> None:
    done = guarded(OVERFLOW)
    assert done.returncode == 1 and "AssertionError" in done.stderr


def test_every_module_with_a_buffer_is_covered() -> None:
    """A new one has to be called above."""
    kernel = Path(__file__).parent.parent.parent / "pyoci/kernel"
    users = {file.stem for file in kernel.glob("*.py") if "buffer(" in file.read_text()} - {"libc"}
    assert users <= {"bpf", "capability", "clone", "keyring", "path", "seccomp"}
