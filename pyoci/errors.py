"""Every exception of pyoci, in one tree.

Error                    what the user sees: one line, runc's wording where engines match on it
  UsageError             the command line is wrong
  ConfigError            config.json breaks the specification; knows the JSON pointer
  StateError             the container is not in a state that allows the operation
    NotFoundError        there is no such container
    DamagedError         its state.json cannot be used
    ForeignError         another runtime than pyoci and runc has made it
  StepError              a step of the plan failed; knows pointer, step, system call and errno
    CloneError           a process could not be made
    ExecuteError         the program could not be executed
  HookError              a hook failed or ran past its timeout

System calls raise OSError; the call as it was made is the exception's first note (PEP 678).
"""

from __future__ import annotations

from errno import ENXIO


class Error(Exception):
    """`message` is the first line on stderr and `msg` of the log; the rest explains it.

    pointer: RFC 6901 pointer into config.json, or the option ("--bundle"), "" when neither applies.
    step: name of the step; call: the system call as it was made; errno: 0 when no call failed.
    hint: what to do, its cause checked on the spot, or "".
    """

    status = 1  # the exit status of the runtime
    program_status = 0  # of run in the foreground instead, if it was the program's turn already

    def __init__(
        self,
        message: str,
        *,
        pointer: str = "",
        step: str = "",
        call: str = "",
        errno: int = 0,
        hint: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.pointer = pointer
        self.step = step
        self.call = call
        self.errno = errno
        self.hint = hint

    def prefixed(self, prefix: str) -> Error:
        """The same error with `prefix: ` before its message ("pyoci create failed")."""
        self.message = f"{prefix}: {self.message}"
        return self

    def explanation(self) -> list[tuple[str, str]]:
        """Name and text of what is known beyond the message, for stderr's further lines and the log's further keys."""
        rows = (("pointer", self.pointer), ("step", self.step), ("call", self.call), ("hint", self.hint))
        return [(name, text) for name, text in rows if text]


class UsageError(Error):
    """The command line is wrong."""


class ConfigError(Error):
    """config.json breaks the specification; `pointer` names the property."""


class StateError(Error):
    """The container's state does not allow the operation."""


class NotFoundError(StateError):
    """There is no container of that name. Engines match on "does not exist"."""

    def __init__(self, message: str = "container does not exist", hint: str = "") -> None:
        super().__init__(message, hint=hint)


class DamagedError(StateError):
    """state.json is damaged, or a newer pyoci's; `delete --force` removes what it tells all the same."""


class ForeignError(StateError):
    """Neither pyoci nor runc has made the container; nothing of it is touched."""


class StepError(Error):
    """A step of the plan failed."""


class CloneError(StepError):
    """A process could not be made. It is no step: what could be put right is tried once more (exec)."""


class ExecuteError(StepError):
    """execve(2) has refused the program; it may have been the seccomp filter that did."""


class HookError(Error):
    """A hook failed or ran past its timeout."""


def cannot_open(path: str, error: OSError, option: str) -> Error:
    """The error of a file that an option names and that cannot be opened, as Go spells it."""
    reason = (error.strerror or str(error)).lower()
    hint = "nobody reads from this FIFO" if error.errno == ENXIO else ""
    return Error(f"open {path}: {reason}", pointer=option, errno=error.errno or 0, hint=hint)


def system_call(error: OSError) -> str:
    """The system call behind `error` as it was made, or ""; kernel/libc.py leaves it as the first note."""
    notes: list[str] = getattr(error, "__notes__", [])
    return notes[0] if notes else ""


def os_error_text(error: OSError) -> str:
    """`/path: no such file or directory`: what failed on which file, in the spelling of Go, which engines match on."""
    text = error.strerror or str(error)
    if text[1:2].islower():
        text = text[:1].lower() + text[1:]
    if error.filename is None:
        return text
    name = error.filename.decode("utf-8", "backslashreplace") if isinstance(error.filename, bytes) else error.filename
    return f"{name}: {text}"
