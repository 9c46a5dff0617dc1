"""ps: list the processes of a container. Nothing else may be printed: go-runc parses both streams together."""

from __future__ import annotations

from pyoci import jsonfile
from pyoci.cli.output import emit
from pyoci.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.cli.options import Options


def main(options: Options) -> int:
    """Print the process ids as a JSON array, or the lines of ps about them. One "--" behind the id is not for ps."""
    from pyoci.container import ps

    form = options.text("format")
    id, *arguments = options.arguments
    if arguments[:1] == ["--"]:
        del arguments[0]
    found = ps.pids(options.text("root"), id)
    if form == "json":
        emit(jsonfile.dumps(found or None) + "\n")  # null, not []: Go's empty slice
    elif form == "table":
        emit(ps.listing(found, tuple(arguments)).decode("utf-8", "surrogateescape"))
    else:
        raise Error("invalid format option", pointer="--format", hint="it is table or json")
    return 0
