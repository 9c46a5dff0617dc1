"""Prints files of the source tree, one a line, for meson.build: the package's modules, or all below a directory."""

from __future__ import annotations

import os
import sys

SKIPPED = {"__pycache__"}
# Made by the build, also when a copy for the tests lies in the source tree.
GENERATED = {"pyoci/config/schema/table.py", "pyoci/config/schema/documents.py"}


def files(top: str) -> list[str]:
    """Every file below `top`, sorted; of the package only what is installed as it is."""
    found = []
    for directory, names, leaves in os.walk(top):
        names[:] = [name for name in names if name not in SKIPPED]
        found += [os.path.join(directory, leaf) for leaf in leaves]
    if top == "pyoci":
        found = [path for path in found if path.endswith((".py", ".typed")) and path not in GENERATED]
    return sorted(found)


if __name__ == "__main__":
    os.chdir(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    print("\n".join(files(sys.argv[1] if len(sys.argv) > 1 else "pyoci")))
