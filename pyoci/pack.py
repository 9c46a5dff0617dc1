"""The modules of the everyday commands in one file, and those that a command needs anyway as one piece of it.

A piece is read at once and its modules are executed in the order in which they import each other, without a search for
each: half the time of importing them from .pyc files (docs/measurements.md). The build writes the file beside the
package (tools/generate/pack.py), for one version of CPython; where it is missing or made for another one, modules are
imported as usual. To run edited files of an installed package, remove modules.pack and start.*.pyc.

The file is opened once. Before a command does anything that takes time, what it may import later, at the end of a
container or to explain an error, is read as well: pyoci can be upgraded, in whatever way, while the command is at work,
and it ends with the code that it began with.

This file and __main__.py, compiled as one, are what the launcher executes (start.cpython-3xx.pyc, made by the build,
too): no source to compile and two modules less to look for, 0.6 ms of every command. Without it the launcher executes
__main__.py, which imports this one.

Annotations that cannot be evaluated are quoted: nothing else would import __future__, since the pack has none.
"""

import gc
import marshal
import posix
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, ModuleType
    from typing import Any, NoReturn

    Load = Callable[[], Callable[[list[str]], NoReturn]]  # imports what carries out a command line

    Modules = dict[str, tuple[bool, CodeType]]  # by name: whether it is a package, and its code
    Place = tuple[int, int]  # where it begins and how long it is
    Content = tuple[tuple[str, bool, CodeType], ...]

NAME = "modules.pack"
_VERSION = (sys.implementation.cache_tag, MAGIC_NUMBER)  # what the format of code objects depends on
_HEAD = 4  # bytes with the length of the index
NOTHING = (0, 0)
_UNREADABLE = (OSError, ValueError, TypeError, EOFError)

_finder: "Finder | None" = None


def dump(modules: "Modules", pieces: dict[str, list[str]], late: dict[str, list[str]]) -> bytes:
    """The file: the length of the index, the index, the pieces, the modules one by one, the lists of what comes late.

    `pieces`: the modules of each, every one behind those that it imports. `late`: the pieces and modules that a command
    may ask for after its own piece. The index says for which interpreter it is, and where each of these begins and how
    long it is.
    """
    parts: list[bytes] = []

    def add(content: "Any") -> "Place":
        place = sum(map(len, parts))
        parts.append(marshal.dumps(content))
        return place, len(parts[-1])

    in_pieces = {piece: add(tuple((name, *modules[name]) for name in names)) for piece, names in pieces.items()}
    places = {name: (package, *add(code)) for name, (package, code) in modules.items()}
    lists = {command: add(names) if names else NOTHING for command, names in late.items()}
    head = marshal.dumps((_VERSION, in_pieces, places, lists))
    return len(head).to_bytes(_HEAD, "little") + head + b"".join(parts)


