"""`hooks`: programs to run at six moments of the life cycle (config.md, "POSIX-platform Hooks")."""

from __future__ import annotations

from pyoci.config.node import INT64
from pyoci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.config.node import Node


class Hook(Record):
    """One program; it gets the container's state on its standard input."""

    pointer: str
    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] | None = None  # None: absent, which differs from []
    timeout: int | None = None  # seconds


class Hooks(Record):
    """The programs of every moment, in the order in which they run."""

    prestart: tuple[Hook, ...] = ()
    create_runtime: tuple[Hook, ...] = ()
    create_container: tuple[Hook, ...] = ()
    start_container: tuple[Hook, ...] = ()
    poststart: tuple[Hook, ...] = ()
    poststop: tuple[Hook, ...] = ()

    def all(self) -> tuple[Hook, ...]:
        """The hooks of every moment."""
        before = self.prestart + self.create_runtime + self.create_container
        return before + self.start_container + self.poststart + self.poststop


def read_hooks(node: Node | None) -> Hooks:
    """`hooks` (config.md, "POSIX-platform Hooks"): six lists, each in the order in which its hooks run."""
    if node is None:
        return Hooks()
    return Hooks(
        prestart=_read(node, "prestart"),
        create_runtime=_read(node, "createRuntime"),
        create_container=_read(node, "createContainer"),
        start_container=_read(node, "startContainer"),
        poststart=_read(node, "poststart"),
        poststop=_read(node, "poststop"),
    )


def _read(node: Node, key: str) -> tuple[Hook, ...]:
    return tuple(
        [
            Hook(
                pointer=hook.pointer,
                path=hook.required_string("path"),
                args=hook.strings("args"),
                env=hook.optional_strings("env"),
                timeout=hook.optional_integer("timeout", INT64),
            )
            for hook in node.children(key)
        ]
    )
