"""A container's directory: who it is, what it has, and what has become of it (runtime.md, "State").

This module and records.py are all that `state` and `list` load: they do without ctypes.
"""

from __future__ import annotations

from errno import EISDIR, ELOOP, ENOTEMPTY

from pyoci import jsonfile, os
from pyoci.container import records
from pyoci.container.records import FORMAT as FORMAT
from pyoci.container.records import Container as Container
from pyoci.errors import ConfigError, Error, NotFoundError
from pyoci.kernel import textfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FILE = "state.json"
FIFO = "exec.fifo"
WAITING_NAME = "pyoci:init"  # /proc/PID/comm until execve; for whoever reads a list of processes

_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.")
_MAX_ID = 255  # NAME_MAX
_PF_FORKNOEXEC = 0x40  # of the flags in /proc/PID/stat (include/linux/sched.h): set by fork(2), cleared by execve(2)


def check_id(id: str) -> None:
    """Raises Error for what cannot name a container: it is the name of a directory below --root."""
    if not id:
        raise Error("container id cannot be empty")
    if not _ALLOWED.issuperset(id) or id in (".", ".."):
        raise Error("invalid container ID format", hint="letters, digits and _ + - . are allowed, but not . or ..")
    if len(id) > _MAX_ID:
        hint = f"it has {len(id)} characters; the name of a directory has at most {_MAX_ID}"
        raise Error("invalid container ID format", hint=hint)


