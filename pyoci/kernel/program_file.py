"""Why execve(2) refuses a program: what its file asks for, and which part of that is not there.

The kernel answers ENOENT for a program whose loader or #! interpreter is missing as for one that is missing itself, and
ENOEXEC without a word about what it cannot read. The file is the image's and may be anything: a FIFO, a device,
endless, cut off, with offsets that lead anywhere. So what is opened is a regular file that we may execute, without
blocking, and only its first bytes count.
"""

from __future__ import annotations

import stat
from errno import EACCES, EINVAL, EIO, ELIBBAD, ELOOP, ENOENT, ENOEXEC, ENOTDIR
from struct import Struct

from pyoci import os
from pyoci.kernel.constants import PATH_MAX
from pyoci.kernel.libc import MACHINE
from pyoci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_LOOKED_AT = 8192  # bytes from the start of a file: program headers and the name of the loader lie in the first few
_HEADERS = 65536  # bytes of program headers that the kernel reads
_LINE = 256  # bytes of a #! line that the kernel looks at (BINPRM_BUF_SIZE)
_SCRIPTS = 6  # files that the kernel takes one after the other
_PT_INTERP = 3
_FORMAT = (ENOEXEC, ELIBBAD, EIO, EINVAL)

# e_machine of elf(5), by the names of uname(2).
_MACHINES = {3: "i386", 8: "mips", 20: "ppc", 21: "ppc64", 22: "s390x", 40: "arm", 62: "x86_64", 183: "aarch64",
             243: "riscv64", 258: "loongarch64"}  # fmt: skip
_KINDS = {
    stat.S_IFDIR: "a directory", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}  # fmt: skip


class Head(Record):
    """What the first bytes of a file say. fault: why it is no program at all; interpreter: b"" if it needs none."""

    fault: str = ""
    script: bool = False
    machine: str = ""
    interpreter: bytes = b""


class Fault(Record):
    """errnos: what execve(2) answers in this case."""

    errnos: tuple[int, ...]
    text: str


def head(data: bytes | None) -> Head:
    """Read the start of a file as the kernel would (fs/binfmt_script.c, fs/binfmt_elf.c; elf(5)). Pure.

    None: it could not be read, and nothing is known.
    """
    if data is None:
        return Head()
    if data[:2] == b"#!":
        return _script(data[2:_LINE])
    if data[:4] == b"\x7fELF":
        return _elf(data)
    return Head(fault="has neither an ELF header nor a #! line" if data else "is empty")


def _script(line: bytes) -> Head:
    name = line.partition(b"\n")[0].strip(b" \t").replace(b"\t", b" ").partition(b" ")[0].partition(b"\0")[0]
    if not name:
        return Head(fault="has a #! line that names no interpreter")
    return Head(script=True, interpreter=name)


def _elf(data: bytes) -> Head:
    wide, order = data[4:5] == b"\2", ">" if data[5:6] == b"\2" else "<"
    # e_machine; e_phoff; e_phentsize, e_phnum; of a program header p_type, p_offset, p_filesz
    header = Struct(order + ("18xH12xQ14xHH" if wide else "18xH8xI10xHH"))
    entry = Struct(order + ("I4xQ16xQ16x" if wide else "II8xI12x"))
    if len(data) < header.size:
        return Head(fault=f"has an ELF header that ends after {len(data)} bytes")
    number, start, step, count = header.unpack_from(data)
    machine = _MACHINES.get(number, f"machine {number} of elf(5)")
    if machine == "ppc64" and order == "<":
        machine = "ppc64le"
    if step != entry.size or not 0 < count * step <= _HEADERS:
        return Head(fault=f"is an ELF file with {count} program headers of {step} bytes", machine=machine)
    for at in range(start, start + count * step, step):
        if at + step > len(data):
            return Head(fault="is an ELF file that is cut off" if len(data) < _LOOKED_AT else "", machine=machine)
        kind, offset, size = entry.unpack_from(data, at)
        if kind == _PT_INTERP:
            name = data[offset : offset + min(size, PATH_MAX)] if offset < len(data) else b""
            return Head(machine=machine, interpreter=name.partition(b"\0")[0])
    return Head(machine=machine)


