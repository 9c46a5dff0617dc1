"""run: create a container, start it, wait for its end, delete it."""

from __future__ import annotations

from pyoci.cli.create import create_options
from pyoci.container.options import RunOptions
from pyoci.container.run import run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.cli.options import Options


def main(options: Options) -> int:
    """The program's exit status, or 128 and its signal; 0 with --detach."""
    return run(
        RunOptions(
            create=create_options(options),
            detach=options.flag("detach"),
            keep=options.flag("keep"),
            no_subreaper=options.flag("no-subreaper"),
        )
    )
