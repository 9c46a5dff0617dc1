"""A profile like Docker's, proved in full: each call of each architecture that it lists, against the reading of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pyoci.kernel import libseccomp
from pyoci.seccomp.profile import compile
from tests.seccomp.model import (
    ALLOW,
    ENOSYS,
    ERRNO,
    X32_BIT,
    X86,
    X86_64,
    Call,
    Tables,
    default_profile,
    reference,
    run,
)

HEADERS = Path("/usr/include/x86_64-linux-gnu/asm")
FILES = {"SCMP_ARCH_X86_64": "unistd_64.h", "SCMP_ARCH_X86": "unistd_32.h", "SCMP_ARCH_X32": "unistd_x32.h"}
SOCKETCALL, IPC = 102, 117  # of i386: the call that is meant is their first argument
OF_SOCKETCALL = dict(
    enumerate(
        "socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom shutdown "
        "setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg".split(),
        1,
    )
)  # linux/net.h
OF_IPC = {1: "semop", 2: "semget", 3: "semctl", 4: "semtimedop", 11: "msgsnd", 12: "msgrcv", 13: "msgget", 14: "msgctl"}
OF_IPC |= {21: "shmat", 22: "shmdt", 23: "shmget", 24: "shmctl"}  # linux/ipc.h
LAST = 600  # above the last number of any architecture today; from 512 on those that only x32 has

pytestmark = pytest.mark.skipif(
    libseccomp.native_architecture() != X86_64, reason="the profile lists the architectures of an x86-64 machine"
)


@pytest.fixture(scope="module")
def tables() -> Tables:
    """The kernel's own numbers, from its headers. Names that the installed libseccomp does not know are ignored.

    Of names that the headers are too old for, libseccomp's numbers.
    """
    found: Tables = {}
    profile = {name for rule in default_profile().syscalls for name in rule.names}
    for arch, file in FILES.items():
        text = (HEADERS / file).read_text()
        lines = re.findall(r"^#define __NR_(\w+) (?:\(__X32_SYSCALL_BIT \+ )?(\d+)\)?$", text, re.MULTILINE)
        bit = X32_BIT if file == "unistd_x32.h" else 0
        found[arch] = {name: int(number) + bit for name, number in lines if libseccomp.number(name) is not None}
        assert len(found[arch]) > 300
        last = max(number for number in found[arch].values() if number - bit < 512)
        for name in profile - found[arch].keys():
            newer = libseccomp.number(name, libseccomp.architecture(arch.removeprefix("SCMP_ARCH_").lower()))
            if newer is not None and newer > last:
                found[arch][name] = newer
    return found


def values(profile_values: set[int]) -> list[int]:
    """First arguments at and around every value that a rule compares with."""
    near = {value + step for value in profile_values for step in (-1, 0, 1, 1 << 32)}
    return sorted(value % 2**64 for value in near | {0, 1 << 28, 1 << 63, 2**64 - 1})


def test_every_call_and_architecture(tables: Tables) -> None:
    profile = default_profile()
    bpf = compile(profile)
    compared = {name for rule in profile.syscalls if rule.args for name in rule.names}
    seen = dict.fromkeys((ALLOW, ERRNO | 1, ENOSYS), 0)
    arguments = values({argument.value for rule in profile.syscalls for argument in rule.args})
    for arch, audit, bit in (
        ("SCMP_ARCH_X86_64", X86_64, 0),
        ("SCMP_ARCH_X86", X86, 0),
        ("SCMP_ARCH_X32", X86_64, X32_BIT),
    ):
        numbers = [*range(LAST), 10_000, X32_BIT - 1]
        interesting = {number for name, number in tables[arch].items() if name in compared}
        for number in (one + bit for one in numbers):
            if audit == X86 and number in (SOCKETCALL, IPC):
                continue
            for first in arguments if number in interesting else arguments[:1]:
                first &= 0xFFFFFFFF if audit == X86 else 2**64 - 1
                call = Call(number, audit, (first, *(2**64 - 1,) * 5))
                verdict = run(bpf, call)
                assert hex(verdict) == hex(reference(profile, call, tables)), (arch, call)
                seen[verdict] += 1
    assert min(seen.values()) > 100, "the profile allows, forbids and does not know"


def test_calls_that_carry_others(tables: Tables) -> None:
    """Of socketcall(2) and ipc(2) of i386 what the profile names passes; the arguments behind it cannot be seen."""
    profile = default_profile()
    bpf = compile(profile)
    named = {name for rule in profile.syscalls if rule.action == "SCMP_ACT_ALLOW" for name in rule.names}
    for carrier, number, carried in (("socketcall", SOCKETCALL, OF_SOCKETCALL), ("ipc", IPC, OF_IPC)):
        assert tables["SCMP_ARCH_X86"][carrier] == number
        for sub_call in range(30):
            passes = carrier in named or carried.get(sub_call) in named
            verdict = run(bpf, Call(number, X86, (sub_call, 0, 0, 0, 0, 0)))
            assert verdict == (ALLOW if passes else ERRNO | 1), (carrier, sub_call)


@pytest.mark.parametrize("arch", FILES)
def test_libseccomp_has_the_kernels_numbers(arch: str, tables: Tables) -> None:
    token = libseccomp.architecture(arch.removeprefix("SCMP_ARCH_").lower())
    wrong = {
        name: (number, found)
        for name, number in tables[arch].items()
        if (found := libseccomp.number(name, token)) != number and (found is None or found >= 0)
    }
    assert wrong == {}
