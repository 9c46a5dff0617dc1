"""Names of system calls that libseccomp does not know: too new for it, or misspelled.

Engines' profiles name many calls that an older library does not know, so that an unknown name is no reason for a
warning of create. One that a slip makes of a known name is: the call would not be allowed, or not be denied, in
silence.
"""

from __future__ import annotations

from pyoci.kernel import libseccomp
from pyoci.near import nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyoci.config.seccomp import Seccomp

_MOST = 50  # names that are compared with every known one


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
    found = [one for _, one in zip(range(_MOST), unknown(profile), strict=False)]
    if not found:
        return []
    known = libseccomp.names()
    return [(pointer, name, guess) for pointer, name in found if (guess := _meant(name, known))]


def _meant(name: str, known: list[str]) -> str:
    """Unless one of the two names begins with the other: fchmodat2 and setxattrat are newer calls, and no slips."""
    guess = nearest(name, known)
    return "" if not guess or name.startswith(guess) or guess.startswith(name) else guess
