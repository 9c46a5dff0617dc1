"""modules.pack: the same modules as the files, and no pack is no problem."""

from __future__ import annotations

import marshal
import os
import shutil
import subprocess
import sys
from importlib.util import MAGIC_NUMBER
from pathlib import Path

import pytest

from pyoci import pack
from tools.generate import pack as build_pack

PACKAGE = Path(pack.__file__).parent
MODULES, PIECES, LATE = build_pack.collect(str(PACKAGE), [])
DATA = pack.dump(MODULES, PIECES, LATE)


@pytest.fixture
def finder(tmp_path: Path) -> pack.Finder:
    file = tmp_path / pack.NAME
    file.write_bytes(DATA)
    return pack.Finder("/", str(file))


def test_every_module_but_the_cold_ones_is_packed(finder: pack.Finder) -> None:
    files = {str(path.relative_to(PACKAGE.parent)) for path in PACKAGE.rglob("*.py")}
    cold = {f"pyoci/{name.replace('.', '/')}.py" for name in build_pack.COLD}
    assert cold - files <= {"pyoci/config/schema/documents.py"}  # made by the build
    assert {finder.code(name).co_filename for name in finder.places} == files - cold


def test_stripped_code_does_the_same_and_keeps_its_lines() -> None:
    source = """
TYPE_CHECKING = False
if TYPE_CHECKING:
    from nowhere import Nothing
else:
    here = 1

class Record:
    '''Doc.'''
    field: int
    other: "Nothing" = 2

    def method(self, one: Nothing, *rest: int, key: str = "k") -> Nothing:
        '''Doc.'''
        local: Nothing = one
        return (local, rest, key)

def empty() -> None:
    '''Only a docstring.'''

def fails() -> None:
    raise ValueError
"""
    namespace: dict[str, object] = {}
    code = build_pack.strip(source, "x.py")
    exec(code, namespace)
    record = namespace["Record"]
    assert (namespace["here"], record.other, record().method(1, 2, key="z")) == (1, 2, (1, (2,), "z"))  # type: ignore[attr-defined, operator]
    assert record.__doc__ is None and "__annotations__" not in vars(record)
    assert namespace["empty"]() is None  # type: ignore[operator]
    with pytest.raises(ValueError, match=r"^$") as caught:
        namespace["fails"]()  # type: ignore[operator]
    assert caught.traceback[-1].lineno == source.split("\n").index("    raise ValueError")


def test_a_packed_package_imports_like_the_files(tmp_path: Path) -> None:
    """From the pack alone, with no source beside it: packages, their modules, and what __file__ says."""
    package = tmp_path / "pyoci"
    package.mkdir()
    (package / pack.NAME).write_bytes(DATA)
    code = f"""
import sys
sys.path.insert(0, {str(PACKAGE.parent)!r})
from pyoci import pack
for name in [name for name in sys.modules if name.startswith("pyoci")]:
    del sys.modules[name]
sys.path.pop(0)
pack.install({str(tmp_path)!r})
import pyoci.config.mount_options, pyoci.undo
print(pyoci.undo.__file__, pyoci.config.__path__, pyoci.undo.__spec__.loader.__class__.__name__)
pack.preload("state")
import pyoci.container, pyoci.cli.state as state
print(state.__file__, state.__spec__, state.__package__, state.main.__module__)
print(pyoci.container.__path__, pyoci.container.state is sys.modules["pyoci.container.state"])
pack.preload("nothing of that name")
"""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [
        f"{package}/undo.py ['{package}/config'] Finder",
        f"{package}/cli/state.py None pyoci.cli pyoci.cli.state",
        f"['{package}/container'] True",
    ], done.stderr


