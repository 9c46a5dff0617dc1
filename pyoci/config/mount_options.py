"""mounts[].options: what every name does; also the list that `features` prints.

The names are those of config.md, "Linux mount options", and runc's; whatever is in no table is data for the file
system. Of two options about the same thing the later one wins.
"""

from __future__ import annotations

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
    MS_PRIVATE,
    MS_REC,
    MS_SHARED,
    MS_SLAVE,
    MS_UNBINDABLE,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Attributes of one mount. With an "r" in front the same names act on the whole tree (mount_setattr's AT_RECURSIVE).
ATTRIBUTES_SET = {
    "ro": MOUNT_ATTR_RDONLY,
    "nosuid": MOUNT_ATTR_NOSUID,
    "nodev": MOUNT_ATTR_NODEV,
    "noexec": MOUNT_ATTR_NOEXEC,
    "nodiratime": MOUNT_ATTR_NODIRATIME,
    "nosymfollow": MOUNT_ATTR_NOSYMFOLLOW,
}
ATTRIBUTES_CLEARED = {
    "rw": MOUNT_ATTR_RDONLY,
    "suid": MOUNT_ATTR_NOSUID,
    "dev": MOUNT_ATTR_NODEV,
    "exec": MOUNT_ATTR_NOEXEC,
    "diratime": MOUNT_ATTR_NODIRATIME,
    "symfollow": MOUNT_ATTR_NOSYMFOLLOW,
}
# Access times are one choice of three. The opposite of a choice gives it up, if an earlier option made it; of a bind
# mount's source it changes nothing, as mount(2) has no flag for it. With "r", mount_setattr(2) gives relatime instead.
ATIME_CHOSEN = {
    "noatime": MOUNT_ATTR_NOATIME,
    "relatime": MOUNT_ATTR_RELATIME,
    "strictatime": MOUNT_ATTR_STRICTATIME,
}
ATIME_GIVEN_UP = {
    "atime": MOUNT_ATTR_NOATIME,
    "norelatime": MOUNT_ATTR_RELATIME,
    "nostrictatime": MOUNT_ATTR_STRICTATIME,
}
# Flags of the file system, by the names that fsconfig(2) knows.
SUPER_SET = {"sync": "sync", "dirsync": "dirsync", "mand": "mand", "lazytime": "lazytime"}
SUPER_CLEARED = {"async": "sync", "nomand": "mand", "nolazytime": "lazytime"}
# Propagation types, each with "r" for the whole tree.
PROPAGATION = {
    "private": MS_PRIVATE,
    "rprivate": MS_PRIVATE | MS_REC,
    "shared": MS_SHARED,
    "rshared": MS_SHARED | MS_REC,
    "slave": MS_SLAVE,
    "rslave": MS_SLAVE | MS_REC,
    "unbindable": MS_UNBINDABLE,
    "runbindable": MS_UNBINDABLE | MS_REC,
}
# What is neither an attribute nor a flag: the Mount's fields that it sets.
SPECIAL: dict[str, dict[str, Any]] = {
    "bind": {"bind": True},
    "rbind": {"bind": True, "recursive": True},
    "remount": {"remount": True},
    "tmpcopyup": {"copy_up": True},
    "idmap": {"id_map": "idmap"},
    "ridmap": {"id_map": "ridmap"},
    # The mount API, unlike mount(2), has no flag for the following; fsconfig(2) refuses them (EINVAL, seen on 6.18).
    # They silence a kernel message or switch a change counter that file systems decide about themselves since 5.17.
    "silent": {},
    "loud": {},
    "iversion": {},
    "noiversion": {},
    "defaults": {},
}

_SET, _CLEAR, _CHOOSE, _GIVE_UP, _SUPER_SET, _SUPER_CLEAR, _PROPAGATION, _SPECIAL = range(8)
_RECURSIVE = 8  # added to the first four: the same for the whole tree

_TABLE: dict[str, tuple[int, Any]] = {}
for _kind, _names in enumerate((ATTRIBUTES_SET, ATTRIBUTES_CLEARED, ATIME_CHOSEN, ATIME_GIVEN_UP)):
    for _name, _value in _names.items():
        _TABLE[_name] = (_kind, _value)
        _TABLE["r" + _name] = (_kind + _RECURSIVE, _value)
_TABLE |= {name: (_SUPER_SET, value) for name, value in SUPER_SET.items()}
_TABLE |= {name: (_SUPER_CLEAR, value) for name, value in SUPER_CLEARED.items()}
_TABLE |= {name: (_PROPAGATION, value) for name, value in PROPAGATION.items()}
_TABLE |= {name: (_SPECIAL, fields) for name, fields in SPECIAL.items()}


def names() -> list[str]:
    """Every known option as `features` lists them: sorted; idmap and ridmap are listed there as an extension."""
    return sorted(_TABLE.keys() - {"idmap", "ridmap"})


class Attributes:
    """The `set` and `clr` masks of one mount_setattr(2) call, built option by option."""

    __slots__ = ("atime", "clr", "given_up", "set")

    def __init__(self) -> None:
        self.set = 0
        self.clr = 0
        self.atime: int | None = None
        self.given_up: set[int] = set()

    def change(self, kind: int, value: int) -> None:
        """Follow one option; of two that contradict each other the later one holds, as in mount(8)."""
        if kind == _SET:
            self.set |= value
            self.clr &= ~value
        elif kind == _CLEAR:
            self.clr |= value
            self.set &= ~value
        elif kind == _CHOOSE:
            self.atime = value
            self.given_up.discard(value)
        else:
            self.given_up.add(value)
            if self.atime == value:
                self.atime = None

    def masks(self) -> tuple[int, int]:
        """(set, clr). The kernel wants the whole atime field cleared whenever a choice is set."""
        if self.atime is None:
            return self.set, self.clr
        return self.set | self.atime, self.clr | MOUNT_ATTR__ATIME


def fields(options: tuple[str, ...]) -> dict[str, Any]:
    """The fields of Mount that `options` decide, by name; what they do not touch is left out."""
    top = Attributes()
    tree = Attributes()
    found: dict[str, Any] = {}
    flags: list[str] = []
    propagation: list[int] = []
    data: list[str] = []
    for option in options:
        entry = _TABLE.get(option)
        if entry is None:
            data.append(option)
            continue
        kind, value = entry
        if kind < _SUPER_SET:
            top.change(kind, value)
        elif kind >= _RECURSIVE:
            tree.change(kind - _RECURSIVE, value)
        elif kind == _PROPAGATION:
            propagation.append(value)
        elif kind == _SPECIAL:
            found.update(value)
        else:
            if value in flags:
                flags.remove(value)
            if kind == _SUPER_SET:
                flags.append(value)
    found["attr_set"], found["attr_clr"] = top.masks()
    if top.given_up:
        found["atime_given_up"] = tuple(sorted(top.given_up))
    if tree.atime is None and tree.given_up:
        tree.atime = MOUNT_ATTR_RELATIME
    found["rec_attr_set"], found["rec_attr_clr"] = tree.masks()
    found["super_flags"] = tuple(flags)
    found["propagation"] = tuple(propagation)
    found["data"] = tuple(split_data(",".join(data)))
    return found


def split_data(data: str) -> list[str]:
    r"""The single parameters of mount(2)'s data, as fsconfig(2) wants them.

    One option may hold several ("size=1m,mode=755"). A comma in double quotes (SELinux contexts) or after a
    backslash (overlay) does not separate. The quotes are dropped, because fsconfig takes the value as it is;
    a backslash stays, overlay removes it itself.
    """
    if "\\" not in data and '"' not in data:
        return [part for part in data.split(",") if part]
    parts = [""]
    quoted = escaped = False
    for character in data:
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
            continue
        elif character == "," and not quoted:
            parts.append("")
            continue
        parts[-1] += character
    return [part for part in parts if part]
