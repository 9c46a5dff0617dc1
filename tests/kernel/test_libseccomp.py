"""The binding of libseccomp: the loaded library answers, and a missing one is an error that says what to install."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pyoci.errors import system_call
from pyoci.kernel import libseccomp


def test_version_is_the_loaded_librarys() -> None:
    assert re.fullmatch(r"2\.\d+\.\d+", libseccomp.version())
    assert Path(libseccomp.path()).resolve().name.endswith(libseccomp.version())


def test_path_is_mapped() -> None:
    assert os.path.realpath(libseccomp.path()) in Path("/proc/self/maps").read_text()


def test_numbers() -> None:
    x86, x86_64 = libseccomp.architecture("x86"), libseccomp.architecture("x86_64")
    assert (x86, x86_64) == (0x40000003, 0xC000003E)
    assert [libseccomp.number("openat", arch) for arch in (x86, x86_64)] == [295, 257]
    assert libseccomp.number("no_such_call") is libseccomp.number("no_such_call", x86) is None
    assert (libseccomp.number("arch_prctl", libseccomp.architecture("aarch64")) or 0) < 0
    assert libseccomp.architecture("no_such_machine") == 0


def test_errors_carry_the_call() -> None:
    with libseccomp.Filter(0x7FFF0000) as made:
        with pytest.raises(OSError, match="Permission denied") as caught:
            made.add_rule(0x7FFF0000, 0, [])
        assert system_call(caught.value) == "seccomp_rule_add_array(0x7fff0000, 0, 0 conditions)"
        with pytest.raises(OSError, match="argument out of domain") as caught:
            made.add_architecture(libseccomp.architecture("s390x"))
        assert caught.value.errno == errno.EDOM
        made.add_architecture(libseccomp.native_architecture())
    with pytest.raises(OSError, match="Invalid argument") as caught:
        libseccomp.Filter(0x12345)
    assert system_call(caught.value) == "seccomp_init(0x12345)"


@pytest.mark.root
def test_missing() -> None:
    """An empty file in its place, in a mount namespace of its own, is as good as none."""
    code = """
from pyoci.errors import Error
try:
    import pyoci.kernel.libseccomp
except Error as error:
    print(error.message, error.pointer, error.hint, sep="|")
"""
    file = os.path.realpath(libseccomp.path())
    script = f'mount --bind /dev/null {file} && exec "$0" -c "$1"'
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, sys.executable, code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    message, pointer, hint = done.stdout.strip().split("|")
    assert "libseccomp.so.2" in message and pointer == "/linux/seccomp" and "libseccomp2" in hint
