"""prctl(2), by python-prctl's compiled half.

In a module of its own, because that half is made for one version of Python: after an upgrade of Python it cannot be
imported, and the commands that stop containers (state, list, ps, kill, delete) must work all the same. They import
nothing from here.

The decision: docs/decisions/prctl-and-upgrades.md.
"""

from __future__ import annotations

import _prctl


def set_dumpable(dumpable: bool) -> None:
    """PR_SET_DUMPABLE: 0 keeps everyone without CAP_SYS_PTRACE over us out of our memory and /proc/PID files."""
    _prctl.prctl(_prctl.PR_SET_DUMPABLE, int(dumpable))


def set_parent_death_signal(signal: int) -> None:
    """PR_SET_PDEATHSIG: sent to us when our parent ends; 0 clears it. A change of credentials clears it as well."""
    _prctl.prctl(_prctl.PR_SET_PDEATHSIG, signal)


def set_no_new_privileges() -> None:
    """PR_SET_NO_NEW_PRIVS: no execve(2) from here on gives privileges; this cannot be taken back."""
    _prctl.prctl(_prctl.PR_SET_NO_NEW_PRIVS, 1)


def set_keep_capabilities(keep: bool) -> None:
    """PR_SET_KEEPCAPS: keep the permitted set when all user ids become non-zero."""
    _prctl.prctl(_prctl.PR_SET_KEEPCAPS, int(keep))


def set_child_subreaper() -> None:
    """PR_SET_CHILD_SUBREAPER: orphaned descendants become our children."""
    _prctl.prctl(_prctl.PR_SET_CHILD_SUBREAPER, 1)


def set_name(name: str) -> None:
    """PR_SET_NAME: /proc/PID/comm, at most 15 bytes; execve(2) replaces it."""
    _prctl.prctl(_prctl.PR_SET_NAME, name)
