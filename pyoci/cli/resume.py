"""resume: let a paused container go on."""

from __future__ import annotations

from pyoci.container.pause import resume

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.cli.options import Options


def main(options: Options) -> int:
    """Let a paused container go on. Returns 0, raises Error."""
    resume(options.text("root"), options.arguments[0])
    return 0
