"""`python -m pyoci`, and what the launcher executes: with pack.py before it in one file (start.cpython-3xx.pyc, by
tools/generate/pack.py), or alone where the build made no such file for its interpreter.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn


def load() -> "Callable[[list[str]], NoReturn]":
    """What carries out a command line, imported once pack.py has found out how."""
    from pyoci.cli.main import run

    return run


if __name__ == "__main__":
    directory = ""
    if not __package__:  # run as a file: -I keeps the package's directory out of sys.path
        directory = __file__.rpartition("/pyoci/")[0] or "/"
        sys.path.append(directory)
    from pyoci.pack import start

    start(load, directory)
