"""--version.

The first line says "pyoci version", which podman shows as it is and Docker splits at " version ". go-runc knows
only "runc version" and then reports no version, which is no error to any of its callers (docs/differences.md).
"""

from __future__ import annotations

import sys

from pyoci import __version__
from pyoci.cli.output import emit

SPEC = "1.3.0"


def main() -> int:
    lines = [f"pyoci version {__version__}", f"spec: {SPEC}", f"python: {python()}"]
    seccomp = libseccomp()
    if seccomp:
        lines.append(f"libseccomp: {seccomp}")
    emit("\n".join(lines) + "\n")
    return 0


def python() -> str:
    """The interpreter's version: 3.11.2, 3.15.0rc1."""
    return sys.version.partition(" ")[0]


def libseccomp() -> str:
    """The version of the libseccomp that profiles are compiled with, or "" if there is none."""
    import ctypes

    class Version(ctypes.Structure):
        """struct scmp_version of seccomp.h"""

        _fields_ = (("major", ctypes.c_uint), ("minor", ctypes.c_uint), ("micro", ctypes.c_uint))

    try:
        ask = ctypes.PyDLL("libseccomp.so.2").seccomp_version
    except OSError:
        return ""
    ask.restype = ctypes.POINTER(Version)
    version = ask().contents
    return f"{version.major}.{version.minor}.{version.micro}"
