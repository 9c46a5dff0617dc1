"""The warnings for capabilities that cannot be granted, which "MUST be logged" (config.md, "Linux Process")."""

from __future__ import annotations

from pyoci.kernel import capability
from pyoci.log import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.config import Config
    from pyoci.config.capabilities import Capabilities


def warn(config: Config, told: Capabilities | None = None) -> None:
    """Of process.capabilities; in a user namespace the process holds everything at first.

    told: sets that create has warned of already.
    """
    sets = config.process.capabilities if config.process is not None else None
    if sets is None or sets == told:
        return
    held = capability.get()[1] if config.linux.namespace("user") is None else -1
    if sets.can_be_granted(held):
        return
    from pyoci.config import ungranted

    known = [] if told is None else ungranted.warnings(told, held)
    for line in ungranted.warnings(sets, held):
        if line not in known:
            log.warning(line)
