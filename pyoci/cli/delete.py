"""delete: remove what a container left; with --force also one that runs."""

from __future__ import annotations

from pyoci.container.delete import delete

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.cli.options import Options


def main(options: Options) -> int:
    """Remove a stopped container, with --force any. Returns 0, raises Error."""
    delete(options.text("root"), options.arguments[0], options.flag("force"))
    return 0
