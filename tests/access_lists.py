"""POSIX access control lists as the kernel keeps them, without the tools that few machines have."""

from __future__ import annotations

import os
import struct
from pathlib import Path

USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
NOBODY = 0xFFFFFFFF


def give(path: Path, *entries: tuple[int, int, int], group: int = 5, mask: int = 7, others: int = 5) -> None:
    """The same as `setfacl --set u::rwx,g::GROUP,m::MASK,o::OTHERS,ENTRIES`; an entry is (tag, permissions, id)."""
    full = [(USER_OBJ, 7, NOBODY), (GROUP_OBJ, group, NOBODY), (MASK, mask, NOBODY), (OTHER, others, NOBODY), *entries]
    data = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in sorted(full))
    os.setxattr(path, "system.posix_acl_access", data)


def may_write(path: Path, user: int, group: int) -> bool:
    """Whether the kernel lets them."""
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(group, group, group)
            os.setresuid(user, user, user)
            os._exit(0 if os.access(path, os.W_OK) else 1)
        finally:
            os._exit(2)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, 1)
    return status == 0


# Entries and options of give(); what is said of the path, or "" if nobody else may write it.
BY_LIST, BY_GROUP = "is writable by its access control list", "is writable by a group"
CASES = {
    "a user": (((USER, 6, 1234),), {}, BY_LIST),
    "a user who may read": (((USER, 5, 1234),), {}, ""),
    "a user, but the mask": (((USER, 7, 1234),), {"mask": 5}, ""),
    "the user root": (((USER, 7, 0),), {}, ""),
    "the second of two users": (((USER, 4, 1233), (USER, 6, 1234)), {}, BY_LIST),
    "a group": (((GROUP, 6, 1234),), {}, BY_LIST),
    "a group that may read": (((GROUP, 5, 1234),), {}, ""),
    "the group root": (((GROUP, 7, 0),), {"group": 7}, ""),
    "everybody": (((USER, 5, 1234),), {"others": 7}, "is writable by everybody"),
}