def test_a_piece_holds_everything_behind_what_it_needs() -> None:
    """Executed in this order, with nothing else to import from: no module asks for one that is not there."""
    code = """
import sys, types
class Refuse:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.startswith("pyoci"):
            raise AssertionError(name)
sys.path.append(%r)
from pyoci import pack
from tools.generate import pack as build_pack
modules, pieces, _ = build_pack.collect(%r, [])
sys.meta_path.insert(0, Refuse)
for name in [name for name in sys.modules if name.startswith("pyoci.")]:
    del sys.modules[name]
finder = pack.Finder.__new__(pack.Finder)
finder.directory = "/nowhere"
for piece in %r:
    finder.execute(tuple((name, *modules[name]) for name in pieces[piece]))
    assert set(pieces[piece]) <= set(sys.modules)
"""
    for piece, line in build_pack.PIECES.items():
        pieces = [*(name.rpartition(".")[2] for name in line[:-1]), piece]
        script = code % (str(PACKAGE.parent), str(PACKAGE), pieces)
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_a_piece_that_fails_leaves_no_module(finder: pack.Finder) -> None:
    good, bad = compile("x = 1", "x.py", "exec"), compile("1/0", "y.py", "exec")
    content = (("pyoci.made", True, good), ("pyoci.made.x", False, good), ("pyoci.made.y", False, bad))
    with pytest.raises(ZeroDivisionError):
        finder.execute(content)
    assert not [name for name in sys.modules if name.startswith("pyoci.made")]


def test_a_module_imported_out_of_order_is_not_executed_again(finder: pack.Finder) -> None:
    early = compile("import sys; sys.modules['pyoci.later'] = 'the first one'", "early.py", "exec")
    content = (("pyoci.early", False, early), ("pyoci.later", False, compile("1/0", "later.py", "exec")))
    try:
        finder.execute(content)
        assert sys.modules["pyoci.later"] == "the first one"  # type: ignore[comparison-overlap]
    finally:
        for name in ("pyoci.early", "pyoci.later"):
            sys.modules.pop(name, None)


def test_what_is_imported_already_stays(finder: pack.Finder) -> None:
    content = (("pyoci.pack", False, compile("1/0", "pack.py", "exec")),)
    finder.execute(content)


def test_order_is_that_of_the_import_statements() -> None:
    source = """
import os
from __future__ import annotations
from . import one
from ..two import three
TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci import never
def function():
    from pyoci import later
"""
    assert build_pack.imports(source, "pyoci.a") == [
        "os", "pyoci.a", "pyoci.a.one", "pyoci.two", "pyoci.two.three",
    ]  # fmt: skip
    needs = {"p": ["p.a"], "p.a": ["p.b"], "p.b": [], "p.c": ["p"], "q": ["p.c", "elsewhere"]}
    assert build_pack.order("q", needs) == ["p.b", "p.a", "p", "p.c", "q"]
    assert build_pack.order("p.b", needs) == ["p.b", "p.a", "p"]


OTHER = marshal.dumps((("cpython-27", 0), {"main": (0, 9)}, {"pyoci.undo": (False, 0, 9)}, {}))


@pytest.mark.parametrize("content", [None, b"", b"garbage", DATA[:100], len(OTHER).to_bytes(4, "little") + OTHER])
def test_without_a_fitting_pack_nothing_is_changed(tmp_path: Path, content: bytes | None) -> None:
    (tmp_path / "pyoci").mkdir()
    if content is not None:
        (tmp_path / "pyoci" / pack.NAME).write_bytes(content)
    before = list(sys.meta_path)
    pack.install(str(tmp_path))
    assert sys.meta_path == before


def test_the_installed_runtime_has_a_pack_that_fits(pyoci: str) -> None:
    assert len(pack.Finder("/", str(installed(pyoci) / pack.NAME)).places) > 80


def installed(pyoci: str) -> Path:
    """The package of the installed runtime."""
    directory = Path(os.path.realpath(pyoci)).parent.parent
    [package] = {path.resolve() for path in directory.glob("lib*/python3*/*-packages/pyoci")}
    return package


