"""--bundle."""

from __future__ import annotations

from pyoci import os, pathname
from pyoci.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.cli.options import Options


def bundle(options: Options) -> str:
    """The absolute path of the bundle; without the option the current directory. Raises Error, in runc's words."""
    given = options.text("bundle")
    path = pathname.absolute(given)
    if given and not os.path.isdir(path):
        reason = "not a directory" if os.path.lexists(path) else "no such file or directory"
        raise Error(f"chdir {given}: {reason}", pointer="--bundle")
    return path