class Finder:
    """The pack in the file `path`, whose package is in `directory`: a finder and loader for sys.meta_path.

    Raises OSError; ValueError and the like if it is garbage.
    """

    def __init__(self, directory: str, path: str) -> None:
        self.directory = directory
        self.path = path
        self.held: dict[str, bytes] = {}
        self.descriptor = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            size = int.from_bytes(posix.read(self.descriptor, _HEAD), "little")
            # Code of our own: the launcher has refused a file that others may write (native/launcher/trust.c).
            version, pieces, places, late = marshal.loads(posix.read(self.descriptor, size))  # noqa: S302
        except BaseException:
            self.close()
            raise
        fits = version == _VERSION
        self.start = _HEAD + size
        self.pieces: dict[str, Place] = pieces if fits else {}
        self.places: dict[str, tuple[bool, int, int]] = places if fits else {}
        self.late: dict[str, Place] = late if fits else {}
        if not fits:
            self.close()

    def close(self) -> None:
        """Only what is held can be loaded from here on."""
        if self.descriptor >= 0:
            posix.close(self.descriptor)
        self.descriptor = -1

    def hold(self, command: str) -> None:
        """Read all that the command may still ask for, if it may, and close the file. Raises EOFError if that has been
        cut short."""
        place = self.late.get(command)
        if place == NOTHING:
            return
        for name in self.places if place is None else self._load("", *place):
            start, size = self.pieces[name] if name in self.pieces else self.places[name][1:]
            self.held[name] = data = posix.pread(self.descriptor, size, self.start + start)
            if len(data) < size:
                raise EOFError(f"{NAME} ends too early")
        self.close()

    def _load(self, name: str, start: int, size: int) -> "Any":
        data = self.held[name] if self.descriptor < 0 else posix.pread(self.descriptor, size, self.start + start)
        return marshal.loads(data)  # noqa: S302 - see above

    def code(self, name: str) -> "CodeType":
        """The code object of a module. Raises KeyError for a name that the pack does not have."""
        found: CodeType = self._load(name, *self.places[name][1:])
        return found

    def file(self, name: str, package: bool) -> str:
        """The path that the module's source has or would have, for `__file__` and tracebacks."""
        return f"{self.directory}/{name.replace('.', '/')}{'/__init__' if package else ''}.py"

    def find_spec(self, name: str, path: object = None, target: object = None) -> "Any":
        """As a finder of sys.meta_path (importlib.abc.MetaPathFinder): None leaves the name to the next one."""
        if name not in self.places or (self.descriptor < 0 and name not in self.held):
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
        """As a loader (importlib.abc.Loader)."""
        exec(self.code(module.__name__), module.__dict__)  # noqa: S102 - how a module is run

    def load(self, piece: str) -> "Content":
        """The modules of a piece. Raises EOFError and the like if the file has been cut short or overwritten."""
        content: Content = self._load(piece, *self.pieces[piece])
        return content

    def execute(self, content: "Content") -> None:
        """Import the modules of a piece that are not there yet; all of them or, with the exception of one, none."""
        modules = sys.modules
        new = [one for one in content if one[0] not in modules]
        try:
            for name, package, _ in new:
                if package:  # first, because it may itself import modules of its own
                    self._make(name, package)
            for name, package, code in new:
                if name in modules and not package:  # one before it has imported it otherwise
                    continue
                module = modules[name] if package else self._make(name, package)
                exec(code, module.__dict__)  # noqa: S102 - how a module is run
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
    except _UNREADABLE:
        return
    if finder.places:
        sys.meta_path.insert(0, finder)
        _finder = finder


def preload(piece: str) -> None:
    """Import what a piece holds, if there is such a piece; without one everything is imported when it is asked for."""
    if _finder is not None and piece in _finder.pieces:
        try:
            content = _finder.load(piece)
        except _UNREADABLE:
            _forget()
        else:
            _finder.execute(content)


def hold(command: str) -> None:
    """Depend on no file of the pack from here on, whatever the command does."""
    if _finder is not None:
        try:
            _finder.hold(command)
        except _UNREADABLE:
            _forget()


def _forget() -> None:
    """The pack is being overwritten at this moment: go on with the modules' own files."""
    global _finder
    if _finder is not None:
        sys.meta_path.remove(_finder)
        _finder.close()
        _finder = None


def start(load: "Load", directory: str = "") -> None:
    """Run the command line in sys.argv by what `load` imports; with the pack below `directory`, which is on sys.path,
    if one is given."""
    gc.disable()  # nothing lives long enough to be collected; it costs 2 ms of the imports alone
    try:
        if directory:
            _begin(load, directory)
        load()(sys.argv[1:])
    except KeyboardInterrupt:  # this early there is nothing to undo and nothing to tell
        sys.exit(130)


def _begin(load: "Load", directory: str) -> None:
    install(directory)
    preload("trust")
    try:
        from pyoci import trust

        trust.install()
        preload("main")
        load()
    except Exception as problem:
        from pyoci.errors import Error

        if isinstance(problem, Error):  # there is no log yet
            sys.exit(f"pyoci: {problem}")
        raise


if __name__ == "__main__":  # this is the file that the launcher executes
    sys.modules["pyoci.pack"] = sys.modules["__main__"]
