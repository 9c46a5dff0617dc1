"""What every program here that writes a document does with it."""

from __future__ import annotations

import sys
from pathlib import Path


def keep(file: Path, content: str, generator: str) -> int:
    """Write `content`, or with --check on the command line say whether it is what `file` has. 1 if it is not."""
    if "--check" in sys.argv[1:]:
        current = file.exists() and file.read_text() == content
        print("current" if current else f"not current: run python -m {generator}")
        return 0 if current else 1
    file.write_text(content)
    return 0
