"""The log: one line per event, on stderr or in the file of --log, as text (logfmt, like logrus) or as JSON.

On a terminal the text is short and its level coloured, as runc's: somebody reads it.
An error is one line or one JSON object (podman reads the whole file as a single object, containerd takes the last
one whose level is "error" and gives up at anything that is not JSON). With a file the message also goes to stderr
undecorated, because conmon relays stderr and go-runc searches it. What explains the message (pointer, step, call,
hint) follows on stderr in lines of its own and is in the object as further keys.
Nothing here imports json, re or logging: state and list load this module too.
"""

from __future__ import annotations

import time
from _json import encode_basestring_ascii

from pyoci import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyoci.errors import Error

_ESCAPES = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}
_COLOURS = {"debug": 37, "warning": 33, "error": 31}  # logrus's: grey, yellow, red (console_codes(4))
_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._/@^+")


class Log:
    """Where lines go. There is one, `log`, and until `configure` it is stderr and text."""

    def __init__(self) -> None:
        self._fd = 2
        self._json = False
        self._held: list[str] = []
        self._begun = time.monotonic()
        self.debugging = False
        self.side = "host"  # which process this is, in the words of `pyoci plan`
        # In a process that has not the log's descriptor: who is told instead. Side, name, pointer, text.
        self.relay: Callable[[str, str, str, str], object] | None = None

    def configure(self, path: str, json: bool, debug: bool, floor: int = 3) -> None:
        """Send what follows to the file `path` ("" for stderr). Raises OSError if it cannot be opened: ENXIO for a FIFO
        that nobody reads.

        floor: the lowest number that the descriptor may have; below it are descriptors that the caller hands
        to the container, and one that is missing there must not seem to be open because the log took its place.
        """
        self._json, self.debugging = json, debug
        if not path:
            return
        fd = open_for_appending(path)
        if fd < floor:
            fd = _moved(fd, floor)
        self._fd = fd

    def debug(self, message: str) -> None:
        """A line for whoever asked for --debug."""
        self._tell("", "", "", message)

    def step(self, name: str, pointer: str, text: str, side: str = "") -> None:
        """With --debug, one line for a step of the plan that is about to be carried out.

        name: of the step's class; pointer: of the property that it serves; text: what it does. side: the process whose
        step it is, "" for this one.
        """
        self._tell(side or self.side, name, pointer, text)

    def _tell(self, side: str, name: str, pointer: str, text: str) -> None:
        if not self.debugging:
            return
        if self.relay is not None:
            self.relay(side, name, pointer, text)
            return
        keys = [(key, value) for key, value in (("step", name), ("pointer", pointer)) if value]
        self._write("debug", f"{side}: {text}" if side else text, keys)

    def silence(self) -> None:
        """No line of --debug from here on: for a process that has nobody left to tell, or may make no call for it."""
        self.debugging = False

    def traceback(self, text: str) -> None:
        """With --debug, where an internal error comes from: in the log, or as it is on stderr if that is the log."""
        if self.debugging and (self._json or self._fd != 2):
            self.debug(text.rstrip("\n"))
        elif self.debugging:
            _write(2, printable(text))

    def warning(self, message: str) -> None:
        """Something is odd but the command goes on. In a JSON file it is held back until the command has ended,
        so that an error can take it along in its one object.
        """
        if self._json and self._fd != 2:
            self._held.append(message)
        else:
            self._write("warning", message, [])

    def release(self) -> None:
        """Write the warnings that were held back; for the end of a command that went well."""
        while self._held:
            self._write("warning", self._held.pop(0), [])

    def error(self, error: Error) -> None:
        """The one error that ends a command. Never raises: there is nobody left to tell."""
        explanation = error.explanation()
        keys = [*explanation, ("warning", "; ".join(self._held))] if self._held else explanation
        self._held.clear()
        lines = "".join(f"  {name}: {printable(text)}\n" for name, text in explanation)
        if self._fd != 2:
            self._write("error", error.message, keys)
            _write(2, printable(error.message.rstrip("\n")) + "\n" + lines)
        elif self._json:
            self._write("error", error.message, keys)
        else:
            self._write("error", error.message, [])
            _write(2, lines)

    def _write(self, level: str, message: str, keys: list[tuple[str, str]]) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if self._json:
            rows = [("level", level), ("msg", message), ("time", now), *keys]
            line = "{" + ",".join(f"{_string(name)}:{_string(text)}" for name, text in rows) + "}\n"
        elif os.isatty(self._fd):
            seconds = int(time.monotonic() - self._begun)
            shown = printable(" ".join((message.rstrip("\n"), *(f"{name}={_logfmt(text)}" for name, text in keys))))
            line = f"\x1b[{_COLOURS[level]}m{level[:4].upper()}\x1b[0m[{seconds:04}] {shown}\n"
        else:
            rows = [("level", level), ("msg", message), *keys]
            line = f'time="{now}" ' + " ".join(f"{name}={_logfmt(text)}" for name, text in rows) + "\n"
        _write(self._fd, line)


log = Log()


def open_for_appending(path: str, more: int = 0) -> int:
    """A descriptor of a file to write to, made if it is not there. more: further flags of open(2).

    Raises OSError: ENXIO for a FIFO that nobody reads, which open(2) would wait for.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    file = os.open(path, flags | more, 0o644)
    os.set_blocking(file, True)
    return file


def quote(text: str) -> str:
    r"""`text` in double quotes as Go's %q writes it; bytes that are not UTF-8 (surrogates here) as \xNN."""
    return '"' + "".join(_ESCAPES.get(ord(char)) or _visible(char) for char in text) + '"'


def printable(text: str) -> str:
    """`text` with everything that could steer a terminal made visible; line ends and tabs stay."""
    if text.isprintable():
        return text
    return "".join(char if char in "\n\t" else _visible(char) for char in text)


def _visible(char: str) -> str:
    if char.isprintable():
        return char
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _logfmt(text: str) -> str:
    return text if text and _BARE.issuperset(text) else quote(text)


def _string(text: str) -> str:
    encoded: str = encode_basestring_ascii(text)
    return encoded


def _moved(fd: int, floor: int) -> int:
    """The descriptor under a number of at least `floor`; as it is when the limit of open files forbids that."""
    import fcntl

    try:
        higher = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, floor)
    except OSError:
        return fd
    os.close(fd)
    return higher


def _write(fd: int, text: str) -> None:
    data = text.encode("utf-8", "backslashreplace")
    try:
        while data:
            data = data[os.write(fd, data) :]
    except OSError:  # a full disk or a closed stderr: the exit status still tells
        pass
