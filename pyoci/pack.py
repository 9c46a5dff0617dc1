"""All modules in one file: read once, instead of eight system calls and a search for each of a hundred modules.

Importing from it costs a fifth less than from the same modules' .pyc files (docs/measurements.md). The build writes it
beside the package (tools/build_pack.py), for one version of CPython; where it is missing or made for another one, the
modules are imported as usual. To run an edited file of an installed package, remove modules.pack.
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


def dump(modules: dict[str, tuple[bool, CodeType]]) -> bytes:
    """The file's content: the interpreter's tag, then each module's name, whether it is a package, and its code."""
    return marshal.dumps((sys.implementation.cache_tag, sys.hexversion, _each(modules)))


def _each(modules: dict[str, tuple[bool, CodeType]]) -> dict[str, tuple[bool, bytes]]:
    return {name: (package, marshal.dumps(code)) for name, (package, code) in modules.items()}


def load(data: bytes) -> dict[str, tuple[bool, bytes]]:
    """The modules in `data`; none if they are for another interpreter. Raises ValueError and the like for garbage."""
    tag, version, modules = marshal.loads(data)
    fits = tag == sys.implementation.cache_tag and version >> 16 == sys.hexversion >> 16
    return modules if fits else {}


class Finder:
    """A finder and loader for sys.meta_path."""

    def __init__(self, directory: str, modules: dict[str, tuple[bool, bytes]]) -> None:
        self._directory = directory  # that holds the package
        self._modules = modules

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        found = self._modules.get(name)
        if found is None:
            return None
        file = f"{self._directory}/{name.replace('.', '/')}{'/__init__' if found[0] else ''}.py"
        spec: Any = ModuleSpec(name, self, origin=file, is_package=found[0])  # type: ignore[arg-type]
        spec.has_location = True
        if found[0]:
            spec.submodule_search_locations.append(file.rpartition("/")[0])
        return spec

    def create_module(self, spec: object) -> None:
        """The usual module object."""

    def exec_module(self, module: ModuleType) -> None:
        exec(marshal.loads(self._modules[module.__name__][1]), module.__dict__)


def install(directory: str) -> None:
    """Import the package below `directory` from its pack, if there is one that fits."""
    try:
        with open(f"{directory}/pyoci/{NAME}", "rb", buffering=0) as file:
            modules = load(file.read() or b"")
    except (OSError, ValueError, TypeError, EOFError):
        return
    if modules:
        sys.meta_path.insert(0, Finder(directory, modules))
