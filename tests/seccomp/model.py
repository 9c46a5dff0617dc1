"""What a filter must answer, said twice: by running its BPF, and by reading the profile as the specification does.

The reading knows nothing of libseccomp: the system calls' numbers below are the kernel's.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pyoci.config import read
from pyoci.config.seccomp import Seccomp, SyscallArg, SyscallRule

KILL_THREAD, KILL_PROCESS, TRAP, ERRNO, TRACE = 0, 0x80000000, 0x30000, 0x50000, 0x7FF00000
LOG, ALLOW, NOTIFY = 0x7FFC0000, 0x7FFF0000, 0x7FC00000
ENOSYS = ERRNO | 38
X32_BIT = 1 << 30

X86_64, X86, AARCH64, S390X = 0xC000003E, 0x40000003, 0xC00000B7, 0x80000016
AUDIT = {
    "SCMP_ARCH_X86_64": X86_64,
    "SCMP_ARCH_X86": X86,
    "SCMP_ARCH_X32": X86_64,
    "SCMP_ARCH_AARCH64": AARCH64,
}
NATIVE = "SCMP_ARCH_X86_64"
WIDTH = {"SCMP_ARCH_X86": 32, "SCMP_ARCH_X32": 32}  # bits of an argument that count

NAMES = ("read", "write", "openat", "personality", "clone", "ioctl", "keyctl", "prctl", "kill", "statx", "clone3")
NUMBERS = {
    "SCMP_ARCH_X86_64": (0, 1, 257, 135, 56, 16, 250, 157, 62, 332, 435),
    "SCMP_ARCH_X86": (3, 4, 295, 136, 120, 54, 288, 172, 37, 383, 435),
    "SCMP_ARCH_X32": tuple(X32_BIT + n for n in (0, 1, 257, 135, 56, 514, 250, 157, 62, 332, 435)),
    "SCMP_ARCH_AARCH64": (63, 64, 56, 92, 220, 29, 219, 167, 129, 291, 435),
}


@dataclass(frozen=True)
class Call:
    """struct seccomp_data."""

    number: int
    arch: int
    arguments: tuple[int, ...] = (0,) * 6

    def packed(self) -> bytes:
        return struct.pack("<IIQ6Q", self.number & 0xFFFFFFFF, self.arch, 0x7F0000001000, *self.arguments)


def default_profile() -> Seccomp:
    """A profile of the size and the kinds of rules that engines use by default."""
    profile = json.loads((Path(__file__).parent / "profiles/default.json").read_text())
    config = read({"ociVersion": "1.3.0", "root": {"path": "rootfs"}, "linux": {"seccomp": profile}})
    assert config.linux.seccomp is not None
    return config.linux.seccomp


@cache
def _instructions(bpf: bytes) -> list[tuple[int, int, int, int]]:
    return list(struct.iter_unpack("=HBBI", bpf))


def run(bpf: bytes, call: Call) -> int:
    """The verdict of a program: classic BPF as far as seccomp filters use it."""
    code = _instructions(bpf)
    data = call.packed()
    at, accumulator = 0, 0
    for _ in range(len(code)):
        operation, if_true, if_false, k = code[at]
        at += 1
        if operation == 0x20:  # ld [k]
            assert k % 4 == 0
            accumulator = struct.unpack_from("<I", data, k)[0]
        elif operation == 0x54:  # and #k
            accumulator &= k
        elif operation == 0x05:  # ja
            at += k
        elif operation == 0x06:  # ret #k
            return k
        else:
            holds = {
                0x15: accumulator == k,
                0x25: accumulator > k,
                0x35: accumulator >= k,
                0x45: accumulator & k != 0,
            }[operation]
            at += if_true if holds else if_false
    raise AssertionError("the program has no end")


Tables = dict[str, dict[str, int]]  # architecture -> name -> number
FEW: Tables = {arch: dict(zip(NAMES, numbers, strict=True)) for arch, numbers in NUMBERS.items()}


def reference(profile: Seccomp, call: Call, tables: Tables = FEW) -> int:
    """The verdict by the specification, runc's -ENOSYS rule and libseccomp's answer to an unlisted architecture.

    Of several rules for one call the first without conditions counts; else the first one whose conditions hold. One
    that says what the default action says is none.
    """
    listed = {NATIVE, *profile.architectures}
    default = action(profile.default_action, profile.default_errno)
    if _newer_than_profile(profile, call, listed, default, tables):
        return ENOSYS
    arch = _architecture(call, listed)
    if arch is None:
        return KILL_THREAD
    names = {name for name, number in tables[arch].items() if number == call.number}
    rules = [rule for rule in profile.syscalls if names.intersection(rule.names)]
    verdicts = [(rule, action(rule.action, rule.errno)) for rule in rules]
    verdicts = [(rule, verdict) for rule, verdict in verdicts if verdict != default]
    for rule, verdict in sorted(verdicts, key=lambda pair: bool(pair[0].args)):
        if not rule.args or _matches(rule, call.arguments, WIDTH.get(arch, 64)):
            return verdict
    return default


def _newer_than_profile(profile: Seccomp, call: Call, listed: set[str], default: int, tables: Tables) -> bool:
    if default in (ALLOW, LOG, ENOSYS) or default & 0x7FFF0000 == TRACE:
        return False
    kind = "SCMP_ARCH_X32" if call.arch == X86_64 and call.number & X32_BIT else None
    arch = kind or next((name for name in AUDIT if AUDIT[name] == call.arch), None)
    if arch is None or arch not in listed:
        return False
    names = {name for rule in profile.syscalls for name in rule.names}
    return call.number > max((number for name, number in tables[arch].items() if name in names), default=2**32)


def _architecture(call: Call, listed: set[str]) -> str | None:
    """libseccomp takes every number from 2^30 on for x32, but for -1, which a tracer sets to skip a call."""
    name = next((name for name in AUDIT if AUDIT[name] == call.arch), None)
    if (
        call.arch == X86_64
        and call.number >= X32_BIT
        and not (call.number == 2**32 - 1 and "SCMP_ARCH_X32" not in listed)
    ):
        name = "SCMP_ARCH_X32"
    return name if name in listed else None


def action(name: str, errno: int | None) -> int:
    plain = {
        "SCMP_ACT_KILL": KILL_THREAD,
        "SCMP_ACT_KILL_THREAD": KILL_THREAD,
        "SCMP_ACT_KILL_PROCESS": KILL_PROCESS,
        "SCMP_ACT_TRAP": TRAP,
        "SCMP_ACT_LOG": LOG,
        "SCMP_ACT_NOTIFY": NOTIFY,
        "SCMP_ACT_ALLOW": ALLOW,
    }
    if name in plain:
        return plain[name]
    return {"SCMP_ACT_ERRNO": ERRNO, "SCMP_ACT_TRACE": TRACE}[name] | (1 if errno is None else errno)


def _matches(rule: SyscallRule, arguments: tuple[int, ...], width: int) -> bool:
    results = [_holds(argument, arguments[argument.index], (1 << width) - 1) for argument in rule.args]
    if len({argument.index for argument in rule.args}) < len(rule.args):
        return any(results)
    return all(results)


def _holds(argument: SyscallArg, value: int, mask: int) -> bool:
    given, wanted = value & mask, argument.value & mask
    return {
        "SCMP_CMP_NE": given != wanted,
        "SCMP_CMP_LT": given < wanted,
        "SCMP_CMP_LE": given <= wanted,
        "SCMP_CMP_EQ": given == wanted,
        "SCMP_CMP_GE": given >= wanted,
        "SCMP_CMP_GT": given > wanted,
        "SCMP_CMP_MASKED_EQ": given & wanted == argument.value_two & wanted,
    }[argument.op]
