"""start: let a created container run its program."""

from __future__ import annotations

from pyoci.container.start import start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.cli.options import Options


def main(options: Options) -> int:
    """Let the process of a created container execute its program. Returns 0, raises Error."""
    start(options.text("root"), options.arguments[0])
    return 0