def test_the_installed_runtime_starts_from_the_compiled_file(pyoci: str) -> None:
    """The build makes it for the interpreter that runs it, and the launcher finds it."""
    [start] = installed(pyoci).glob("start.*")
    assert start.name == f"start.{sys.implementation.cache_tag}.pyc"
    assert start.read_bytes()[:16] == MAGIC_NUMBER + bytes(12)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writer, bytes(4096))
    os.set_blocking(writer, True)  # a reader that does not read is waited for
    with subprocess.Popen([pyoci, "help"], stdout=writer) as process:
        try:
            words = [b""]
            while words[0] == b"" or words[0].endswith(b"/pyoci"):
                assert process.poll() is None
                words = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
            assert os.fsencode(start) in words
        finally:
            process.kill()
            os.close(reader)
            os.close(writer)


def test_the_installed_runtime_starts_without_it(pyoci: str, tmp_path: Path) -> None:
    shutil.copytree(installed(pyoci), tmp_path / "pyoci", ignore=shutil.ignore_patterns("start.*"))
    command = [sys.executable, "-I", "-S", "-B", "-X", "utf8", "-X", "importtime", str(tmp_path / "pyoci/__main__.py")]
    done = subprocess.run(
        [*command, "--root", str(tmp_path), "state", "x"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "container does not exist" in done.stderr
    assert "pyoci.jsonfile" not in done.stderr.replace("pyoci.jsonfile.", "")  # it came with the pack's piece


@pytest.mark.parametrize("damage", ["truncated", "overwritten", "gone"])
def test_what_is_held_needs_no_file(finder: pack.Finder, damage: str) -> None:
    """Every module that a command may import after its own piece, whatever has become of the file."""
    path = Path(finder.path)
    there = {name for piece in ("trust", "main", "run") for name in PIECES[piece]}
    expected = {name: finder.code(name) for name in LATE["run"] if name not in PIECES}
    supervise = finder.load("supervise")
    finder.hold("run")
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(b"" if damage == "truncated" else b"x" * len(DATA))
    assert len(expected) > 40 and not expected.keys() & there
    assert {name: finder.code(name) for name in expected} == expected
    assert finder.load("supervise") == supervise
    assert finder.find_spec("pyoci.config") is None  # not held: its own file is there for it


def test_an_open_file_is_read_after_it_has_been_replaced(finder: pack.Finder, tmp_path: Path) -> None:
    expected = finder.load("state")
    (tmp_path / "new").write_bytes(b"new")
    (tmp_path / "new").rename(finder.path)
    assert finder.load("state") == expected
    finder.hold("update")  # a command without a piece of its own
    assert finder.code("pyoci.container.update").co_name == "<module>"


def test_a_command_that_reads_only_holds_nothing(finder: pack.Finder) -> None:
    finder.hold("state")
    assert finder.held == {} and LATE["state"] == []
    finder.hold("of a command that is not in the pack")
    assert finder.held.keys() == finder.places.keys()


def test_a_file_that_is_cut_short_meanwhile_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules are imported from their own files then, as without a pack."""
    (tmp_path / "pyoci").mkdir()
    for act in (pack.hold, pack.preload):
        (tmp_path / "pyoci" / pack.NAME).write_bytes(DATA)
        monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
        before = list(sys.meta_path)
        pack.install(str(tmp_path))
        assert sys.meta_path != before
        (tmp_path / "pyoci" / pack.NAME).write_bytes(DATA[:50_000])
        act("run")
        assert sys.meta_path == before and pack._finder is None


def test_no_descriptor_is_left(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    file = tmp_path / pack.NAME
    for content in (b"", b"garbage", len(OTHER).to_bytes(4, "little") + OTHER):
        file.write_bytes(content)
        try:
            pack.Finder("/", str(file))
        except (ValueError, EOFError, TypeError):
            pass
    file.write_bytes(DATA)
    pack.Finder("/", str(file)).hold("run")
    assert os.listdir("/proc/self/fd") == before
