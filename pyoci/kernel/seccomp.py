"""seccomp(2): loading a classic BPF program as the filter of system calls, and asking what the kernel takes."""

from __future__ import annotations

import errno
import struct

from pyoci import os
from pyoci.kernel.constants import (
    PR_SET_DUMPABLE,
    PR_SET_NO_NEW_PRIVS,
    SECCOMP_FILTER_FLAG_NEW_LISTENER,
    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
    SECCOMP_SET_MODE_FILTER,
)
from pyoci.kernel.libc import addressof, buffer, c_int, c_uint, c_ulong, c_void_p, function, number, syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal  # the signal module imports enum

__all__ = [
    "INSTRUCTION_SIZE",
    "MAX_INSTRUCTIONS",
    "Prepared",
    "check",
    "flags_supported",
    "prepare",
]

INSTRUCTION_SIZE = 8  # struct sock_filter
MAX_INSTRUCTIONS = 4096  # BPF_MAXINSNS

_NOT_AN_ERRNO = 255
_TIME_TO_END = 0.2  # seconds of processor time; glibc's _exit calls exit_group(2) until it succeeds

_seccomp = syscall("seccomp", number("seccomp", x86_64=317, aarch64=277), c_uint, c_uint, c_void_p)
_prctl = function("prctl", c_int, c_ulong, c_ulong, c_ulong, c_ulong)


class Prepared:
    """A program in the form the kernel reads, made before the fork; `load` only makes the call."""

    ABOUT_LISTENER = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV

    def __init__(self, bpf: bytes) -> None:
        count, rest = divmod(len(bpf), INSTRUCTION_SIZE)
        if rest or not 0 < count <= MAX_INSTRUCTIONS:  # 16 bits hold the length: more would be cut, not refused
            error = OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            error.add_note(f"seccomp(SECCOMP_SET_MODE_FILTER, {count} instructions)")
            raise error
        self._instructions = buffer(len(bpf), bpf)
        # struct sock_fprog of linux/filter.h: how many instructions, and where
        program = struct.pack("HP", count, addressof(self._instructions))
        self._program = buffer(len(program), program)
        self._address = addressof(self._program)

    def load(self, flags: int) -> int:
        """Filter this thread from now on; needs no_new_privs or CAP_SYS_ADMIN. `flags`: SECCOMP_FILTER_FLAG_*.

        Returns 0, or the listener's descriptor with SECCOMP_FILTER_FLAG_NEW_LISTENER. Once the filter is on, nothing
        here allocates or makes another call: what follows may be forbidden. OSError: EACCES, EINVAL, ENOMEM.
        """
        return _seccomp(SECCOMP_SET_MODE_FILTER, flags, self._address)


def prepare(bpf: bytes) -> Prepared:
    """`bpf` (struct sock_filter[], at most 4096 of them) ready to be loaded; OSError EINVAL for any other size."""
    return Prepared(bpf)


def flags_supported(flags: int) -> bool:
    """Whether the kernel knows all of `flags`: it looks at them before it looks at the program, here NULL.

    WAIT_KILLABLE_RECV (since 5.19) is only taken together with NEW_LISTENER, and so asked for together.
    """
    if flags & SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV:
        flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER
    try:
        _seccomp(SECCOMP_SET_MODE_FILTER, flags, None)
    except OSError as error:
        return error.errno == errno.EFAULT
    return False


def check(bpf: bytes, flags: int) -> None:
    """Prove that the kernel takes the program, in a child that loads it and ends; OSError if not.

    The filter may forbid even exit_group(2): it kills the child, or lets it try for ever until its timer ends it.
    Both prove the same, since a child without the filter would have exited.
    """
    flags &= ~Prepared.ABOUT_LISTENER  # with a listener of its own it could wait for itself
    prepared = prepare(bpf)
    pid = os.fork()
    if pid == 0:
        _load_and_end(prepared, flags)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status > 0:
        error = OSError(status, os.strerror(status)) if status != _NOT_AN_ERRNO else OSError("the test process failed")
        error.add_note(f"seccomp(SECCOMP_SET_MODE_FILTER, {flags}, {len(bpf) // INSTRUCTION_SIZE} instructions)")
        raise error


def _load_and_end(prepared: Prepared, flags: int) -> None:
    status = _NOT_AN_ERRNO
    try:
        _signal.signal(_signal.SIGPROF, _signal.SIG_DFL)
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, (_signal.SIGPROF,))
        _signal.setitimer(_signal.ITIMER_PROF, _TIME_TO_END)
        _prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)  # no core file, if the filter kills
        _prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        prepared.load(flags)
        status = 0
    except OSError as error:
        status = error.errno or _NOT_AN_ERRNO
    finally:
        os._exit(status)
