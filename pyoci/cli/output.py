"""Standard output of the commands."""

from __future__ import annotations

from errno import EPIPE

from pyoci import os
from pyoci.errors import Error


class ReaderGone(Error):
    """Nobody reads our standard output any more: `list | head -1` has what it wanted."""


def emit(text: str) -> None:
    """Write all of `text` to standard output. A failure (a full disk) is an Error, ReaderGone for a closed pipe."""
    data = text.encode("utf-8", "surrogateescape")
    try:
        while data:
            data = data[os.write(1, data) :]
    except OSError as error:
        kind = ReaderGone if error.errno == EPIPE else Error
        raise kind(f"standard output: {error.strerror}", call="write(1, ...)", errno=error.errno or 0) from None
