"""--version.

The first line says "pyoci version", which podman shows as it is and Docker splits at " version ". go-runc knows
only "runc version" and then reports no version, which is no error to any of its callers (docs/differences.md).
"""

from __future__ import annotations

import sys

from pyoci import SPEC_VERSION, __version__
from pyoci.cli.output import emit
from pyoci.errors import Error


def main() -> int:
    """Print the versions of pyoci, of the specification, and of what is used, one a line. Returns 0."""
    lines = [f"pyoci version {__version__}", f"spec: {SPEC_VERSION}", f"python: {python()}"]
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
    try:
        from pyoci.kernel import libseccomp as library
    except Error as error:
        if error.pointer != "/linux/seccomp":  # not that there is none
            raise
        return ""
    return library.version()
