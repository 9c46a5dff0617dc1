"""The configs of this directory, by file name; README.md tells where each comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyoci import jsonfile

FILES = sorted(Path(__file__).parent.glob("*.json"))
CONFIGS: dict[str, dict[str, Any]] = {path.name: jsonfile.read(str(path), what=path.name) for path in FILES}
