"""Attributes of mounts that exist already: what options make of them, and what a user namespace has locked.

A mount namespace that another user namespace owns gets the mounts of its maker locked: who is privileged there only may
not take away ro, nosuid, nodev, noexec, nor change what is said of access times (mount_namespaces(7)). Other runtimes
are inside when they bind, and the kernel refuses them. pyoci opens sources outside, where nothing is locked, and so
keeps to the same rules by itself.
"""

from __future__ import annotations

from errno import EPERM

from pyoci import os
from pyoci.config.filesystem import Mount
from pyoci.errors import StepError
from pyoci.kernel import mount, mountinfo, textfile
from pyoci.kernel.constants import (
    MOUNT_ATTR__ATIME,
    MOUNT_ATTR_NOATIME,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NODIRATIME,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_NOSYMFOLLOW,
    MOUNT_ATTR_RDONLY,
    MOUNT_ATTR_RELATIME,
    MOUNT_ATTR_STRICTATIME,
    ST_NOATIME,
    ST_NODEV,
    ST_NODIRATIME,
    ST_NOEXEC,
    ST_NOSUID,
    ST_NOSYMFOLLOW,
    ST_RDONLY,
    ST_RELATIME,
)
from pyoci.steps.step import Step

LOCKABLE = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC
LOCKED_ATIME = 1 << 63  # no MOUNT_ATTR_*: access times are locked as they are, whatever they are

# mount(2) knows no "leave it": what the options of a bind mount do not name is lost, as soon as they name anything.
_REPLACED = LOCKABLE | MOUNT_ATTR_NOSYMFOLLOW
_ATIMES = MOUNT_ATTR__ATIME | MOUNT_ATTR_NODIRATIME  # one thing to mount(2): all of it stays, or all of it is new

# The names of errors are runc's: those of mount(2). statfs(2) says what a mount has, mountinfo the same in words.
_BITS = (
    (MOUNT_ATTR_RDONLY, "MS_RDONLY", ST_RDONLY, b"ro"),
    (MOUNT_ATTR_NOSUID, "MS_NOSUID", ST_NOSUID, b"nosuid"),
    (MOUNT_ATTR_NODEV, "MS_NODEV", ST_NODEV, b"nodev"),
    (MOUNT_ATTR_NOEXEC, "MS_NOEXEC", ST_NOEXEC, b"noexec"),
    (MOUNT_ATTR_NOATIME, "MS_NOATIME", ST_NOATIME, b"noatime"),
    (MOUNT_ATTR_NODIRATIME, "MS_NODIRATIME", ST_NODIRATIME, b"nodiratime"),
    (MOUNT_ATTR_NOSYMFOLLOW, "MS_NOSYMFOLLOW", ST_NOSYMFOLLOW, b"nosymfollow"),
)
_CHOICES = {MOUNT_ATTR_NOATIME: "MS_NOATIME", MOUNT_ATTR_RELATIME: "MS_RELATIME"}
_CHOICES |= {MOUNT_ATTR_STRICTATIME: "MS_STRICTATIME"}


class View:
    """How mounts are looked at: through which procfs, and what is known to be locked on which mount, by its id."""

    def __init__(self, proc: int, locks: dict[int, int]) -> None:
        self.proc = proc
        self.locks = locks


def of(tree: int) -> int:
    """MOUNT_ATTR_* of the mount that a descriptor is on. A read-only file system counts as a read-only mount."""
    flags = os.fstatvfs(tree).f_flag
    found = sum(attribute for attribute, _, bit, _ in _BITS if flags & bit)
    return found if found & MOUNT_ATTR_NOATIME or flags & ST_RELATIME else found | MOUNT_ATTR_STRICTATIME


def locks(attributes: int) -> int:
    """What the kernel locks of a mount with these attributes."""
    return attributes & LOCKABLE | LOCKED_ATIME


def locks_of(view: View, place: int) -> int:
    """What is locked on the mount at `place`, a descriptor in this mount namespace, in a user namespace's container."""
    known = view.locks.get(mount_id(view, place)) if view.locks else None
    if known is not None:
        return known
    attributes = of(place)
    if attributes & MOUNT_ATTR_RDONLY:  # or is the file system, which no namespace locks, and the mount is not?
        top = mount_id(view, place)
        attributes = next((one.attributes for one in mounts(view) if one.id == top), attributes)
    return locks(attributes)


def allows(locked: int, before: int, after: int) -> bool:
    """Whether the kernel would let attributes change so, with these locks."""
    if locked & LOCKABLE & ~after:
        return False
    return not (locked & LOCKED_ATIME and (before ^ after) & _ATIMES)


def change(view: View, step: Step, tree: int, wanted: Mount, place: int, locked: int) -> None:
    """Give a mount the attributes that the options of a bind mount or of a remount ask for.

    `locked`: what is locked on it (locks_of()), 0 for nothing; then `place` is where its original is mounted.
    Raises StepError with runc's words for what is locked.
    """
    if wanted.attr_set or wanted.attr_clr or wanted.atime_given_up:
        _change_top(step, tree, wanted, locked)
    if wanted.rec_attr_set or wanted.rec_attr_clr:
        if locked and (wanted.rec_attr_clr & (LOCKABLE | _ATIMES) or wanted.rec_attr_set & MOUNT_ATTR_NODIRATIME):
            _check_tree(view, step, tree, wanted, place, locked)
        mount.set_attributes(tree, wanted.rec_attr_set, wanted.rec_attr_clr, recursive=True)


