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


def _modules() -> dict[str, tuple[bool, bytes]]:
    return pack.load(pack.dump(build_pack.collect(str(PACKAGE), [])))


def test_every_module_is_packed_with_the_code_of_its_file() -> None:
    modules = _modules()
    files = {str(path.relative_to(PACKAGE.parent)) for path in PACKAGE.rglob("*.py")} - {"pyoci/__main__.py"}
    assert {marshal.loads(code).co_filename for _, code in modules.values()} == files
    source = PACKAGE / "undo.py"
    assert marshal.loads(modules["pyoci.undo"][1]) == compile(
        source.read_text(), "pyoci/undo.py", "exec", dont_inherit=True
    )


def test_a_packed_package_imports_like_the_files(tmp_path: Path) -> None:
    """From the pack alone, with no source beside it: packages, their modules, and what __file__ says."""
    package = tmp_path / "pyoci"
    package.mkdir()
    (package / pack.NAME).write_bytes(pack.dump(build_pack.collect(str(PACKAGE), [])))
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


@pytest.mark.parametrize("content", [None, b"", b"garbage", marshal.dumps(("other", 1, {}))])
def test_without_a_fitting_pack_nothing_is_changed(tmp_path: Path, content: bytes | None) -> None:
    (tmp_path / "pyoci").mkdir()
    if content is not None:
        (tmp_path / "pyoci" / pack.NAME).write_bytes(content)
    before = list(sys.meta_path)
    pack.install(str(tmp_path))
    assert sys.meta_path == before


def test_a_pack_of_another_version_is_not_used() -> None:
    tag, version, modules = marshal.loads(pack.dump(build_pack.collect(str(PACKAGE), [])))
    assert pack.load(marshal.dumps((tag, version + (1 << 16), modules))) == {}
    assert pack.load(marshal.dumps((tag, version, modules))) != {}


def test_the_installed_runtime_uses_its_pack(pyoci: str) -> None:
    directory = os.path.dirname(os.path.dirname(pyoci))
    packs = {path.resolve() for path in Path(directory).glob(f"lib*/python3*/*-packages/pyoci/{pack.NAME}")}
    assert [bool(pack.load(path.read_bytes())) for path in packs] == [True]
