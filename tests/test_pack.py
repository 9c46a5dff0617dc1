"""modules.pack: the same modules as the files, and no pack is no problem."""

from __future__ import annotations

import marshal
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pyoci import pack
from tools import build_pack

PACKAGE = Path(pack.__file__).parent
DATA = pack.dump(build_pack.collect(str(PACKAGE), []))


def test_every_module_but_the_cold_ones_is_packed() -> None:
    finder = pack.Finder("/", DATA)
    files = {str(path.relative_to(PACKAGE.parent)) for path in PACKAGE.rglob("*.py")}
    cold = {f"pyoci/{name.replace('.', '/')}.py" for name in build_pack.COLD}
    assert cold - files <= {"pyoci/config/schema_documents.py"}  # made by the build
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
    with pytest.raises(ValueError) as caught:
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
"""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == f"{package}/undo.py ['{package}/config'] Finder\n", done.stderr


OTHER = marshal.dumps((("cpython-27", 0), {"pyoci.undo": (False, 0)}))


@pytest.mark.parametrize("content", [None, b"", b"garbage", DATA[:100], len(OTHER).to_bytes(4, "little") + OTHER])
def test_without_a_fitting_pack_nothing_is_changed(tmp_path: Path, content: bytes | None) -> None:
    (tmp_path / "pyoci").mkdir()
    if content is not None:
        (tmp_path / "pyoci" / pack.NAME).write_bytes(content)
    before = list(sys.meta_path)
    pack.install(str(tmp_path))
    assert sys.meta_path == before


def test_the_installed_runtime_has_a_pack_that_fits(pyoci: str) -> None:
    directory = Path(os.path.realpath(pyoci)).parent.parent
    packs = {path.resolve() for path in directory.glob(f"lib*/python3*/*-packages/pyoci/{pack.NAME}")}
    assert [len(pack.Finder("/", path.read_bytes()).places) > 80 for path in packs] == [True]
