"""A seccomp profile that does not let the container's program begin. Imported only when it has not begun."""

from __future__ import annotations

from errno import ENOSYS, EPERM

from pyoci.config.node import Node
from pyoci.config.seccomp import Seccomp, read_seccomp
from pyoci.container import saved_config
from pyoci.container.state import Container
from pyoci.errors import Error, StepError
from pyoci.seccomp.allowance import EXECVE, Refusal, refusal


def of_program(profile: Seccomp | None) -> Refusal | None:
    """What the profile answers when the process is to become the program, None if it lets it."""
    return None if profile is None else refusal(profile, EXECVE)


def explanation(found: Refusal) -> StepError:
    """The error for a process that was killed when it should have become the program."""
    return StepError(
        "container process was killed before its program ran: the seccomp profile forbids execve",
        pointer=found.pointer,
        step="ExecuteProgram",
        hint=_hint(found),
    )


def explained(error: Error, found: Refusal | None) -> Error:
    """`error` of an execve(2) that has failed, with a hint if it was the filter that has answered."""
    # ENOSYS: nobody traces, or the profile names no call as new as this one
    if found is not None and error.errno in (EPERM if found.errno is None else found.errno, ENOSYS):
        error.pointer, error.hint = found.pointer, _hint(found)
    return error


def profile_of(container: Container) -> Seccomp | None:
    """What the container was created with."""
    try:
        kept = saved_config.load(container.root, container.id)[1]["config"]
        return read_seccomp(Node(kept.get("linux") or {}, "/linux").child("seccomp"))
    except (Error, OSError):  # removed meanwhile: the first error is the one that counts
        return None


def _hint(found: Refusal) -> str:
    return f"the profile answers {EXECVE}(2) with {found.action}; allow the call in linux.seccomp.syscalls"
