"""What of process.capabilities cannot be granted: it "MUST be logged as a warning" (config.md). Pure.

Imported only if there is something to tell. The first words are runc's where it tells the same.
"""

from __future__ import annotations

from pyoci.kernel.capability_names import NAMES
from pyoci.near import nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.config.capabilities import Capabilities

_MOST = 20  # names in one warning


def warnings(sets: Capabilities, held: int) -> list[str]:
    """A line each for unknown names, for what is not `held` by whoever grants, and for what another set rules out."""
    unknown = [_guess(name) for name in sets.unknown[:_MOST]]
    if len(sets.unknown) > _MOST:
        unknown.append(f"and {len(sets.unknown) - _MOST} more")
    lines = []
    unavailable = _names(sets.wanted() & ~held)
    for names, reason in ((unknown, "unknown"), (unavailable, "unavailable, as pyoci does not hold them itself")):
        if names:
            lines.append(f"ignoring unknown or unavailable capabilities: {', '.join(names)}: {reason}")
    for capability in _names(sets.inheritable & ~sets.bounding):
        lines.append(f"ignoring inheritable capability {capability}: it is not in bounding")
    for capability in _names(sets.effective & ~sets.permitted):
        lines.append(f"ignoring effective capability {capability}: it is not in permitted")
    for capability in _names(sets.permitted & ~sets.bounding):
        lines.append(f"permitted capability {capability} ends with execve: it is not in bounding")
    for capability in _names(sets.ambient & ~sets.raisable()):
        missing = [
            name
            for name, mask in (("permitted", sets.permitted), ("inheritable", sets.inheritable & sets.bounding))
            if not mask & 1 << NAMES.index(capability)
        ]
        reason = f"it is not in {' and '.join(missing)}"
        lines.append(f"can't raise ambient capability {capability}: operation not permitted: {reason}")
    return lines


def _guess(name: str) -> str:
    bare = name.upper().removeprefix("CAP_")
    known = [capability.removeprefix("CAP_") for capability in NAMES]
    guess = bare if bare in known else nearest(bare, known)
    return f"{name[:80]} (did you mean CAP_{guess}?)" if guess else name[:80]


def _names(mask: int) -> list[str]:
    return [name for number, name in enumerate(NAMES) if mask >> number & 1]
