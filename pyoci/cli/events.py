"""events: print what a container uses, one JSON object on each line, and a notice when it ran out of memory."""

from __future__ import annotations

from pyoci import jsonfile
from pyoci.cli.output import emit
from pyoci.container import events

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal

    from pyoci.cli.options import Options
else:
    import _signal  # the signal module imports enum


def main(options: Options) -> int:
    """Print the container's statistics every --interval, and its out-of-memory events, as one JSON object a line."""
    interval = options.number("interval")
    container = events.running(options.text("root"), options.arguments[0], interval)
    if options.flag("stats"):
        emit(jsonfile.dumps(events.usage(container)) + "\n")
        return 0
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:  # not ignored by the caller
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # the usual end of a stream is no error
    for event in events.stream(container, interval):
        emit(jsonfile.dumps(event) + "\n")
    return 0
