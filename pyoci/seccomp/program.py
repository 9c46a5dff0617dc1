"""linux.seccomp made ready for the container's process: BPF and flags for seccomp(2), compiled once per profile.

The decision: docs/decisions/seccomp.md.
"""

from __future__ import annotations

from pyoci.errors import ConfigError, StepError, system_call
from pyoci.kernel import seccomp as kernel
from pyoci.kernel.constants import (
    SECCOMP_FILTER_FLAG_LOG,
    SECCOMP_FILTER_FLAG_NEW_LISTENER,
    SECCOMP_FILTER_FLAG_SPEC_ALLOW,
    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
)
from pyoci.log import log
from pyoci.record import Record
from pyoci.seccomp import cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.config.seccomp import Seccomp

__all__ = ["Program", "program"]

_IGNORED = "SECCOMP_FILTER_FLAG_TSYNC"  # the container's process has one thread
_MOST = 20  # warnings
_WAIT_KILLABLE = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"
_SPEC_ALLOW = SECCOMP_FILTER_FLAG_SPEC_ALLOW
_FLAGS = {
    "SECCOMP_FILTER_FLAG_LOG": (SECCOMP_FILTER_FLAG_LOG, "log"),
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": (_SPEC_ALLOW, "SSB"),
    _WAIT_KILLABLE: (SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, "WaitKill"),
}


class Program(Record):
    """What the container's process loads: `kernel.seccomp.prepare(bpf).load(flags)`."""

    bpf: bytes  # struct sock_filter[]
    flags: int  # SECCOMP_FILTER_FLAG_*
    warnings: tuple[str, ...] = ()  # about the profile, for create to tell


def program(seccomp: Seccomp, root: str) -> Program:
    """The program for `seccomp`. `root`: the state directory.

    Errors: ConfigError with the property's pointer; Error where libseccomp is missing; StepError where the kernel
    does not take the result.
    """
    flags = _flags(seccomp)
    log.debug(f"seccomp filter flags: {flags}")  # runc's words, which its tests look for
    key = cache.key(seccomp)
    kept = cache.load(root, key)
    if kept is None:
        kept = _compiled(seccomp, flags), _warnings(seccomp)
        cache.store(root, key, *kept, _library())
    return Program(bpf=kept[0], flags=flags, warnings=kept[1])


def _compiled(seccomp: Seccomp, flags: int) -> bytes:
    """Compile, and prove in a child that the kernel takes the result: a bad one is create's error, not start's."""
    from pyoci.seccomp import profile  # loads libseccomp, which a cached profile does not need

    bpf = profile.compile(seccomp)
    _prove(bpf, flags, seccomp.pointer)
    return bpf


def _warnings(seccomp: Seccomp) -> tuple[str, ...]:
    from pyoci.seccomp import names

    found = names.warnings(seccomp)
    more = [f"{len(found) - _MOST} more system calls are unknown: see `pyoci validate`"] if len(found) > _MOST else []
    return (*found[:_MOST], *more)


def _library() -> str:
    from pyoci.kernel import libseccomp

    return libseccomp.path()


def _flags(seccomp: Seccomp) -> int:
    notifies = seccomp.notifies()
    flags = SECCOMP_FILTER_FLAG_NEW_LISTENER if notifies else 0
    if seccomp.flags is None:
        return flags | (_SPEC_ALLOW if kernel.flags_supported(_SPEC_ALLOW) else 0)
    for at, name in enumerate(seccomp.flags):
        if name == _IGNORED or (name == _WAIT_KILLABLE and not notifies):  # it is about the listener alone
            continue
        pointer = f"{seccomp.pointer}/flags/{at}"
        flag, short = _FLAGS[name]
        if not kernel.flags_supported(flag):
            raise ConfigError(
                f"error adding {short} flag to seccomp filter: the kernel does not know it", pointer=pointer
            )
        flags |= flag
    return flags


def _prove(bpf: bytes, flags: int, pointer: str) -> None:
    try:
        kernel.check(bpf, flags)
    except OSError as error:
        count = len(bpf) // kernel.INSTRUCTION_SIZE
        hint = ""
        if count > kernel.MAX_INSTRUCTIONS:
            hint = f"the profile makes a program of {count} instructions, the kernel takes {kernel.MAX_INSTRUCTIONS}"
        reason = (error.strerror or str(error)).lower()
        raise StepError(
            f"unable to init seccomp: error loading seccomp filter into kernel: {reason}",
            pointer=pointer,
            call=system_call(error),
            errno=error.errno or 0,
            hint=hint,
        ) from None
