"""tmpcopyup: a tmpfs starts with a copy of what it covers. By descriptor throughout, links never followed."""

from __future__ import annotations

import stat
from errno import EMFILE

from pyoci import os
from pyoci.steps.init.context import InitContext
from pyoci.steps.init.mounts import MountFilesystem
from pyoci.steps.step import failed

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 1 << 20


class MountCopy(MountFilesystem):
    """A tmpfs that starts with a copy of what it covers."""

    def fill(self, context: InitContext, tree: int, target: int) -> None:
        try:
            copy(target, tree, context.proc)
        except OSError as error:
            if error.errno != EMFILE:
                raise
            hint = "tmpcopyup takes two open files for each level of directories; RLIMIT_NOFILE allows no more"
            raise failed(self, error, hint) from None


def copy(source: int, target: int, proc: int) -> None:
    """Copy the directory `source` into `target`, both O_PATH, with mode, owner, times and extended attributes."""
    pending = [_Pair(_reopen(source, proc), _reopen(target, proc))]
    try:
        while pending:
            pair = pending[-1]
            if pair.names:
                inner = _copy_next(pair, proc)
                if inner is not None:
                    pending.append(inner)
                continue
            _copy_metadata(pair.source, pair.target, os.fstat(pair.source))
            pending.pop().close()
    finally:
        for pair in pending:
            pair.close()


class _Pair:
    """A directory that is being copied, its copy, and the names that are left."""

    def __init__(self, source: int, target: int) -> None:
        self.source = source
        self.target = target
        self.names = os.listdir(source)

    def close(self) -> None:
        os.close(self.source)
        os.close(self.target)


def _reopen(descriptor: int, proc: int) -> int:
    """Open for reading what is open as O_PATH: the very same, whatever its name means by now."""
    return os.open(f"self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)


def _copy_next(pair: _Pair, proc: int) -> _Pair | None:
    """Copy the next of the names; the directory and its empty copy, if it is one."""
    name = pair.names.pop()
    found = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=pair.source)
    try:
        return _copy_one(found, pair.target, name, proc)
    finally:
        os.close(found)


def _copy_one(found: int, target: int, name: str, proc: int) -> _Pair | None:
    """Copy what is open as O_PATH. Opened before it is looked at: whoever exchanges files in the source meanwhile gets
    one of them copied, and no device opened, nor read for ever, in a file's place."""
    status = os.fstat(found)
    if stat.S_ISDIR(status.st_mode):
        os.mkdir(name, 0o700, dir_fd=target)
        return _within(found, target, name, proc)
    if stat.S_ISREG(status.st_mode):
        _copy_file(found, target, name, status, proc)
    else:
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(b"", dir_fd=found), os.fsencode(name), dir_fd=target)
        else:
            os.mknod(name, status.st_mode, status.st_rdev, dir_fd=target)
        os.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
    return None


def _within(source: int, target: int, name: str, proc: int) -> _Pair:
    inner = _reopen(source, proc)
    try:
        return _Pair(inner, os.open(name, _READ | os.O_DIRECTORY, dir_fd=target))
    except OSError:
        os.close(inner)
        raise


def _copy_file(source: int, target: int, name: str, status: os.stat_result, proc: int) -> None:
    reading = _reopen(source, proc)
    try:
        writing = os.open(name, _CREATE, 0o600, dir_fd=target)
        try:
            while chunk := memoryview(os.read(reading, _CHUNK)):
                while chunk:  # a file system that fills up takes a part first
                    chunk = chunk[os.write(writing, chunk) :]
            _copy_metadata(reading, writing, status)
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def _copy_metadata(source: int, target: int, status: os.stat_result) -> None:
    os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    for attribute in os.listxattr(source):
        try:
            os.setxattr(target, attribute, os.getxattr(source, attribute))
        except OSError:  # a tmpfs keeps trusted.* and security.*, user.* only from Linux 6.6 on
            pass
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
