"""tmpcopyup: a tmpfs starts with a copy of what it covers. By descriptor throughout, links never followed."""

from __future__ import annotations

import stat

from pyoci import os
from pyoci.steps.mounts import MountFilesystem
from pyoci.steps.step import Context

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 1 << 20


class MountCopy(MountFilesystem):
    """A tmpfs that starts with a copy of what it covers."""

    def fill(self, context: Context, tree: int, target: int) -> None:
        copy(target, tree, context.proc)


def copy(source: int, target: int, proc: int) -> None:
    """Copy the directory `source` into `target`, both O_PATH, with mode, owner, times and extended attributes."""
    reading = _reopen(source, proc)
    writing = _reopen(target, proc)
    try:
        _copy_directory(reading, writing)
    finally:
        os.close(reading)
        os.close(writing)


def _reopen(descriptor: int, proc: int) -> int:
    return os.open(f"self/fd/{descriptor}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=proc)


def _copy_directory(source: int, target: int) -> None:
    for name in os.listdir(source):
        status = os.stat(name, dir_fd=source, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            os.mkdir(name, 0o700, dir_fd=target)
            _within(source, target, name)
        elif stat.S_ISREG(status.st_mode):
            _copy_file(source, target, name, status)
        elif stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
            os.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
        else:
            os.mknod(name, status.st_mode, status.st_rdev, dir_fd=target)
            os.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
    _copy_metadata(source, target, os.fstat(source))


def _within(source: int, target: int, name: str) -> None:
    inner = os.open(name, _READ | os.O_DIRECTORY, dir_fd=source)
    try:
        outer = os.open(name, _READ | os.O_DIRECTORY, dir_fd=target)
        try:
            _copy_directory(inner, outer)
        finally:
            os.close(outer)
    finally:
        os.close(inner)


def _copy_file(source: int, target: int, name: str, status: os.stat_result) -> None:
    reading = os.open(name, _READ, dir_fd=source)
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
