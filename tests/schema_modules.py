"""In a source checkout the modules that the build makes from spec/ are made by the tests; git ignores them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOL = ROOT / "tools" / "generate" / "schema_table.py"
SPEC = ROOT / "spec"
MADE = [ROOT / "pyoci" / "config" / "schema" / name for name in ("table.py", "documents.py")]


def make() -> None:
    """Make them again if anything that they are made from is newer."""
    newest = max(path.stat().st_mtime_ns for path in [TOOL, *SPEC.glob("*.json")])
    if not all(path.exists() and path.stat().st_mtime_ns >= newest for path in MADE):
        subprocess.run([sys.executable, str(TOOL), str(SPEC), str(MADE[0].parent)], check=True)
