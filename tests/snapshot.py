"""What a container could leave on the machine, before and after a test: equal, or the test has found a leak.

The machine does other things meanwhile, so everything is counted that carries the test's `mark` or lies in its
directory: processes (those of a cgroup with the mark, those whose command line names the directory, and our own
children, zombies too), cgroups of every hierarchy, session keyrings, the state directory. The host's mounts and our
own descriptors are counted whole, but for mounts in the directories of other test runs. A device program is counted if
it bears pyoci's name and is not attached to somebody else's cgroup: nothing else tells whose it is.

The kernel frees some things later (a keyring, a program, a zombie): compare with `differences`, which waits for that.
"""

from __future__ import annotations

import contextlib
import gc
import os
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pyoci.kernel import bpf
from pyoci.kernel.libc import addressof, buffer, c_int, c_uint, c_void_p, number, syscall

CGROUPS = "/sys/fs/cgroup"
PROGRAM_NAME = "pyoci_devices"
_DEPTH = 10

_PROG_GET_NEXT_ID, _PROG_GET_FD_BY_ID, _OBJ_GET_INFO_BY_FD = 11, 13, 15
_TYPE_CGROUP_DEVICE = 15
_bpf = syscall("bpf", number("bpf", x86_64=321, aarch64=280), c_int, c_void_p, c_uint)


@dataclass(frozen=True)
class Snapshot:
    """Each member is a set of one-line descriptions, so that a difference explains itself."""

    processes: frozenset[str]
    cgroups: frozenset[str]
    mounts: frozenset[str]
    state: frozenset[str]
    descriptors: frozenset[str]
    keys: frozenset[str]
    programs: frozenset[str]


def take(mark: str, directory: Path, root: Path) -> Snapshot:
    """The snapshot for the test with this mark, its directory and its state root."""
    gc.collect()  # what earlier tests have dropped would close its descriptors at any time
    return Snapshot(
        processes=frozenset(processes(mark, str(directory))),
        cgroups=frozenset(cgroups(mark)),
        mounts=frozenset(mounts(str(directory))),
        state=frozenset(files(root)),
        descriptors=frozenset(descriptors()),
        keys=frozenset(keys(mark)),
        programs=frozenset(programs(mark)),
    )


def differences(before: Snapshot, mark: str, directory: Path, root: Path, patience: float = 10.0) -> list[str]:
    """What was not there before (+) and is not there any more (-), once nothing changes for the better."""
    deadline = time.monotonic() + patience
    while True:
        found = _compare(before, take(mark, directory, root))
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def _compare(before: Snapshot, after: Snapshot) -> list[str]:
    found = []
    for kind in Snapshot.__dataclass_fields__:
        old, new = getattr(before, kind), getattr(after, kind)
        found += [f"+ {kind}: {line}" for line in sorted(new - old)]
        if kind not in ("processes", "programs"):  # one may end at any time, and a program may be somebody else's
            found += [f"- {kind}: {line}" for line in sorted(old - new)]
    return found


def processes(mark: str, directory: str) -> Iterator[str]:
    """Those that belong to the test: by cgroup, by command line, or as a child of ours.

    A zombie counts as a child of ours only: one whose parent has ended is for the machine's init to reap.
    Whether it runs, sleeps or waits for a disk is its own affair and changes by itself; stopped or dead is told apart.
    """
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            command = Path(f"/proc/{name}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            cgroup = os.fsdecode(Path(f"/proc/{name}/cgroup").read_bytes())
            called, _, rest = os.fsdecode(Path(f"/proc/{name}/stat").read_bytes()).rpartition(") ")
        except OSError:  # it has just ended
            continue
        state, parent = rest.split()[:2]
        theirs = state != "Z" and (mark in cgroup or directory in command)
        if theirs or int(parent) == os.getpid():
            yield f"{called}) {'alive' if state in 'RSD' else state} {command.strip()}"


def cgroups(mark: str) -> Iterator[str]:
    return (path for path in _every_cgroup() if mark in path)


def _every_cgroup() -> Iterator[str]:
    """All but the deepest: other tests make a thousand levels."""
    waiting = [CGROUPS]
    while waiting:
        directory = waiting.pop()
        try:
            names = [entry.name for entry in os.scandir(directory) if entry.is_dir(follow_symlinks=False)]
        except OSError:  # somebody else's, just removed
            continue
        paths = [f"{directory}/{name}" for name in names]
        yield from paths
        if directory.count("/") < _DEPTH:
            waiting += paths


def mounts(directory: str) -> Iterator[str]:
    """The host's, as lines of mountinfo."""
    for line in os.fsdecode(Path("/proc/self/mountinfo").read_bytes()).split("\n"):
        if directory in line or "/pyoci-tests/" not in line:
            yield line


def files(root: Path) -> Iterator[str]:
    """Everything in the state root but the cache of seccomp programs, which stays on purpose."""
    for path in root.rglob("*"):
        relative = path.relative_to(root)
        if relative.parts[0] != "@seccomp":
            yield str(relative)


def descriptors() -> Iterator[str]:
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            yield f"{name} {os.readlink(f'/proc/self/fd/{name}')}"


def keys(mark: str) -> Iterator[str]:
    """Those with the mark in their description: a session keyring is named after its container."""
    for line in os.fsdecode(Path("/proc/keys").read_bytes()).split("\n"):
        if mark in line:
            yield line


def programs(mark: str) -> Iterator[str]:
    """The device programs of cgroups that bear pyoci's name (bpf(2)), but for those attached to cgroups of others."""
    last = 0
    found = set()
    while True:
        attribute = buffer(64, struct.pack("=III", last, 0, 0))
        try:
            _bpf(_PROG_GET_NEXT_ID, addressof(attribute), 12)
        except OSError:  # ENOENT: that was the last one; EPERM: none of our business
            break
        (last,) = struct.unpack_from("=I", attribute.raw, 4)
        if _program(last) == (_TYPE_CGROUP_DEVICE, PROGRAM_NAME):
            found.add(last)
    if found:
        for path in _every_cgroup():
            if mark not in path:
                found -= set(_attached(path))
    for one in sorted(found):
        if _program(one)[0]:
            yield f"{one} {PROGRAM_NAME}"


def _attached(path: str) -> list[int]:
    try:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return []
    try:
        return bpf.attached(directory)
    except OSError:  # EBADF: not a cgroup of v2
        return []
    finally:
        os.close(directory)


def _program(id: int) -> tuple[int, str]:
    """Type and name of a program; (0, "") if it is gone."""
    attribute = buffer(64, struct.pack("=III", id, 0, 0))
    try:
        descriptor = _bpf(_PROG_GET_FD_BY_ID, addressof(attribute), 12)
    except OSError:
        return 0, ""
    try:
        info = buffer(256)
        attribute = buffer(64, struct.pack("=IIQ", descriptor, 256, addressof(info)))
        _bpf(_OBJ_GET_INFO_BY_FD, addressof(attribute), 16)
        # struct bpf_prog_info: type at 0, name (16 bytes) at 64
        return struct.unpack_from("=I", info.raw)[0], info.raw[64:80].partition(b"\0")[0].decode()
    finally:
        os.close(descriptor)
