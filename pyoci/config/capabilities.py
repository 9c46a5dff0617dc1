"""process.capabilities: five sets of names as five bit masks (config.md, "Linux Process")."""

from __future__ import annotations

from pyoci.kernel.capability_names import NAMES
from pyoci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.config.node import Node

BITS = {name: 1 << number for number, name in enumerate(NAMES)}


class Capabilities(Record):
    """Bit N of a mask is the capability NAMES[N] of kernel/capability_names.py. An absent set is empty."""

    pointer: str = "/process/capabilities"
    bounding: int = 0
    effective: int = 0
    inheritable: int = 0
    permitted: int = 0
    ambient: int = 0
    unknown: tuple[str, ...] = ()  # names to warn about once, without repetition, sorted

    def wanted(self) -> int:
        """The capabilities that stand in any of the sets."""
        return self.bounding | self.effective | self.inheritable | self.permitted | self.ambient

    def raisable(self) -> int:
        """What the ambient set may have: inheritable ones, which have to be in the bounding set, that are permitted."""
        return self.permitted & self.inheritable & self.bounding

    def can_be_granted(self, held: int) -> bool:
        """Whether somebody who holds `held` can grant everything; else ungranted.py says what not."""
        return not (
            self.unknown
            or self.wanted() & ~held
            or (self.permitted | self.inheritable) & ~self.bounding
            or self.effective & ~self.permitted
            or self.ambient & ~self.raisable()
        )


def read_capabilities(node: Node | None) -> Capabilities | None:
    """`process.capabilities`: five sets as bit masks. Names that this pyoci does not know are kept by themselves."""
    if node is None:
        return None
    unknown: set[str] = set()
    return Capabilities(
        bounding=_mask(node.strings("bounding"), unknown),
        effective=_mask(node.strings("effective"), unknown),
        inheritable=_mask(node.strings("inheritable"), unknown),
        permitted=_mask(node.strings("permitted"), unknown),
        ambient=_mask(node.strings("ambient"), unknown),
        unknown=tuple(sorted(unknown)),
    )


def _mask(names: tuple[str, ...], unknown: set[str]) -> int:
    mask = 0
    for name in names:
        bit = BITS.get(name)
        if bit is None:
            unknown.add(name)
        else:
            mask |= bit
    return mask
