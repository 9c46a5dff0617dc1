"""bpf(2) on a real v2 cgroup: what is loaded, attached, replaced; buffers, descriptors, the verifier's log."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from pyoci.kernel import bpf

pytestmark = pytest.mark.root

RETURN_0 = b"\xb7\0\0\0\0\0\0\0\x95\0\0\0\0\0\0\0"
RETURN_1 = b"\xb7\0\0\0\1\0\0\0\x95\0\0\0\0\0\0\0"
GUARD = 256


@pytest.fixture
def cgroup() -> Iterator[int]:
    """A descriptor of an empty v2 cgroup of our own."""
    point = "/sys/fs/cgroup/unified" if os.path.exists("/sys/fs/cgroup/unified") else "/sys/fs/cgroup"
    path = f"{point}/pyoci-test-bpf-{os.getpid()}"
    os.mkdir(path)
    descriptor = os.open(path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)
    os.rmdir(path)


def test_attach_and_detach(cgroup: int) -> None:
    assert bpf.attached(cgroup) == []
    program = bpf.load_device_program(RETURN_1)
    assert not os.get_inheritable(program)
    bpf.attach(cgroup, program)
    (id,) = bpf.attached(cgroup)
    again = bpf.open_program(id)
    assert again is not None and not os.get_inheritable(again)
    bpf.detach(cgroup, again)
    assert bpf.attached(cgroup) == []
    os.close(again)
    os.close(program)
    assert bpf.open_program(id) is None


def test_replace(cgroup: int) -> None:
    first, second, third = (bpf.load_device_program(code) for code in (RETURN_0, RETURN_1, RETURN_1))
    bpf.attach(cgroup, first)
    (old,) = bpf.attached(cgroup)
    bpf.attach(cgroup, second, first)
    (new,) = bpf.attached(cgroup)
    assert new != old
    with pytest.raises(FileNotFoundError):  # the one to replace is gone
        bpf.attach(cgroup, third, first)
    for program in (first, second, third):
        os.close(program)


def test_the_program_has_a_name(cgroup: int) -> None:
    program = bpf.load_device_program(RETURN_1)
    with open(f"/proc/self/fdinfo/{program}") as file:
        assert "prog_type:\t15" in file.read()
    os.close(program)


def test_more_programs_than_room(cgroup: int, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = [bpf.load_device_program(RETURN_1) for _ in range(5)]
    for program in programs:
        bpf.attach(cgroup, program)
        os.close(program)
    expected = bpf.attached(cgroup)
    assert len(expected) == 5
    monkeypatch.setattr(bpf, "_IDS", 2)
    assert bpf.attached(cgroup) == expected
    monkeypatch.setattr(bpf, "_count", lambda _: 2)
    with pytest.raises(OSError, match="could not get complete list of CGROUP_DEVICE programs"):
        bpf.attached(cgroup)


def test_the_kernel_writes_into_our_buffers_only(cgroup: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels 6.17 to 7.2 write 64 bytes of the query whatever size it is said to have."""
    guarded: list[tuple[ctypes.Array[ctypes.c_char], int]] = []
    calls: list[tuple[int, int]] = []

    def buffer(size: int, data: bytes = b"") -> ctypes.Array[ctypes.c_char]:
        memory = (ctypes.c_char * (size + 2 * GUARD))()
        ctypes.memset(memory, 0xAA, len(memory))
        inner = (ctypes.c_char * size).from_buffer(memory, GUARD)
        ctypes.memset(inner, 0, size)
        ctypes.memmove(inner, data, len(data))
        guarded.append((memory, size))
        return inner

    call = bpf._bpf
    monkeypatch.setattr(bpf, "buffer", buffer)
    monkeypatch.setattr(
        bpf, "_bpf", lambda command, attribute, size: calls.append((command, size)) or call(command, attribute, size)
    )
    program = bpf.load_device_program(RETURN_1)
    bpf.attach(cgroup, program)
    (id,) = bpf.attached(cgroup)
    again = bpf.open_program(id)
    assert again is not None
    bpf.detach(cgroup, again)
    os.close(again)
    os.close(program)
    with pytest.raises(OSError, match="Invalid argument"):
        bpf.load_device_program(RETURN_0[:8])
    assert len(guarded) > 8
    for memory, size in guarded:
        assert memory.raw[:GUARD] == memory.raw[GUARD + size :] == b"\xaa" * GUARD
    assert (16, 64) in calls and {size for command, size in calls if command == 16} == {64}


def test_a_refused_program_brings_the_verifiers_words() -> None:
    before = os.listdir("/proc/self/fd")
    unreadable = b"\x61\x10\x40\0\0\0\0\0" + RETURN_1  # reads behind the context
    with pytest.raises(PermissionError) as caught:
        bpf.load_device_program(unreadable)
    call, log = caught.value.__notes__
    assert call.startswith("bpf(5, ") and "invalid bpf_context access off=64 size=4" in log
    assert os.listdir("/proc/self/fd") == before


def test_a_long_log_grows_its_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bpf, "_LOG_FIRST", 128)
    many = b"\xb7\0\0\0\1\0\0\0" * 2000 + b"\x61\x10\x40\0\0\0\0\0" + RETURN_1
    with pytest.raises(PermissionError) as caught:
        bpf.load_device_program(many)
    assert "invalid bpf_context access" in caught.value.__notes__[1]
    assert len(caught.value.__notes__[1].splitlines()) <= 20


def test_busy_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    call, attempts = bpf._bpf, 0

    def busy(*arguments: int) -> int:
        nonlocal attempts
        attempts += 1
        if attempts < 5 or limit:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return call(*arguments)

    limit = False
    monkeypatch.setattr(bpf, "_bpf", busy)
    os.close(bpf.load_device_program(RETURN_1))
    assert attempts == 5
    limit = True
    with pytest.raises(BlockingIOError):
        bpf.load_device_program(RETURN_1)
    assert 30 <= attempts - 5 <= 32


def test_descriptor_0_is_never_a_program(cgroup: int) -> None:
    """Without stdin the kernel's next descriptor is 0, which as the program to replace would mean none."""
    program = f"""
import os
from pyoci.kernel import bpf
os.close(0)
first = bpf.load_device_program({RETURN_0!r})
second = bpf.load_device_program({RETURN_1!r})
bpf.attach({cgroup}, first)
bpf.attach({cgroup}, second, first)
(id,) = bpf.attached({cgroup})
third = bpf.open_program(id)
bpf.detach({cgroup}, third)
print(min(first, second, third), os.path.exists("/proc/self/fd/0"), bpf.attached({cgroup}))
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, pass_fds=[cgroup], capture_output=True, text=True)
    lowest, zero, left = done.stdout.split(" ", 2)
    assert int(lowest) > 0 and (zero, left.strip()) == ("False", "[]"), done.stderr
