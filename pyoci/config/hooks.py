"""`hooks`: programs to run at six moments of the life cycle (config.md, "POSIX-platform Hooks")."""

from __future__ import annotations

from ..record import Record


class Hook(Record):
    pointer: str
    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] | None = None  # None: absent, which differs from []
    timeout: int | None = None  # seconds


class Hooks(Record):
    prestart: tuple[Hook, ...] = ()
    create_runtime: tuple[Hook, ...] = ()
    create_container: tuple[Hook, ...] = ()
    start_container: tuple[Hook, ...] = ()
    poststart: tuple[Hook, ...] = ()
    poststop: tuple[Hook, ...] = ()
