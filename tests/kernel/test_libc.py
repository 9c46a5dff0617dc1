"""How a system call is bound, and what its failure says."""

from __future__ import annotations

import ast
import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pyoci.errors import os_error_text, system_call
from pyoci.kernel import libc

KERNEL = Path(libc.__file__).parent


def test_a_failure_is_the_right_error_with_the_call_as_made() -> None:
    call = libc.syscall("openat2", 437, libc.c_int, libc.c_char_p, libc.c_void_p, libc.c_size_t)
    with pytest.raises(FileNotFoundError) as caught:
        call(-100, b"/none", b"\0" * 24, 24, path=b"/none")
    assert system_call(caught.value) == 'openat2(-100, "/none", {...}, 24)'
    assert os_error_text(caught.value).casefold() == "/none: no such file or directory"


def test_a_function_of_the_library() -> None:
    umount = libc.function("umount2", libc.c_char_p, libc.c_int)
    with pytest.raises(OSError, match=r"No such file|not permitted") as caught:
        umount(b"\xff", 0)
    assert caught.value.errno in (errno.ENOENT, errno.EPERM)
    assert system_call(caught.value) == 'umount2("\\xff", 0)'


def test_large_numbers_and_null_in_the_note() -> None:
    call = libc.syscall("close_range", 436, libc.c_uint, libc.c_uint, libc.c_uint)
    with pytest.raises(OSError, match="Invalid argument") as caught:
        call(5, 3, 0xFFFFFFFF)
    assert system_call(caught.value) == "close_range(5, 3, 0xffffffff)"


def test_an_address_is_never_told() -> None:
    """It says nothing to whoever reads the error, and how the runtime's memory lies is nobody's business."""
    memory = libc.buffer(8)
    call = libc.syscall("capget", libc.number("capget", x86_64=125, aarch64=90), libc.c_void_p, libc.c_void_p)
    with pytest.raises(OSError, match="Bad address") as caught:
        call(8, libc.addressof(memory))
    assert system_call(caught.value) == "capget({...}, {...})"


def test_what_is_an_address_is_bound_as_one() -> None:
    """In every call of kernel/: the argument of an address is a c_void_p, by which failure() knows it."""
    found = 0
    for module in sorted(KERNEL.glob("*.py")):
        tree = ast.parse(module.read_text())
        types: dict[str, list[str]] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                binder = getattr(node.value.func, "id", "")
                if binder in ("syscall", "function"):
                    kinds = node.value.args[2 if binder == "syscall" else 1 :]
                    types[ast.unparse(node.targets[0])] = [ast.unparse(kind) for kind in kinds]
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in types:
                for kind, argument in zip(types[ast.unparse(node.func)], node.args, strict=True):
                    if "addr" in ast.unparse(argument):
                        found += 1
                        assert kind == "c_void_p", f"{module.name}: {ast.unparse(node)}"
    assert found > 5


def test_memory_for_the_kernel() -> None:
    memory = libc.buffer(8, b"abc")
    assert memory.raw == b"abc\0\0\0\0\0"
    assert libc.buffer(0).raw == b""


def test_arrays_of_strings_end_with_null() -> None:
    array = libc.pointers([b"a", b""], spare=2)
    assert [array[index] for index in range(len(array))] == [b"a", b"", None, None, None]


def test_a_number_that_is_not_known_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libc, "MACHINE", "pdp11")
    with pytest.raises(OSError, match="pdp11") as caught:
        libc.number("pivot_root", x86_64=155, aarch64=41)
    assert caught.value.errno == errno.ENOSYS


CALL = re.compile(r'number\("(\w+)", x86_64=(\d+), aarch64=(\d+)\)')


def test_the_numbers_are_this_machines() -> None:
    """Wherever one is bound; asked of the system's own headers."""
    given = {}
    for path in KERNEL.glob("*.py"):
        for name, x86_64, aarch64 in CALL.findall(path.read_text()):
            given[name] = int({"x86_64": x86_64, "aarch64": aarch64}[libc.MACHINE])
    assert len(given) > 8
    source = "#include <sys/syscall.h>\n" + "\n".join(f"{name} SYS_{name}" for name in given)
    done = subprocess.run(["gcc", "-E", "-P", "-"], input=source, capture_output=True, text=True, check=True)
    # the second word of each line, once the preprocessor has resolved it
    found = {line.split()[0]: int(line.split()[1]) for line in done.stdout.splitlines() if line.split()[:1][0] in given}
    assert found == given


def test_ctypes_is_not_imported() -> None:
    code = "import sys, pyoci.kernel.mount; print('ctypes' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": "."}
    )
    assert done.stdout == "False\n"
