"""events: print what a container uses, one JSON object on each line, and a notice when it ran out of memory."""

from __future__ import annotations

from pyoci import jsonfile
from pyoci.cli.output import emit
from pyoci.container import events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.cli.options import Options


def main(options: Options) -> int:
    interval = options.number("interval")
    container = events.running(options.text("root"), options.arguments[0], interval)
    if options.flag("stats"):
        emit(jsonfile.dumps(events.usage(container)) + "\n")
        return 0
    for event in events.stream(container, interval):
        emit(jsonfile.dumps(event) + "\n")
    return 0
