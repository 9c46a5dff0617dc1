"""Compiled filters in `<root>/@seccomp` (`@` begins no container's id): a profile is compiled once, not per container.

What is read here becomes a container's only filter, so nothing is believed: the directory and the file must be ours
and closed to everybody else, and the file must hash to what it says, be made for this very profile, architecture,
kernel and generator, and by the libseccomp that is installed now. Anything else is no entry; the next `store`
replaces it. A cache that cannot be written costs time only, so `store` never fails.

An entry is: BLAKE2b-256 of all that follows; key and libseccomp's identity, one line; the warnings about the profile,
one line, with tabs between; BPF.
"""

from __future__ import annotations

import stat
import time
from _blake2 import blake2b  # built in or one small file in every CPython from 3.11 on; hashlib would load OpenSSL

from pyoci import os
from pyoci.kernel.libc import MACHINE
from pyoci.kernel.seccomp import INSTRUCTION_SIZE, MAX_INSTRUCTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.config.seccomp import Seccomp

__all__ = ["NAME", "key", "load", "store"]

NAME = "@seccomp"
GENERATOR = 2  # to be increased whenever the same profile compiles to something else
_DIGEST = 32
_WARNINGS = 16384  # bytes
# Digest, path and the rest of the line, warnings, BPF.
_LARGEST = _DIGEST + 4096 + 128 + _WARNINGS + MAX_INSTRUCTIONS * INSTRUCTION_SIZE
_MOST_ENTRIES = 64
_ABANDONED = 60.0  # seconds after which another writer's temporary file is no longer being written


def key(profile: Seccomp) -> str:
    """The entry's name: a hash of everything but libseccomp that decides what the profile compiles to."""
    rules = [
        (rule.names, rule.action, rule.errno, [(a.index, a.op, a.value, a.value_two) for a in rule.args])
        for rule in profile.syscalls
    ]
    subject = (
        (GENERATOR, MACHINE, os.uname().release),
        (profile.default_action, profile.default_errno, profile.architectures),
        rules,
    )
    return blake2b(repr(subject).encode(), digest_size=_DIGEST).hexdigest()


def load(root: str, key: str) -> tuple[bytes, tuple[str, ...]] | None:
    """BPF and warnings stored under `key` below the state directory `root`, None if there is none to be believed."""
    directory = _open(root, make=False)
    if directory is None:
        return None
    try:
        data = _read(directory, key)
    finally:
        os.close(directory)
    digest, content = data[:_DIGEST], data[_DIGEST:]
    line, _, rest = content.partition(b"\n")
    told, _, bpf = rest.partition(b"\n")
    name, _, made_by = line.partition(b" ")
    identity = os.fsdecode(made_by)
    if digest != _hash(content) or name != key.encode() or not bpf or len(bpf) % INSTRUCTION_SIZE:
        return None
    if identity != _identity(identity.rpartition(" ")[2]):
        return None
    return bpf, tuple(line.decode("utf-8", "replace") for line in told.split(b"\t")) if told else ()


def store(root: str, key: str, bpf: bytes, warnings: tuple[str, ...], library: str) -> None:
    """Keep `bpf` and `warnings`, of which each is one printable line, for `key`.

    `library`: the file of libseccomp that made it; replacing that ends the entry.
    """
    told = "\t".join(warnings).encode()
    if len(told) > _WARNINGS:
        return
    identity = _identity(library)
    directory = _open(root, make=True) if identity else None
    if directory is None:
        return
    try:
        content = f"{key} {identity}\n".encode() + told + b"\n" + bpf
        _write(directory, key, _hash(content) + content)
        _prune(directory)
    except OSError:  # full, read-only, removed meanwhile
        pass
    finally:
        os.close(directory)


def _hash(content: bytes) -> bytes:
    return blake2b(content, digest_size=_DIGEST).digest()


def _identity(library: str) -> str:
    """What changes when the library is replaced, also behind its symbolic link; "" if it is not there."""
    try:
        found = os.stat(library)
    except OSError:
        return ""
    return f"{found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {library}"


def _open(root: str, *, make: bool) -> int | None:
    """The directory, if it is ours alone. `make`: make it, and close it to others if it is ours but open."""
    path = f"{root}/{NAME}"
    try:
        if make:
            try:
                os.mkdir(path, 0o700)
            except FileExistsError:
                pass
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    found = os.fstat(descriptor)
    if found.st_uid == os.geteuid():
        if stat.S_IMODE(found.st_mode) == 0o700:
            return descriptor
        if make:
            os.fchmod(descriptor, 0o700)
            return descriptor
    os.close(descriptor)
    return None


def _read(directory: int, name: str) -> bytes:
    """The file's content; b"" unless it is a regular file of ours, mode 0600, without a second name, not too large."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
    except OSError:
        return b""
    try:
        found = os.fstat(descriptor)
        ours = found.st_uid == os.geteuid() and found.st_mode == stat.S_IFREG | 0o600
        ours = ours and found.st_nlink <= 1  # 0 if another writer has replaced it meanwhile
        return os.read(descriptor, _LARGEST) if ours and found.st_size <= _LARGEST else b""
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def _write(directory: int, name: str, data: bytes) -> None:
    """Write whole or not at all: concurrent writers each rename a file of their own."""
    temporary = f".{name[:16]}.{os.getpid()}.{os.urandom(4).hex()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=directory)
    try:
        try:
            os.fchmod(descriptor, 0o600)  # whatever the umask
            if os.write(descriptor, data) != len(data):
                raise OSError("short write")
        finally:
            os.close(descriptor)
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError:
        os.unlink(temporary, dir_fd=directory)
        raise


def _prune(directory: int) -> None:
    """Remove what killed writers left, and the oldest entries once there are many."""
    ages = []
    for name in os.listdir(directory):
        try:
            ages.append((os.stat(name, dir_fd=directory, follow_symlinks=False).st_mtime, name))
        except FileNotFoundError:
            pass
    entries = sorted(age for age in ages if not age[1].startswith("."))
    now = time.time()
    unwanted = [name for changed, name in ages if name.startswith(".") and now - changed > _ABANDONED]
    unwanted += [name for _, name in entries[: max(0, len(entries) - _MOST_ENTRIES)]]
    for name in unwanted:
        try:
            os.unlink(name, dir_fd=directory)
        except FileNotFoundError:  # another writer prunes too
            pass
