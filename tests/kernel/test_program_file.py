"""Why a program is refused: what a file's first bytes say, and that the kernel refuses it for that reason."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import time
from collections.abc import Callable
from errno import EACCES, ELIBBAD, ELOOP, ENOENT, ENOEXEC
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.kernel.libc import MACHINE
from pyoci.kernel.program_file import Head, faults, head, why
from tests import reporter
from tests.isolation import in_namespace

NUMBERS = {"x86_64": 62, "aarch64": 183}
OTHER = "aarch64" if MACHINE == "x86_64" else "x86_64"
_64, _32 = (b"\2", "Q", 56), (b"\1", "I", 32)


def elf(
    machine: int = NUMBERS[MACHINE],
    loader: bytes = b"",
    at: int | None = None,
    order: str = "<",
    wide: bool = True,
    step: int = 0,
    count: int = 2,
    before: int = 0,
) -> bytes:
    """An ELF file with `count` program headers behind `before` bytes, the last of them PT_INTERP if there is a loader.

    at: the offset that it claims for the loader's name.
    """
    kind, word, size = _64 if wide else _32
    length = 64 if wide else 52
    start = length + before
    step = step or size
    name = loader + b"\0" if loader else b""
    ident = b"\x7fELF" + kind + (b"\1" if order == "<" else b"\2") + b"\1" + bytes(9)
    header = ident + struct.pack(
        f"{order}HHI3{word}IHHHHHH", 3, machine, 1, 0, start, 0, 0, length, step, count, 0, 0, 0
    )
    place = start + count * size if at is None else at
    load = struct.pack(f"{order}I", 1) + bytes(size - 4)
    if wide:
        interp = struct.pack(f"{order}IIQQQQQQ", 3, 4, place, 0, 0, len(name), len(name), 1)
    else:
        interp = struct.pack(f"{order}IIIIIIII", 3, place, 0, 0, len(name), len(name), 4, 1)
    entries = load * (count - 1) + (interp if loader else load)
    return header + bytes(before) + entries + name


@given(st.binary(max_size=400))
def test_no_bytes_are_too_odd(data: bytes) -> None:
    for start in (b"", b"#!", b"\x7fELF", elf()[:20], elf()):
        found = head(start + data)
        assert found.fault or found.script or found.machine


@given(st.data())
def test_a_damaged_file_is_read_to_its_end_and_no_further(data: st.DataObject) -> None:
    """Any bytes of a good file replaced, and the rest cut off."""
    good = bytearray(elf(loader=b"/lib/ld.so", wide=data.draw(st.booleans()), order=data.draw(st.sampled_from("<>"))))
    for _ in range(data.draw(st.integers(1, 8))):
        good[data.draw(st.integers(4, len(good) - 1))] = data.draw(st.integers(0, 255))
    found = head(bytes(good[: data.draw(st.integers(0, len(good)))]))
    assert len(found.interpreter) <= len(good)


@given(
    st.binary(min_size=1, max_size=80).filter(lambda name: b"\0" not in name),
    st.booleans(),
    st.sampled_from("<>"),
    st.integers(1, 40),
    st.integers(0, 300),
)
def test_the_loader_of_a_good_file(loader: bytes, wide: bool, order: str, count: int, before: int) -> None:
    data = elf(loader=loader, wide=wide, order=order, count=count, before=before)
    assert head(data) == Head(machine=MACHINE, interpreter=loader)
    for end in range(0, len(data) - len(loader) - 1, 13):
        assert head(data[:end]).fault, end


@given(st.integers(0, 2**64 - 1))
def test_a_loader_out_of_bounds(at: int) -> None:
    found = head(elf(loader=b"/lib/ld.so", at=at))
    assert (found.fault, found.machine) == ("", MACHINE)


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_program_headers_that_the_kernel_does_not_take(step: int, count: int) -> None:
    data = bytearray(elf())
    data[54:58] = struct.pack("<HH", step, count)
    fits = step == 56 and 0 < count <= 65536 // 56
    begin = time.monotonic()
    assert bool(head(bytes(data)).fault) is not (fits and count <= 2)
    assert time.monotonic() - begin < 1


@given(
    st.sampled_from([b"", b" ", b"\t "]), st.from_regex(rb"\A/[a-z/]{1,40}\Z"), st.sampled_from([b"", b" -x y", b"\tz"])
)
def test_a_script(blank: bytes, name: bytes, arguments: bytes) -> None:
    expected = Head(script=True, interpreter=name)
    assert head(b"#!" + blank + name + arguments + b"\nrest") == expected
    assert head(b"#!" + blank + name + arguments) == expected  # no line end


@pytest.mark.parametrize("data", [b"#!", b"#!\n/bin/sh", b"#! \t\n", b"#!" + b" " * 300 + b"/bin/sh\n"])
def test_a_script_without_an_interpreter(data: bytes) -> None:
    assert head(data).fault == "has a #! line that names no interpreter"


Make = Callable[[Path], object]


def file(content: bytes, mode: int = 0o755) -> Make:
    def make(path: Path) -> None:
        path.write_bytes(content)
        path.chmod(mode)

    return make


def loader(content: bytes | None, mode: int = 0o755) -> Make:
    """A program whose loader is beside it; None: it is not there."""

    def make(path: Path) -> None:
        file(elf(loader=os.fsencode(path.parent / "loader")))(path)
        if content is not None:
            file(content, mode)(path.parent / "loader")

    return make


def sparse(path: Path) -> None:
    file(b"")(path)
    os.truncate(path, 1 << 30)


def script(interpreter: str) -> Make:
    return lambda path: file(f"#!{interpreter}\n".replace("HERE", str(path.parent)).encode())(path)


def itself(path: Path) -> None:
    file(b"#!" + os.fsencode(path) + b"\n")(path)


REPORTER = reporter.build().read_bytes()
FOREIGN = REPORTER[:18] + NUMBERS[OTHER].to_bytes(2, "little") + REPORTER[20:]
P, FOR = "HERE/program", f"is for {OTHER}, this machine is {MACHINE}"
NEEDS = f"{P} needs the loader HERE/loader (PT_INTERP): "
NOBODY = "has mode 0644: it is executable for nobody"
NONE, DOS, PASSWD = (f"{P} is a script for {name} (its #! line): " for name in ("/none/sh", "/bin/sh\r", "/etc/passwd"))
REFUSED: dict[str, tuple[Make, int, str]] = {
    "missing": (lambda path: None, ENOENT, f"{P} does not exist"),
    "missing interpreter": (script("/none/sh"), ENOENT, f"{NONE}/none/sh does not exist"),
    "line ends of DOS": (
        script("/bin/sh\r"),
        ENOENT,
        f"{DOS}the line ends in a carriage return, as on DOS; /bin/sh\r does not exist",
    ),
    "interpreter of another mode": (script("/etc/passwd"), EACCES, f"{PASSWD}/etc/passwd {NOBODY}"),
    "itself": (itself, ELOOP, f"{f'{P} is a script for {P} (its #! line): ' * 6}and so on"),
    "missing loader": (loader(None), ENOENT, f"{NEEDS}HERE/loader does not exist"),
    "foreign loader": (loader(FOREIGN), ELIBBAD, f"{NEEDS}it {FOR}"),
    "loader that is a script": (loader(b"#!/bin/sh\n" + bytes(100)), ELIBBAD, f"{NEEDS}it is a script"),
    "loader without permission": (loader(REPORTER, 0o644), EACCES, f"{NEEDS}HERE/loader {NOBODY}"),
    "empty": (file(b""), ENOEXEC, f"{P} is empty"),
    "text": (file(b"echo\n"), ENOEXEC, f"{P} has neither an ELF header nor a #! line"),
    "zeros": (sparse, ENOEXEC, f"{P} has neither an ELF header nor a #! line"),
    "no interpreter named": (file(b"#!\n"), ENOEXEC, f"{P} has a #! line that names no interpreter"),
    "cut off in its header": (file(REPORTER[:40]), ENOEXEC, f"{P} has an ELF header that ends after 40 bytes"),
    "cut off": (file(REPORTER[:100]), ENOEXEC, f"{P} is an ELF file that is cut off"),
    "foreign": (file(FOREIGN), ENOEXEC, f"{P} {FOR}"),
    "odd headers": (file(elf(step=57)), ENOEXEC, f"{P} is an ELF file with 2 program headers of 57 bytes"),
    "mode": (file(REPORTER, 0o644), EACCES, f"{P} {NOBODY}"),
    "directory": (Path.mkdir, EACCES, f"{P} is a directory"),
    "FIFO": (os.mkfifo, EACCES, f"{P} is a FIFO"),
    "device": (lambda path: path.symlink_to("/dev/zero"), EACCES, f"{P} is a device"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_kernel_agrees(tmp_path: Path, name: str) -> None:
    """What is said is what execve(2) answers, and it is said at once, whatever the file is."""
    make, errno, text = REFUSED[name]
    path = tmp_path / "program"
    make(path)
    with pytest.raises(OSError, match=os.strerror(errno)) as caught:
        subprocess.run([path], check=False)
    assert caught.value.errno == errno
    begin = time.monotonic()
    assert why(faults(os.fsencode(path)), errno) == text.replace("HERE", str(tmp_path))
    assert time.monotonic() - begin < 1


def test_nothing_is_said_of_what_works(tmp_path: Path) -> None:
    for number, good in enumerate(("/bin/sh", "/usr/bin/env")):
        copy = tmp_path / f"{number}"
        shutil.copy(good, copy)
        assert faults(os.fsencode(copy)) == ()
    script("/usr/bin/env sh")(tmp_path / "script")
    assert faults(os.fsencode(tmp_path / "script")) == ()
    assert why((), ENOENT) == ""


def test_another_reason_is_not_put_forward(tmp_path: Path) -> None:
    file(b"echo\n")(tmp_path / "program")
    assert why(faults(os.fsencode(tmp_path / "program")), ENOENT) == ""


def test_a_program_of_a_second_machine_without_its_loader(tmp_path: Path) -> None:
    """Which of the two is the reason the kernel says: ENOENT where it takes such programs."""
    path = tmp_path / "program"
    file(elf(machine=3, loader=b"/none/ld.so", wide=False))(path)
    found = faults(os.fsencode(path))
    assert why(found, ENOEXEC) == f"{path} is for i386, this machine is {MACHINE}"
    assert why(found, ENOENT) == f"{path} needs the loader /none/ld.so (PT_INTERP): /none/ld.so does not exist"
    with pytest.raises(OSError, match=r"Exec format error|No such file") as caught:
        subprocess.run([path], check=False)
    assert caught.value.errno in (ENOEXEC, ENOENT)


def test_an_endless_or_foreign_path() -> None:
    for path in (b"/" + b"x/" * 5000, b"x" * 300, b"nul\0", b"/dev/null/x"):
        assert why(faults(path), ENOEXEC) == ""  # and nothing is raised


def refused_to(uid: int, options: str, *names: str) -> list[str]:
    """What is said to a user of files on a file system of their own, mounted with `options`."""

    def body() -> list[str]:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", "/mnt"], check=True)
        Path("/mnt/closed").mkdir(mode=0o700)
        file(REPORTER, 0o700)(Path("/mnt/own"))
        for place in ("/mnt/program", "/mnt/closed/program"):
            file(REPORTER)(Path(place))
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        return [why(faults(name.encode()), EACCES) for name in names]

    return in_namespace(body)


@pytest.mark.root
def test_a_user_who_may_not() -> None:
    assert refused_to(1000, "mode=755", "/mnt/program", "/mnt/own", "/mnt/closed/program") == [
        "",
        "/mnt/own has mode 0700 and belongs to 0:0: uid 1000 may not execute it",
        "/mnt/closed has mode 0700 and belongs to 0:0: uid 1000 may not go through it",
    ]


@pytest.mark.root
def test_a_root_directory_that_is_closed() -> None:
    def body() -> str:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=000", "none", "/mnt"], check=True)
        file(REPORTER)(Path("/mnt/program"))
        os.chroot("/mnt")
        os.setresuid(1000, 1000, 1000)
        return why(faults(b"/program"), EACCES)

    assert in_namespace(body) == "/ has mode 0000 and belongs to 0:0: uid 1000 may not go through it"


@pytest.mark.root
def test_a_file_system_without_programs() -> None:
    assert refused_to(0, "noexec", "/mnt/program") == ["/mnt/program is on a file system that is mounted noexec"]
