"""How a process has ended, in the words of Go's os.ProcessState, which runc's errors quote."""

from __future__ import annotations

from pyoci import os

# Go's package syscall, zerrors_linux_amd64.go; arm64 has the same.
_SIGNALS = (
    "", "hangup", "interrupt", "quit", "illegal instruction", "trace/breakpoint trap", "aborted", "bus error",
    "floating point exception", "killed", "user defined signal 1", "segmentation fault", "user defined signal 2",
    "broken pipe", "alarm clock", "terminated", "stack fault", "child exited", "continued", "stopped (signal)",
    "stopped", "stopped (tty input)", "stopped (tty output)", "urgent I/O condition", "CPU time limit exceeded",
    "file size limit exceeded", "virtual timer expired", "profiling timer expired", "window changed", "I/O possible",
    "power failure", "bad system call",
)  # fmt: skip


def ending(status: int) -> str:
    """A wait status of a process that is gone: "exit status 3", "signal: killed", "signal: quit (core dumped)"."""
    if not os.WIFSIGNALED(status):
        return f"exit status {os.WEXITSTATUS(status)}"
    number = os.WTERMSIG(status)
    name = _SIGNALS[number] if number < len(_SIGNALS) else f"signal {number}"
    return f"signal: {name}{' (core dumped)' if os.WCOREDUMP(status) else ''}"
