"""Names of system calls that libseccomp does not know: too new for it, or misspelled.

Engines' profiles name many calls that an older library does not know, so that an unknown name is no reason for a
warning of create. One that a slip makes of a known name is: the call would not be allowed, or not be denied, in
silence.
"""

from __future__ import annotations

from pyoci.kernel import libseccomp
from pyoci.log import quote
from pyoci.near import nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyoci.config.seccomp import Seccomp

MOST = 500  # names that are compared with every known one
_NEWER = ("futex_wait",)  # calls of newer kernels that are one letter away from older ones, futex_waitv here


def unknown(profile: Seccomp) -> Iterator[tuple[str, str]]:
    """Pointer and name of what libseccomp does not know; each name once."""
    seen: set[str] = set()
    for rule in profile.syscalls:
        for at, name in enumerate(rule.names):
            if name not in seen:
                seen.add(name)
                if libseccomp.number(name) is None:
                    yield f"{rule.pointer}/names/{at}", name


def slips(profile: Seccomp) -> list[tuple[str, str, str]]:
    """Pointer, name and the known name that may be meant, of unknown names that look like a slip."""
    found = [one for _, one in zip(range(MOST), unknown(profile), strict=False)]
    if not found:
        return []
    known = libseccomp.names()
    return [
        (pointer, name, guess)
        for pointer, name in found
        if not _is_newer(name, known) and (guess := nearest(name, known))
    ]


def warnings(profile: Seccomp) -> list[str]:
    """A line for each slip."""
    return [
        f"config.json#{pointer}: unknown system call {quote(name)}, ignored; did you mean {guess!r}?"
        for pointer, name, guess in slips(profile)
    ]


def _is_newer(name: str, known: list[str]) -> bool:
    """Whether it is named as newer calls are, after an older one: fchmodat2, setxattrat, clone4."""
    older = name.rstrip("0123456789")
    return name in _NEWER or (older != name and older in known) or (name[-2:] == "at" and name[:-2] in known)
