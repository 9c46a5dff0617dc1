"""Warnings about keys of config.json, a process.json or an update that are not the specification's.

Imported only if there is such a key.
"""

from __future__ import annotations

from pyoci.log import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.config.keys import Remark

_MOST = 20


def warn(remarks: list[Remark], what: str) -> None:
    """Tell of keys that were taken for another spelling, and of those that look like a slip. `what`: the file."""
    told = [remark for remark in remarks if remark.name]
    for remark in told[:_MOST]:
        log.warning(f"{what}#{remark.pointer}: {remark.reason}" + (f"; {remark.hint}" if remark.hint else ""))
    if len(told) > _MOST:
        log.warning(f"{what}: {len(told) - _MOST} more keys are not the specification's: see `pyoci validate`")