def make_root(root: str) -> None:
    """Make --root, 0700, and what is missing above it. Raises OSError; Error where a file is in the way."""
    if os.path.isdir(root):
        return
    from os import makedirs

    mask = os.umask(0o022)  # of the parents
    try:
        makedirs(root, 0o700, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise no_directory(root, error) from None
    finally:
        os.umask(mask)


def open_root(root: str, make: bool = False) -> int:
    """A descriptor of --root. Missing: made (0700), or FileNotFoundError.

    Raises Error if somebody else may rename what lies in it, and so give a container another one's state.
    """
    if make:
        make_root(root)
    try:
        directory = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except NotADirectoryError as error:
        raise no_directory(root, error) from None
    except PermissionError:
        raise closed(root) from None
    status = os.fstat(directory)
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o1022 in (0o020, 0o002, 0o022):
        os.close(directory)
        raise Error(
            f"the directory {root} may be changed by others",
            pointer="--root",
            hint=f"it belongs to uid {status.st_uid}, and must to root or uid {os.geteuid()}; others may write to it "
            "only if it is sticky; --root names another",
        )
    return directory


def no_directory(root: str, error: OSError) -> Error:
    """The error of a --root that is a file, or that lies below one."""
    path = root
    while path and not os.path.lexists(path):
        path = path.rpartition("/")[0]
    return Error(f"{path or root} is not a directory", pointer="--root", errno=error.errno or 0)


def closed(root: str, id: str = "") -> Error:
    """The error of a --root, or of the directory of the container `id` in it, that we may not open."""
    from pyoci.container import advice

    return advice.closed(root, id)


def open_directory(root: str, id: str) -> int:
    """A descriptor of the container's directory. Raises NotFoundError; Error if it is not ours."""
    check_id(id)
    try:
        parent = open_root(root)
    except FileNotFoundError:
        raise _missing(root, id) from None
    try:
        directory = os.open(id, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except FileNotFoundError:
        raise _missing(root, id) from None
    except NotADirectoryError as error:
        raise Error(f"{root}/{id} is not a directory", errno=error.errno or 0, hint="so it is no container") from None
    except PermissionError:
        raise closed(root, id) from None
    finally:
        os.close(parent)
    status = os.fstat(directory)
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        os.close(directory)
        raise Error(
            f"the state directory of {id} may be written by others",
            hint=f"{root}/{id} must belong to uid {os.geteuid()} and be writable by nobody else",
        )
    return directory


def load(root: str, id: str) -> Container:
    """Read a container's state. Raises NotFoundError, Error."""
    directory = open_directory(root, id)
    try:
        return read(root, id, directory)
    finally:
        os.close(directory)


def read(root: str, id: str, directory: int) -> Container:
    """The same from the container's directory. Without state.json there is no container yet, or none any more.

    Raises NotFoundError, DamagedError, ForeignError.
    """
    path = f"{root}/{id}/{FILE}"
    try:
        return record(root, id, jsonfile.parse(content(directory), path, own=True))
    except FileNotFoundError:  # one that is none of ours, or one that is only begun or all but gone
        from pyoci.container import foreign

        foreign.refuse_others(root, id, directory)
        from pyoci.container import advice

        raise advice.without_state(root, id) from None
    except (ConfigError, records.Damage) as problem:
        from pyoci.container import advice

        raise advice.damaged(root, id, problem) from None


def content(directory: int) -> bytes:
    """The bytes of state.json in the container's directory. Raises FileNotFoundError, OSError, Damage."""
    try:
        file = os.open(FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=directory)
        with open(file, "rb") as opened:
            return opened.read()
    except OSError as error:
        if error.errno in (EISDIR, ELOOP):
            raise records.Damage(": not a file") from None
        raise


def record(root: str, id: str, raw: Any) -> Container:
    """The container that `raw`, the value in state.json, tells of: pyoci's or runc's. Raises Damage, ForeignError."""
    if type(raw) is dict and "pyoci" not in raw:
        from pyoci.container import foreign

        return foreign.container(root, id, raw)
    return records.from_json(root, id, raw)


def _missing(root: str, id: str) -> NotFoundError:
    from pyoci.container import advice

    return advice.missing(root, id)


def save(container: Container, directory: int) -> None:
    """Write state.json into the container's directory, atomically."""
    jsonfile.write(directory, FILE, records.to_json(container))


def remove_directory(root: int, name: str, attempts: int = 20) -> None:
    """Remove a container's directory: files and directories, all ours, links never followed.

    What is gone already is fine: a delete that was late may be removing the same.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        directory = os.open(name, flags, dir_fd=root)
    except FileNotFoundError:
        return
    try:
        for entry in os.listdir(directory):
            try:
                os.unlink(entry, dir_fd=directory)
            except IsADirectoryError:
                remove_directory(directory, entry)
            except FileNotFoundError:
                pass
    finally:
        os.close(directory)
    try:
        os.rmdir(name, dir_fd=root)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno != ENOTEMPTY or attempts == 0:
            raise
        remove_directory(root, name, attempts - 1)  # a delete that came late has made its lock


def is_named(root: int, name: str, directory: int) -> bool:
    """Whether the open `directory` has this name, and not another one that was made after it."""
    try:
        return os.path.samestat(os.stat(name, dir_fd=root, follow_symlinks=False), os.fstat(directory))
    except FileNotFoundError:
        return False


def process(pid: int) -> tuple[str, int, bool] | None:
    """State letter and start time of a process, and whether it has never called execve(2), so that it is not a program
    yet; None if there is none (proc_pid_stat(5)).

    None of it is the process's to choose, as its name is. The letter of a program is that of its first thread: with
    others left it shows "Z" and lives on, and so is none.
    """
    try:
        content = textfile.read(f"/proc/{pid}/stat")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name stands in parentheses and may contain some itself: count from the last one.
    fields = content[content.rindex(b")") + 2 :].split()
    letter = "" if fields[0] == b"Z" and int(fields[17]) > 1 else fields[0].decode()
    return letter, int(fields[19]), bool(int(fields[6]) & _PF_FORKNOEXEC)


def is_alive(pid: int, start_time: int) -> bool:
    """Whether this very process still runs: not a zombie, not another one with a recycled pid."""
    found = process(pid) if pid else None
    return found is not None and found[1] == start_time and found[0] not in ("Z", "X")


def status(container: Container) -> str:
    """creating, created, running, paused or stopped. A create whose runtime has died is stopped.

    One whose process was killed while it was paused is paused as long as frozen processes are left, as with runc.
    """
    if container.creating:
        return "creating" if is_alive(container.runtime_pid, container.runtime_start) else "stopped"
    alive = is_alive(container.pid, container.start_time)
    if is_frozen(container) and (alive or _is_populated(container)):
        return "paused"
    waiting = os.path.lexists(f"{container.root}/{container.id}/{FIFO}")
    found = process(container.pid) if alive else None
    if found is None or found[1] != container.start_time or found[0] in ("Z", "X"):
        return "stopped"
    return "created" if waiting and (found[2] or container.by_runc) else "running"


def is_frozen(container: Container) -> bool:
    """Whether the cgroup itself was asked to freeze, which may take a moment; one below a frozen one is not paused.

    It is the one that the container was made with, by its inode: what has its path by now is another's."""
    controller = "freezer" if "freezer" in container.cgroups else ""
    path = container.cgroups.get(controller)
    if path is None:
        return False
    try:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if container.cgroup_ids.get(controller, 0) not in (0, os.fstat(directory).st_ino):
            return False
        return textfile.is_frozen(directory, 1 if controller else 2)
    except OSError:  # it is gone by now, or nothing may be read in it
        return False
    finally:
        os.close(directory)


def _is_populated(container: Container) -> bool:
    """Whether a process is left in the cgroup that was made, or below it."""
    from pyoci.cgroups import processes  # rare: the container's process has ended

    return processes.is_populated(processes.own(container.cgroups, container.cgroup_ids))
