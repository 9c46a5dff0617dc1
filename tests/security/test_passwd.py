"""An /etc/passwd that is a trap costs neither time nor memory, and HOME is "/" then."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.security.harness import Arena

pytestmark = pytest.mark.root

ROOT = "root:x:0:0::/root:/bin/sh\n"
MEMORY = 20 << 10  # kB that the waiting process may have used more than usual


def fifo(path: Path) -> None:
    os.mkfifo(path)


def directory(path: Path) -> None:
    path.mkdir()


def sparse(path: Path) -> None:
    path.write_text(ROOT)
    os.truncate(path, 1 << 30)


def long_line(path: Path) -> None:
    path.write_bytes(b"x" * (50 << 20) + b"\n" + ROOT.encode())


def long_line_below_the_limit(path: Path) -> None:
    path.write_bytes(b"x" * (9 << 20) + b"\n" + ROOT.encode())


def fields(path: Path) -> None:
    path.write_bytes(b":" * (9 << 20))


def nuls(path: Path) -> None:
    path.write_bytes(b"\0" * 100_000 + b"\nroot:x:0:0::/ro\0ot:/bin/sh\n")


def link_to(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


LINKS = [
    "/proc/kmsg",
    "/dev/zero",
    "/dev/random",
    "/dev/tty",
    "passwd",
    "/proc/self/mem",
    "/proc/self/fd/0",
    "/nothing",
]
BOMBS = [fifo, directory, sparse, long_line, long_line_below_the_limit, fields, nuls]
CASES = [pytest.param(bomb, id=bomb.__name__) for bomb in BOMBS] + [
    pytest.param(link_to(target), id=f"link to {target}") for target in LINKS
]


def peak(pid: int) -> int:
    """Most memory that the process has had, in kB."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1])


@pytest.mark.parametrize("bomb", CASES)
def test_bomb(arena: Arena, bomb: Callable[[Path], None]) -> None:
    plain = arena.bundle("/reporter", "sleep")
    (plain / "rootfs/etc/passwd").write_text(ROOT)
    usual = peak(arena.create(plain, "plain"))
    assert arena("delete", "--force", "plain").stderr == ""
    bundle = arena.bundle("/reporter", "sleep")
    bomb(bundle / "rootfs/etc/passwd")
    began = time.monotonic()
    pid = arena.create(bundle, "c")
    assert time.monotonic() - began < 3, "1 s on an idle machine"
    assert peak(pid) < usual + MEMORY
    assert arena("start", "c").stderr == ""
    assert b"HOME=/\0" in Path(f"/proc/{pid}/environ").read_bytes()


def test_what_is_no_file_is_not_read(arena: Arena) -> None:
    """A FIFO with a line in it: whoever reads it takes it away from whom it is for."""
    bundle = arena.bundle("/reporter", "sleep")
    fifo(bundle / "rootfs/etc/passwd")
    ours = os.open(bundle / "rootfs/etc/passwd", os.O_RDWR)
    os.write(ours, ROOT.encode())
    pid = arena.create(bundle, "c")
    assert arena("start", "c").stderr == ""
    assert b"HOME=/\0" in Path(f"/proc/{pid}/environ").read_bytes()
    assert os.read(ours, 4096) == ROOT.encode()
    os.close(ours)


@pytest.mark.parametrize(
    ("text", "home"),
    [
        pytest.param(ROOT, "/root", id="plain"),
        pytest.param("a:x:1:1::/a:/bin/sh\n" + ROOT.rstrip(), "/root", id="last line without an end"),
        pytest.param("x" * 60_000 + "\n" + ROOT, "/root", id="a line that is long but allowed"),
        pytest.param("# comment\n\n:::\nroot:x:00:0::/zero:/bin/sh\n" + ROOT, "/root", id="odd lines"),
        pytest.param("root:x:0:0\n", "/", id="too few fields"),
        pytest.param("other:x:1000:0::/other:/bin/sh\n", "/", id="somebody else"),
        pytest.param("root:x:0:0:::/bin/sh\n", "", id="an empty home"),
        pytest.param("".join(f"u{n}:x:{n + 1}:1::/h:/s\n" for n in range(100_000)) + ROOT, "/root", id="many"),
    ],
)
def test_control(arena: Arena, text: str, home: str) -> None:
    bundle = arena.bundle("/reporter", "sleep")
    (bundle / "rootfs/etc/passwd").write_text(text)
    pid = arena.create(bundle)
    assert arena("start", "c").stderr == ""
    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    assert f"HOME={home}".encode() in environment
