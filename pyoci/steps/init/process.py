"""What the program begins with: working directory, rlimits, the program itself (config.md, "Process")."""

from __future__ import annotations

import resource
import stat
from errno import EACCES, ENOENT, ENOTDIR, EPERM

from pyoci import os
from pyoci.config.process import Rlimit
from pyoci.errors import StepError
from pyoci.kernel import path, program_file
from pyoci.steps.init.context import InitContext, InitStep

_PASSWD_LIMIT = 10 << 20  # bytes, as moby/sys/user
_LINE_LIMIT = 64 << 10


class ChangeDirectory(InitStep):
    """chdir(2) to process.cwd, as root: also where the user may not go. EPERM and EACCES are left to the second try,
    as the user, on a file system that root may not enter. runc does the same.

    Afterwards the directory must lie inside the root: a descriptor of the host would be a way out (CVE-2024-21626).
    """

    pointer: str = "/process/cwd"
    path: str
    final: bool

    def describe(self) -> str:
        return f"change the working directory to {self.path}"

    def execute(self, context: InitContext) -> None:
        if not context.in_directory:
            try:
                os.chdir(self.path)
            except OSError as error:
                if self.final or error.errno not in (EPERM, EACCES):
                    raise self._failed(error) from None
                return
            context.in_directory = True
        if self.final and not path.is_below_root():
            raise StepError(
                "current working directory is outside of container mount namespace root"
                " -- possible container breakout detected",
                hint=f"{self.path} leads out of the container's root",
            )

    def _failed(self, error: OSError) -> StepError:
        """runc's words."""
        return StepError(
            f'chdir to cwd ("{self.path}") set in config.json failed: {os.strerror(error.errno or 0).lower()}',
            call=f'chdir("{self.path}")',
            errno=error.errno or 0,
        )


class SetHome(InitStep):
    """HOME from the container's /etc/passwd, or "/", when process.env has none or an empty one."""

    pointer: str = "/process/env"
    uid: int

    def describe(self) -> str:
        return f"set HOME of uid {self.uid}"

    def execute(self, context: InitContext) -> None:
        assert context.image is not None
        context.image.add_env(b"HOME=" + home(self.uid))


def home(uid: int) -> bytes:
    """The home directory of `uid` in /etc/passwd; "/" if there is none, or no file that is safe to read.

    The file is the image's: it may be a FIFO, a device, a directory or endless. It is opened without blocking, must
    be a regular file of at most 10 MiB, and lines over 64 KiB end the search.
    """
    try:
        descriptor = os.open("/etc/passwd", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:
        return b"/"
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _PASSWD_LIMIT:
            return b"/"
        return _search(descriptor, b"%d" % uid)
    except OSError:
        return b"/"
    finally:
        os.close(descriptor)


def _search(descriptor: int, uid: bytes) -> bytes:
    rest, total = b"", 0
    while chunk := os.read(descriptor, _LINE_LIMIT):
        total += len(chunk)
        *lines, rest = (rest + chunk).split(b"\n")
        if total > _PASSWD_LIMIT or any(len(line) > _LINE_LIMIT for line in (rest, *lines)):
            return b"/"
        for line in lines:
            found = _home_of(line, uid)
            if found is not None:
                return found
    return _home_of(rest, uid) or b"/"


def _home_of(line: bytes, uid: bytes) -> bytes | None:
    fields = line.strip().split(b":")
    return fields[5] if len(fields) >= 6 and fields[2] == uid and b"\0" not in fields[5] else None


class FindProgram(InitStep):
    """Look up args[0]: along PATH of process.env if it has no slash. In the container, as the user."""

    pointer: str = "/process/args/0"
    name: str
    search: tuple[str, ...]  # the directories of PATH

    def describe(self) -> str:
        return f'exec: "{self.name}"'

    def execute(self, context: InitContext) -> None:
        context.program = self._find()

    def _find(self) -> bytes:
        name = self.name.encode("utf-8", "surrogateescape")
        if b"/" in name:
            reason, errno = executable(name)
            if not reason:
                return name
            prefix = "stat " if errno in (ENOENT, ENOTDIR) else ""
            text = f"{prefix}{self.name}: {reason}" if prefix else reason
            why = program_file.why(program_file.faults(name), EACCES) if errno == EACCES else ""
            hint = why or "the path is looked up inside the container's root"
            raise self._failed(text, errno, self._blank() or hint if errno in (ENOENT, ENOTDIR) else hint)
        found = b""
        for directory in self.search:
            candidate = os.fsencode(os.path.join(directory or ".", self.name))
            reason, errno = executable(candidate)
            if not reason:
                return candidate
            if errno == EACCES:
                found = found or candidate
        # What is there and cannot be executed is no program, for runc and for engines that tell 126 and 127 by it.
        where = f"searched {':'.join(self.search)} of process.env" if self.search else "process.env has no PATH"
        if found:
            why = program_file.why(program_file.faults(found), EACCES)
            where += f"; {why or f'{os.fsdecode(found)} is there, but this user cannot execute it'}"
        else:
            where = self._blank() or where
        raise self._failed("executable file not found in $PATH", ENOENT, where)

    def _blank(self) -> str:
        """A command line as a shell reads it is one argument here."""
        return "there is a blank in it: every argument is an item of args of its own" if " " in self.name else ""

    def _failed(self, reason: str, errno: int, hint: str) -> StepError:
        return StepError(f'exec: "{self.name}": {reason}', pointer=self.pointer, errno=errno, hint=hint)


def executable(path: bytes) -> tuple[str, int]:
    """Why `path` cannot be executed by us: a reason in Go's words and an errno; ("", 0) if it can."""
    try:
        status = os.stat(path)
    except OSError as error:
        text = os.strerror(error.errno or 0)
        return text[:1].lower() + text[1:], error.errno or 0
    if stat.S_ISDIR(status.st_mode):
        return "is a directory", EACCES
    if not os.access(path, os.X_OK, effective_ids=True):
        return "permission denied", EACCES
    return "", 0


class SetRlimits(InitStep):
    """setrlimit(2), as late as can be: an interpreter does not live under RLIMIT_NOFILE 4."""

    pointer: str = "/process/rlimits"
    rlimits: tuple[Rlimit, ...]

    def describe(self) -> str:
        return "set " + ", ".join(f"{one.type} {one.soft}:{one.hard}" for one in self.rlimits)

    def execute(self, context: InitContext) -> None:
        for one in self.rlimits:
            resource.setrlimit(one.resource, limits(one))


def limits(rlimit: Rlimit) -> tuple[int, int]:
    """Soft and hard limit as the resource module takes them: RLIM_INFINITY is -1 there."""
    return _limit(rlimit.soft), _limit(rlimit.hard)


def _limit(value: int) -> int:
    return resource.RLIM_INFINITY if value >= 1 << 63 else value
