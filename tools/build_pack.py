"""Writes modules.pack: build_pack.py PACKAGE OUTPUT [GENERATED...]; see pyoci/pack.py.

PACKAGE is the directory of the sources, GENERATED are modules of pyoci/config that the build made elsewhere.
"""

from __future__ import annotations

import os
import sys
from types import CodeType


def collect(package: str, generated: list[str]) -> dict[str, tuple[bool, CodeType]]:
    """Name -> whether it is a package, code. File names in it are relative: nobody knows yet where it will be."""
    files = {}
    for directory, names, leaves in os.walk(package):
        names[:] = [name for name in names if name != "__pycache__"]
        for leaf in leaves:
            if leaf.endswith(".py"):
                path = os.path.join(directory, leaf)
                files["pyoci/" + os.path.relpath(path, package)] = path
    for path in generated:
        files["pyoci/config/" + os.path.basename(path)] = path
    modules: dict[str, tuple[bool, CodeType]] = {}
    for place, path in sorted(files.items()):
        if place == "pyoci/__main__.py":
            continue
        with open(path, encoding="utf-8") as file:
            code = compile(file.read(), place, "exec", dont_inherit=True)
        name = place.removesuffix(".py").replace("/", ".")
        modules[name.removesuffix(".__init__")] = (name.endswith(".__init__"), code)
    return modules


if __name__ == "__main__":
    package, output, *generated = sys.argv[1:]
    sys.path.insert(0, os.path.dirname(os.path.abspath(package)))
    from pyoci import pack

    with open(output, "wb") as file:
        file.write(pack.dump(collect(package, generated)))
