"""Standard output of the commands."""

from __future__ import annotations

from pyoci import os
from pyoci.errors import Error


def emit(text: str) -> None:
    """Write all of `text` to standard output. A failure (a closed pipe, a full disk) is an Error."""
    data = text.encode("utf-8", "surrogateescape")
    try:
        while data:
            data = data[os.write(1, data) :]
    except OSError as error:
        raise Error(f"standard output: {error.strerror}", call="write(1, ...)", errno=error.errno or 0) from None
