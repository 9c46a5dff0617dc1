"""The modules of the everyday commands in one file, and those that a command needs anyway as one piece of it.

A piece is read at once and its modules are executed in the order in which they import each other, without a search for
each: half the time of importing them from .pyc files (docs/measurements.md). The build writes the file beside the
package (tools/build_pack.py), for one version of CPython; where it is missing or made for another one, modules are
imported as usual. To run edited files of an installed package, remove modules.pack and start.*.pyc.

This file, compiled, is what the launcher executes (start.cpython-3xx.pyc, made by the build, too): no source to compile
and two modules less to look for, 0.7 ms of every command. Without it the launcher executes __main__.py.

Annotations that cannot be evaluated are quoted: nothing else would import __future__, since the pack has none.
"""

import gc
import marshal
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, ModuleType
    from typing import Any

    Modules = dict[str, tuple[bool, CodeType]]  # by name: whether it is a package, and its code

NAME = "modules.pack"
_VERSION = (sys.implementation.cache_tag, MAGIC_NUMBER)  # what the format of code objects depends on
_HEAD = 4  # bytes with the length of the index

_finder: "Finder | None" = None


def dump(modules: "Modules", pieces: dict[str, list[str]]) -> bytes:
    """The file: the length of the index, the index, the pieces, the modules one by one.

    `pieces`: the modules of each, every one behind those that it imports. The index says for which interpreter it is,
    and where each piece and each module begins and how long it is.
    """
    parts: list[bytes] = []
    place = 0
    index: tuple[dict[str, tuple[int, int]], dict[str, tuple[bool, int, int]]] = ({}, {})
    for piece, names in pieces.items():
        parts.append(marshal.dumps(tuple((name, *modules[name]) for name in names)))
        index[0][piece] = (place, len(parts[-1]))
        place += len(parts[-1])
    for name, (package, code) in modules.items():
        parts.append(marshal.dumps(code))
        index[1][name] = (package, place, len(parts[-1]))
        place += len(parts[-1])
    head = marshal.dumps((_VERSION, *index))
    return len(head).to_bytes(_HEAD, "little") + head + b"".join(parts)


class Finder:
    """The pack in the file `path`, whose package is in `directory`: a finder and loader for sys.meta_path.

    Raises OSError; ValueError and the like if it is garbage.
    """

    def __init__(self, directory: str, path: str) -> None:
        self.directory = directory
        self.path = path
        with open(path, "rb", buffering=0) as file:
            size = int.from_bytes(file.read(_HEAD) or b"", "little")
            version, pieces, places = marshal.loads(file.read(size) or b"")
        fits = version == _VERSION
        self.start = _HEAD + size
        self.pieces: dict[str, tuple[int, int]] = pieces if fits else {}
        self.places: dict[str, tuple[bool, int, int]] = places if fits else {}

    def _load(self, start: int, size: int) -> "Any":
        with open(self.path, "rb", buffering=0) as file:
            file.seek(self.start + start)
            return marshal.loads(file.read(size) or b"")

    def code(self, name: str) -> "CodeType":
        found: CodeType = self._load(*self.places[name][1:])
        return found

    def file(self, name: str, package: bool) -> str:
        return f"{self.directory}/{name.replace('.', '/')}{'/__init__' if package else ''}.py"

    def find_spec(self, name: str, path: object = None, target: object = None) -> "Any":
        if name not in self.places:
            return None
        package = self.places[name][0]
        file = self.file(name, package)
        spec: Any = ModuleSpec(name, self, origin=file, is_package=package)  # type: ignore[arg-type]
        spec.has_location = True
        if package:
            spec.submodule_search_locations.append(file.rpartition("/")[0])
        return spec

    def create_module(self, spec: object) -> None:
        """The usual module object."""

    def exec_module(self, module: "ModuleType") -> None:
        exec(self.code(module.__name__), module.__dict__)

    def execute(self, piece: str) -> None:
        """Import the modules of a piece that are not there yet; all of them or, with the exception of one, none."""
        modules = sys.modules
        new = [one for one in self._load(*self.pieces[piece]) if one[0] not in modules]
        try:
            for name, package, _ in new:
                if package:  # first, because it may itself import modules of its own
                    self._make(name, package)
            for name, package, code in new:
                if name in modules and not package:  # one before it has imported it otherwise
                    continue
                module = modules[name] if package else self._make(name, package)
                exec(code, module.__dict__)
                parent, _, own = name.rpartition(".")
                if parent:
                    setattr(modules[parent], own, module)
        except BaseException:
            for name, _, _ in new:
                modules.pop(name, None)
            raise

    def _make(self, name: str, package: bool) -> "ModuleType":
        module = type(sys)(name)
        file = module.__file__ = self.file(name, package)
        module.__package__ = name if package else name.rpartition(".")[0]
        if package:
            module.__path__ = [file.rpartition("/")[0]]
        sys.modules[name] = module
        return module


def install(directory: str) -> None:
    """Import the package below `directory` from its pack, if there is one that fits."""
    global _finder
    try:
        finder = Finder(directory, f"{directory}/pyoci/{NAME}")
    except (OSError, ValueError, TypeError, EOFError):
        return
    if finder.places:
        sys.meta_path.insert(0, finder)
        _finder = finder


def preload(piece: str) -> None:
    """Import what a piece holds, if there is such a piece; without one everything is imported when it is asked for."""
    if _finder is not None and piece in _finder.pieces:
        _finder.execute(piece)


def start(directory: str = "") -> None:
    """Run the command line in sys.argv; with the pack below `directory`, which is on sys.path, if one is given."""
    gc.disable()  # nothing lives long enough to be collected; it costs 2 ms of the imports alone
    try:
        if directory:
            install(directory)
            preload("main")
        from pyoci.cli.main import run

        run(sys.argv[1:])
    except KeyboardInterrupt:  # this early there is nothing to undo and nothing to tell
        sys.exit(130)


if __name__ == "__main__":
    sys.modules["pyoci.pack"] = sys.modules["__main__"]
    directory = __file__.rpartition("/pyoci/")[0] or "/"
    sys.path.append(directory)  # -I keeps it out
    start(directory)
