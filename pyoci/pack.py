"""The modules of the everyday commands in one file: read once, instead of eight system calls and a search for each.

Importing from it costs a third less than from .pyc files (docs/measurements.md). The build writes it beside the package
(tools/build_pack.py), for one version of CPython; where it is missing or made for another one, modules are imported as
usual. To run an edited file of an installed package, remove modules.pack.
"""

from __future__ import annotations

import marshal
import sys
from _frozen_importlib import ModuleSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, ModuleType
    from typing import Any

NAME = "modules.pack"
_VERSION = (sys.implementation.cache_tag, sys.hexversion >> 16)  # what the format of code objects depends on


def dump(modules: dict[str, tuple[bool, CodeType]]) -> bytes:
    """The file: four bytes with the length of the index, the index, then the code objects one after the other.

    The index says for which interpreter they are and, by name, whether it is a package and where its code begins.
    """
    places, codes, start = {}, [], 0
    for name, (package, code) in modules.items():
        places[name] = (package, start)
        codes.append(marshal.dumps(code))
        start += len(codes[-1])
    index = marshal.dumps((_VERSION, places))
    return len(index).to_bytes(4, "little") + index + b"".join(codes)


class Finder:
    """A finder and loader for sys.meta_path. Raises ValueError and the like if `data` is garbage."""

    def __init__(self, directory: str, data: bytes) -> None:
        self.directory = directory  # that holds the package
        size = 4 + int.from_bytes(data[:4], "little")
        version, places = marshal.loads(data[4:size])
        self.places: dict[str, tuple[bool, int]] = places if version == _VERSION else {}
        self.codes = memoryview(data)[size:]

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        if name not in self.places:
            return None
        package = self.places[name][0]
        file = f"{self.directory}/{name.replace('.', '/')}{'/__init__' if package else ''}.py"
        spec: Any = ModuleSpec(name, self, origin=file, is_package=package)  # type: ignore[arg-type]
        spec.has_location = True
        if package:
            spec.submodule_search_locations.append(file.rpartition("/")[0])
        return spec

    def create_module(self, spec: object) -> None:
        """The usual module object."""

    def code(self, name: str) -> CodeType:
        found: CodeType = marshal.loads(self.codes[self.places[name][1] :])
        return found

    def exec_module(self, module: ModuleType) -> None:
        exec(self.code(module.__name__), module.__dict__)


def install(directory: str) -> None:
    """Import the package below `directory` from its pack, if there is one that fits."""
    try:
        with open(f"{directory}/pyoci/{NAME}", "rb", buffering=0) as file:
            finder = Finder(directory, file.read() or b"")
    except (OSError, ValueError, TypeError, EOFError):
        return
    if finder.places:
        sys.meta_path.insert(0, finder)