def faults(path: bytes) -> tuple[Fault, ...]:
    """What keeps us from executing the file, looked up where we are and as whom we are; empty if nothing is found."""
    try:
        return tuple(_faults(path))
    except (OSError, ValueError, MemoryError):
        return ()  # the least memory, or a path with NUL: no reason to fail before execve(2) says so


def why(found: tuple[Fault, ...], errno: int | None) -> str:
    """What was found, if it is the reason why execve(2) has answered `errno`; else ""."""
    for one in found:
        if errno in one.errnos:
            return one.text
    return ""


def _faults(path: bytes) -> Iterator[Fault]:
    text = os.fsdecode(path)
    lead = ""
    for _ in range(_SCRIPTS):
        found = _access(path)
        if found is not None:
            yield Fault(errnos=found.errnos, text=lead + found.text)
            return
        data = head(_read(path))
        reason = _mismatch(data)
        if reason:  # a kernel may take programs of a second machine, as i386 on x86_64: then its loader counts
            yield Fault(errnos=_FORMAT, text=f"{lead}{text} {reason}")
        if not data.interpreter:
            return
        path = data.interpreter
        name = os.fsdecode(path)
        if not data.script:
            yield from _loader(path, f"{lead}{text} needs the loader {name} (PT_INTERP): ")
            return
        lead += f"{text} is a script for {name} (its #! line): "
        if name.endswith("\r"):
            lead += "the line ends in a carriage return, as on DOS; "
        text = name
    yield Fault(errnos=(ELOOP,), text=f"{lead}and so on")


def _loader(path: bytes, lead: str) -> Iterator[Fault]:
    """The kernel loads it together with the program; what loader it would need itself does not count."""
    found = _access(path)
    if found is not None:
        yield Fault(errnos=found.errnos, text=lead + found.text)
        return
    data = head(_read(path))
    reason = "is a script" if data.script else _mismatch(data)
    if reason:
        yield Fault(errnos=_FORMAT, text=f"{lead}it {reason}")


def _mismatch(data: Head) -> str:
    """Why a file that can be read is no program for this machine, "" if it may be one."""
    if data.machine and data.machine != MACHINE:
        return f"is for {data.machine}, this machine is {MACHINE}"
    return data.fault


def _access(path: bytes) -> Fault | None:
    """Whether it is there, a file, and ours to execute."""
    name = os.fsdecode(path)
    try:
        status = os.stat(path)
    except OSError as error:
        if error.errno in (ENOENT, ENOTDIR):
            return Fault(errnos=(ENOENT, ENOTDIR), text=f"{name} does not exist")
        return _closed(path) if error.errno == EACCES else None
    kind = _KINDS.get(stat.S_IFMT(status.st_mode))
    if kind is not None:
        return Fault(errnos=(EACCES,), text=f"{name} is {kind}")
    if os.access(path, os.X_OK, effective_ids=True):
        return None
    mode = stat.S_IMODE(status.st_mode)
    text = f"{name} has mode {mode:04o}"
    if not mode & 0o111:
        text += ": it is executable for nobody"
    elif os.statvfs(path).f_flag & os.ST_NOEXEC:
        text = f"{name} is on a file system that is mounted noexec"
    else:
        text += f" and belongs to {status.st_uid}:{status.st_gid}: uid {os.geteuid()} may not execute it"
    return Fault(errnos=(EACCES,), text=text)


def _closed(path: bytes) -> Fault | None:
    """The first directory of the path that we may not go through."""
    for end in range(len(path)):
        directory = path[:end] or b"/"
        if path[end : end + 1] == b"/" and not os.access(directory, os.X_OK, effective_ids=True):
            status = os.stat(directory)
            text = f"{os.fsdecode(directory)} has mode {stat.S_IMODE(status.st_mode):04o} and belongs to "
            text += f"{status.st_uid}:{status.st_gid}: uid {os.geteuid()} may not go through it"
            return Fault(errnos=(EACCES,), text=text)
    return None


def _read(path: bytes) -> bytes | None:
    """The start of a regular file, None if it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:
        return None
    try:
        return os.read(descriptor, _LOOKED_AT) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
    except OSError:
        return None
    finally:
        os.close(descriptor)
