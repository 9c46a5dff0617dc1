"""kill: send a signal to a container's first process."""

from __future__ import annotations

from pyoci.container.kill import kill
from pyoci.errors import Error
from pyoci.log import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal

    from pyoci.cli.options import Options
else:
    import _signal


def main(options: Options) -> int:
    """Send a signal, SIGTERM by default, to the first process, with --all to each. Returns 0, raises Error."""
    name = options.arguments[1] if len(options.arguments) > 1 else ""
    kill(options.text("root"), options.arguments[0], parse_signal(name or "SIGTERM"), options.flag("all"))
    return 0


def parse_signal(text: str) -> int:
    """The number of a signal given as number or name: 9, KILL, sigkill, SIGRTMIN+3 (which runc does not know).

    Raises Error. A number that no signal has is refused here: the kernel's int would cut 4294967305 to 9.
    """
    digits = text[1:] if text[:1] == "+" else text
    if digits.isascii() and digits.isdigit():
        number = int(digits) if len(digits) < 10 else -1
    else:
        number = _named(text.upper().removeprefix("SIG"))
    if not 0 <= number < _signal.NSIG:
        raise Error(f"unknown signal {quote(text)}", hint=_guess(text))
    return number


def _guess(text: str) -> str:
    from pyoci.near import did_you_mean

    names = [name for name in dir(_signal) if name[:3] == "SIG" and name[3] != "_"]
    return did_you_mean(f"SIG{text.upper().removeprefix('SIG')}", names)


def _named(name: str) -> int:
    """The number of signal `name`, without SIG and in capitals, or -1."""
    base, sign, offset = name.partition("+") if "+" in name else name.partition("-")
    number: int = getattr(_signal, f"SIG{base}", -1)
    if base.startswith("_"):  # SIG_DFL and the like are no signals
        return -1
    if not sign:
        return number
    if base not in ("RTMIN", "RTMAX") or not offset.isascii() or not offset.isdigit() or len(offset) > 2:
        return -1
    number += int(offset) if sign == "+" else -int(offset)
    return number if _signal.SIGRTMIN <= number <= _signal.SIGRTMAX else -1
