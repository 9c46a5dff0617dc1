"""What config.json may ask for and this version does not carry out yet: an error, never silence.

Values that change nothing pass, because engines write them into every file: 0, false, "", [], {}.
process.execCPUAffinity is about exec only and passes.
"""

from __future__ import annotations

from pyoci.errors import UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyoci.config import Config
    from pyoci.config.seccomp import Seccomp


def check(config: Config) -> None:
    """Raises UnsupportedError for the first property that this version would ignore."""
    for pointer in unsupported(config):
        name = pointer[1:].replace("/", ".")
        hint = "this version of pyoci does not carry it out yet; remove it"
        raise UnsupportedError(f"{name} is not supported yet", pointer=pointer, hint=hint)


def unsupported(config: Config) -> Iterator[str]:
    """The pointers of everything in `config` that would be ignored."""
    linux = config.linux
    if linux.seccomp is not None:
        yield from _listener(linux.seccomp)


def _listener(seccomp: Seccomp) -> Iterator[str]:
    if seccomp.listener_path:
        yield f"{seccomp.pointer}/listenerPath"
    for rule in seccomp.syscalls:
        if rule.action == "SCMP_ACT_NOTIFY":
            yield f"{rule.pointer}/action"
