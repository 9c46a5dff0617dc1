"""Processes that go on in Python: made by clone3(2), or by clone(2) below a filter that refuses the other.

Only a process that does nothing but try a filter is made elsewhere, by fork(2) (kernel/seccomp.py).

The child is a fork of this interpreter, so CPython must be told before and after, with the
GIL held: without PyOS_BeforeFork CPython 3.13 aborts, and with the GIL released a child made while a second thread
is alive hangs. The garbage collector is frozen and off in the child: a collection there would touch every
object, and each page it touches is charged to the container.
"""

from __future__ import annotations

import gc
import struct

from pyoci import os
from pyoci.kernel.constants import CLONE_INTO_CGROUP, CLONE_PARENT, CLONE_PIDFD, SIGCHLD
from pyoci.kernel.libc import addressof, buffer, c_size_t, c_ulong, c_void_p, number, symbol, syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

_clone3 = syscall("clone3", 435, c_void_p, c_size_t)
_clone = syscall("clone", number("clone", x86_64=56, aarch64=220), c_ulong, c_void_p, c_void_p, c_void_p, c_void_p)


_before_fork = symbol("PyOS_BeforeFork", (), None)
_after_fork_child = symbol("PyOS_AfterFork_Child", (), None)
_after_fork_parent = symbol("PyOS_AfterFork_Parent", (), None)


def assert_single_thread() -> None:
    """A second thread would be lost in the child, perhaps while it holds a lock; none of ours is ever started."""
    threads = len(os.listdir("/proc/self/task"))
    assert threads == 1, f"the runtime has {threads} threads"


def clone(body: Callable[[], object], flags: int = 0, cgroup: int = -1, plain: bool = False) -> tuple[int, int]:
    """Make a process that runs `body` and then exits; return its pid and a pidfd (close-on-exec).

    `flags` are CLONE_NEW*, CLONE_FILES and CLONE_PARENT; CLONE_PIDFD is always added. With CLONE_PARENT the exit signal
    has to be given as 0, and the kernel takes that of the caller instead (SIGCHLD). `cgroup` is the descriptor of a v2
    cgroup the process is born in, or -1. `body` reports its own errors; whatever escapes it ends the process with
    status 1. `plain`: by clone(2), which filters can look into and allow where they refuse clone3(2); no cgroup then.
    Raises OSError of clone3(2). The caller has one thread: assert_single_thread().
    """
    pidfd = buffer(4)
    # struct clone_args up to Linux 5.7: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls,
    # set_tid, set_tid_size, cgroup
    arguments = struct.pack(
        "11Q",
        flags | CLONE_PIDFD | (CLONE_INTO_CGROUP if cgroup >= 0 else 0),
        addressof(pidfd),
        *(0, 0, 0 if flags & CLONE_PARENT else SIGCHLD),
        *(0, 0, 0, 0, 0, max(cgroup, 0)),
    )
    enabled = gc.isenabled()
    gc.freeze()
    gc.disable()
    _before_fork()
    try:
        if plain:
            pid = _clone(flags | CLONE_PIDFD, None, addressof(pidfd), None, None)
        else:
            pid = _clone3(arguments, len(arguments))
    except OSError:
        _after_fork_parent()
        if enabled:
            gc.enable()
        raise
    if pid == 0:
        _run_child(body)
    _after_fork_parent()
    if enabled:
        gc.enable()
    return pid, int.from_bytes(pidfd.raw, "little")


def _run_child(body: Callable[[], object]) -> NoReturn:
    status = 1
    try:
        _after_fork_child()
        body()
        status = 0
    finally:
        # Not sys.exit: that would run the runtime's atexit handlers and flush its buffers a second time. An exception
        # that escaped `body` ends here, because os._exit does not return.
        os._exit(status)
