"""pause: suspend every process of a container."""

from __future__ import annotations

from pyoci.container.pause import pause

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.cli.options import Options


def main(options: Options) -> int:
    """Freeze the container's processes. Returns 0, raises Error."""
    pause(options.text("root"), options.arguments[0])
    return 0
