"""keyctl(2): a session keyring of the container's own."""

from __future__ import annotations

from pyoci.kernel.libc import addressof, buffer, c_char_p, c_int, c_size_t, c_uint, c_void_p, number, syscall

_KEYCTL_JOIN_SESSION_KEYRING = 1
_KEYCTL_SETPERM = 5
_KEYCTL_DESCRIBE = 6
_KEY_USR_SEARCH = 0x080000

_KEYCTL = number("keyctl", x86_64=250, aarch64=219)
_join = syscall("keyctl", _KEYCTL, c_int, c_char_p)
_set_permissions = syscall("keyctl", _KEYCTL, c_int, c_int, c_uint)
_describe = syscall("keyctl", _KEYCTL, c_int, c_int, c_void_p, c_size_t)


def find_session(name: str) -> None:
    """Join the session keyring `name`, or make one if there is none that may be searched."""
    _join(_KEYCTL_JOIN_SESSION_KEYRING, name.encode())


def new_session() -> None:
    """Make and join a session keyring without a name, which nobody else can join."""
    _join(_KEYCTL_JOIN_SESSION_KEYRING, None)


def join_session(name: str) -> None:
    """Make and join the session keyring `name`, and let processes of the same user search it."""
    key = _join(_KEYCTL_JOIN_SESSION_KEYRING, name.encode())
    memory = buffer(4096)
    _describe(_KEYCTL_DESCRIBE, key, addressof(memory), len(memory))
    # keyctl_describe(3): "type;uid;gid;permissions in hex;description"
    permissions = int(memory.value.split(b";")[3], 16)
    _set_permissions(_KEYCTL_SETPERM, key, permissions | _KEY_USR_SEARCH)
