"""Mounts as the kernel lists them, whatever stands in their names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.kernel import mountinfo, textfile
from pyoci.kernel.libc import c_char_p, c_ulong, c_void_p, function
from tests.isolation import MS_BIND, in_namespace
from tests.kernel.test_textfile import ODD

paths = st.binary(min_size=1).map(lambda path: b"/" + path.replace(b"\0", b"-"))
ESCAPED = b" \t\n\\"  # by mountinfo: fs/proc_namespace.c


@given(st.lists(st.tuples(st.sampled_from(["proc", "fuse.x"]), paths, paths), min_size=1))
def test_mounts_come_back(expected: list[tuple[str, bytes, bytes]]) -> None:
    content = b"".join(
        b"25 30 0:23 %b %b rw,noexec shared:9 - %b /dev/a ro,a=b\n" % (escaped(root), escaped(point), kind.encode())
        for kind, root, point in expected
    )
    found = mountinfo.mounts(content)
    assert [(one.kind, plain(one.root), plain(one.point)) for one in found] == expected
    assert {(one.id, one.parent, *one.options, one.superblock) for one in found} == {
        (25, 30, b"rw", b"noexec", "ro,a=b")
    }


def plain(field: bytes) -> bytes:
    return os.fsencode(mountinfo.unescape(field))


def escaped(path: bytes) -> bytes:
    return b"".join(b"\\%03o" % byte if byte in ESCAPED else bytes((byte,)) for byte in path)


@pytest.mark.root
@pytest.mark.parametrize("odd", [*ODD, " ", "\n", "\t", "\\", "#", "\\040", " - "], ids=ascii)
def test_the_kernel_s_own_mountinfo(tmp_path: Path, odd: str) -> None:
    point = f"{tmp_path}/a{odd}b"
    os.mkdir(point)

    def body() -> list[str]:
        bind = function("mount", c_char_p, c_char_p, c_char_p, c_ulong, c_void_p)
        bind(os.fsencode(point), os.fsencode(point), None, MS_BIND, None)
        return [mountinfo.unescape(one.point) for one in mountinfo.mounts(textfile.read("/proc/self/mountinfo"))]

    seen = in_namespace(body)
    assert seen.count(point) == 1
    assert all(at.startswith("/") for at in seen)
