"""Lines and names of the kernel's files, whatever stands in the names."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.kernel import textfile

# What Python takes for the end of a line or for a blank and the kernel does not, and what is no UTF-8.
ODD = ["\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\u3000", "\udcff\udc80"]
lines = st.lists(st.binary().map(lambda line: line.replace(b"\n", b"\r")))
MAPPINGS = 4000  # of two kinds by turns, so that each is a line of its own


@given(lines)
def test_lines_come_back(expected: list[bytes]) -> None:
    assert textfile.lines(b"".join(line + b"\n" for line in expected)) == expected


def test_a_file_of_many_pages_comes_whole() -> None:
    """The kernel gives a page at a time, here of the memory map of a process that does nothing any more."""
    script = f"kept = [mmap.mmap(-1, 4096, prot=1 + one % 2) for one in range({MAPPINGS})]; print(flush=True); input()"
    command = [sys.executable, "-c", f"import mmap; {script}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline()
        path = f"/proc/{process.pid}/maps"
        with open(path, "rb") as file:
            expected = file.read()
        assert len(expected) > 1 << 16
        assert textfile.read(path) == expected
        directory = os.open(f"/proc/{process.pid}", os.O_PATH)
        assert textfile.read("maps", directory) == expected
        os.close(directory)
        process.kill()


def test_a_file_that_cannot_be_read() -> None:
    with pytest.raises(FileNotFoundError, match="/proc/self/nothing"):
        textfile.read("/proc/self/nothing")
    assert textfile.read_if_there("/proc/self/nothing") == b""
    with pytest.raises(OSError, match="/proc/self/mem"):  # it opens; what fails is read(2)
        textfile.read("/proc/self/mem")
    assert textfile.read_if_there("/proc/self/mem") == b""
