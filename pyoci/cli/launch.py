"""How this process was started: what the launcher hands over, and how to get a launcher if there was none.

The launcher (native/launcher/launcher.c, its head comment has the list) cleans the environment and executes the
interpreter from a read-only copy, so that a container cannot write to it through /proc/self/exe (CVE-2019-5736).
"""

from __future__ import annotations

import sys

from pyoci import environment, os
from pyoci.errors import Error
from pyoci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


class Invocation(Record):
    """argv0: pyoci as the caller spelled it. umask: the caller's. launched: by the launcher. sealed: how, or ""."""

    argv0: str
    umask: int
    launched: bool
    sealed: str


def take() -> Invocation:
    """Read and remove the launcher's variables, before a hook can inherit them; the umask is the caller's again."""
    argv0 = environment.take_variable("PYOCI_ARGV0")
    umask = environment.take_variable("PYOCI_UMASK")
    sealed = environment.take_variable("PYOCI_SEALED") or ""
    if argv0 is None:
        mask = os.umask(0)
        os.umask(mask)
        return Invocation(argv0=sys.argv[0], umask=mask, launched=False, sealed="")
    environment.take_variable("LC_ALL")
    environment.take_variable("LD_LIBRARY_PATH")
    mask = int(umask or "022", 8)
    os.umask(mask)
    return Invocation(argv0=argv0, umask=mask, launched=True, sealed=sealed)


def require_sealed(invocation: Invocation, argv: list[str]) -> None:
    """Return if this process runs from a sealed interpreter; else start over through the launcher, or raise Error."""
    if invocation.sealed:
        return
    if invocation.launched:
        raise Error(
            "this command must run from a sealed interpreter, but the launcher took it for another one",
            hint="write the global flags in front of the command",
        )
    _start_over(invocation, argv)


def _start_over(invocation: Invocation, argv: list[str]) -> NoReturn:
    """`python -m pyoci create ...`: execute the launcher installed beside this interpreter with the same arguments."""
    tried = []
    for directory in dict.fromkeys((sys.executable.rpartition("/")[0], f"{sys.prefix}/bin")):
        path = f"{directory}/pyoci"
        tried.append(path)
        if os.access(path, os.X_OK):
            os.execv(path, [path, *argv])
    raise Error(
        "this command must run from a sealed interpreter, and the launcher that makes one was not found",
        hint=f"install pyoci beside this interpreter; looked for {' and '.join(tried)}",
    )
