"""A seccomp profile that does not let the container's program begin. Imported only when it has not begun."""

from __future__ import annotations

from errno import ENOSYS, EPERM

from pyoci.config.node import Node
from pyoci.config.seccomp import Seccomp, read_seccomp
from pyoci.config.seccomp_allowance import Refusal, refusal
from pyoci.container import state
from pyoci.container.state import Container
from pyoci.errors import Error, StepError

_CALL = "execve"


def explanation(profile: Seccomp | None) -> StepError | None:
    """The error for a process that was killed when it should have become the program; None if its profile does not
    say so."""
    found = None if profile is None else refusal(profile, _CALL)
    if found is None:
        return None
    return StepError(
        "container process was killed before its program ran: the seccomp profile forbids execve",
        pointer=found.pointer,
        step="ExecuteProgram",
        hint=_hint(found),
    )


def explained(error: Error, profile: Seccomp | None) -> Error:
    """`error` of an execve(2) that has failed, with a hint if it was the filter that has answered."""
    found = None if profile is None else refusal(profile, _CALL)
    # ENOSYS: nobody traces, or the profile names no call as new as this one
    if found is not None and error.errno in (EPERM if found.errno is None else found.errno, ENOSYS):
        error.pointer, error.hint = found.pointer, _hint(found)
    return error


def profile_of(container: Container) -> Seccomp | None:
    """What the container was created with."""
    try:
        kept = state.load_kept(container.root, container.id)[1]["config"]
        return read_seccomp(Node(kept.get("linux") or {}, "/linux").child("seccomp"))
    except (Error, OSError):  # removed meanwhile: the first error is the one that counts
        return None


def _hint(found: Refusal) -> str:
    return f"the profile answers {_CALL}(2) with {found.action}; allow the call in linux.seccomp.syscalls"