def _change_top(step: Step, tree: int, wanted: Mount, locked: int) -> None:
    wished = wanted.attr_set
    named = wanted.attr_clr & MOUNT_ATTR__ATIME or wished & MOUNT_ATTR_NODIRATIME
    replaced = _REPLACED | (_ATIMES if named else 0)
    before = of(tree) if locked else 0
    if allows(locked, before, before & ~replaced | wished):
        try:
            mount.set_attributes(tree, wished, replaced & (~wished | MOUNT_ATTR__ATIME))
            return
        except OSError as error:
            if error.errno != EPERM:
                raise
        before = of(tree)  # the kernel has locks of its own: the mount came from another user namespace
        locked = locks(before)
    held = before & locked & LOCKABLE
    refused = (held | before & MOUNT_ATTR_NODIRATIME) & wanted.attr_clr
    given_up = [one for one in wanted.atime_given_up if one == before & MOUNT_ATTR__ATIME]
    if refused or given_up:
        raise _refused(step, wanted, f"cannot clear locked flags {_names(refused, *given_up)}")
    if named and (before ^ wished) & _ATIMES:
        raise _refused(step, wanted, f"cannot change locked atime flags {_atimes(before)}")
    mount.set_attributes(tree, wished | held, replaced & (~(wished | held) | MOUNT_ATTR__ATIME))


def _atimes(attributes: int) -> str:
    return _names(attributes & MOUNT_ATTR_NODIRATIME, attributes & MOUNT_ATTR__ATIME)


def _names(bits: int, *choice: int) -> str:
    """As in "MS_RDONLY|MS_NOATIME": attributes, and one of the three about access times."""
    names = [name for bit, name, _, _ in _BITS if bits & bit] + [_CHOICES[one] for one in choice]
    order = [name for _, name, _, _ in _BITS] + list(_CHOICES.values())
    return "|".join(sorted(names, key=order.index))


def _refused(step: Step, wanted: Mount, what: str, where: bytes = b"") -> StepError:
    which = os.fsdecode(where) or wanted.source or wanted.destination
    return StepError(
        f'error mounting "{wanted.source}" to rootfs at "{wanted.destination}": '
        f"failed to set user-requested vfs flags on bind-mount: {what}: operation not permitted",
        pointer=f"{wanted.pointer}/options",
        errno=EPERM,
        hint=f"in a user namespace {which} keeps the attributes that it has outside: "
        "leave out what changes them, or mount it otherwise there",
    )


def _check_tree(view: View, step: Step, tree: int, wanted: Mount, place: int, locked: int) -> None:
    """A recursive change is refused if one mount of the tree has something locked that it takes away."""
    found = [(b"", of(tree), locked)]
    for one in below(view, place) if wanted.recursive else ():
        found.append((one.point, one.attributes, view.locks.get(one.id, locks(one.attributes))))
    for point, before, held in found:
        after = before & ~wanted.rec_attr_clr | wanted.rec_attr_set
        if allows(held, before, after):
            continue
        lost = held & LOCKABLE & ~after
        if lost:
            raise _refused(step, wanted, f"cannot clear locked flags {_names(lost)}", point)
        raise _refused(step, wanted, f"cannot change locked atime flags {_atimes(before)}", point)


class Mounted(mountinfo.Mount):
    """A mount and its MOUNT_ATTR_*."""

    __slots__ = ("attributes",)

    def __init__(self, line: bytes) -> None:
        super().__init__(line)
        words = self.options
        self.attributes = sum(attribute for attribute, _, _, word in _BITS if word in words)
        if b"noatime" not in words and b"relatime" not in words:
            self.attributes |= MOUNT_ATTR_STRICTATIME


def mounts(view: View) -> list[Mounted]:
    """Every mount of this process's mount namespace; names are bytes that others chose, with octal escapes."""
    return [Mounted(line) for line in textfile.lines(textfile.read("self/mountinfo", view.proc))]


def mount_id(view: View, descriptor: int) -> int:
    """The kernel's number of the mount that a descriptor is on."""
    lines = textfile.lines(textfile.read(f"self/fdinfo/{descriptor}", view.proc))
    [line] = [line for line in lines if line.startswith(b"mnt_id:")]
    return int(line.partition(b":")[2])


def below(view: View, place: int) -> list[Mounted]:
    """What is mounted below the directory `place`, at any depth: what a recursive copy of it takes along."""
    top = mount_id(view, place)
    name = os.readlink(b"self/fd/%d" % place, dir_fd=view.proc).rstrip(b"/")
    for code in (b"\\", b" ", b"\t", b"\n"):
        name = name.replace(code, b"\\%03o" % ord(code))
    every = mounts(view)
    inside = {top}
    found: list[Mounted] = []
    while True:  # mountinfo lists no order that could be relied on: a mount may be moved below a later one
        more = [
            one for one in every if one.parent in inside and one.id not in inside and one.point.startswith(name + b"/")
        ]
        if not more:
            return found
        inside |= {one.id for one in more}
        found += more
