"""The command line as data: flags, commands, and the scanner that turns arguments into values.

The grammar is that of runc (Go's flag package under urfave/cli): one or two dashes, `--flag value` and
`--flag=value`, bools take `=value` only, no combined short flags, `--` ends the flags, the last of several wins.
Texts of errors are runc 1.5's, because engines and test suites match on them.
"""

from __future__ import annotations

from pyoci.errors import UsageError
from pyoci.log import quote
from pyoci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    Value = str | int | bool | tuple[str, ...]

BOOL, STRING, INT, DURATION = "bool", "string", "int", "duration"
STRINGS, IDS = "strings", "ids"  # may be given again and again, every value counts; IDS: digits and nothing else

_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")


class Flag(Record):
    """One flag. names: the long one first, then its aliases, all without dashes.

    The value of a DURATION is a number of nanoseconds.
    """

    names: tuple[str, ...]
    kind: str = STRING
    usage: str
    default: Value = ""
    hidden: bool = False


class Command(Record):
    """One command: what it accepts, and how an error of it begins.

    arguments: how help shows them. minimum, maximum: how many there may be.
    failure: prefix of every error of the command itself, "" for none (as runc has it, command by command).
    sealed: the command forks a container and must run from the launcher's read-only interpreter.
    interleaved: flags may follow arguments; else they end at the first one, and what follows is a program's (exec, ps).
    status: the exit status of an error of the command itself.
    """

    name: str
    usage: str
    arguments: str = ""
    minimum: int = 0
    maximum: int = 0
    flags: tuple[Flag, ...] = ()
    failure: str = ""
    sealed: bool = False
    interleaved: bool = True
    status: int = 1


class Options(Record):
    """What the user asked for. values: by long flag name, a value for every flag of the command and every global one.

    given: the flags that stood on the command line. umask: the caller's. argv0: pyoci as the caller spelled it.
    """

    values: dict[str, Value]
    arguments: tuple[str, ...] = ()
    given: frozenset[str] = frozenset()
    umask: int = 0o22
    argv0: str = "pyoci"

    def text(self, name: str) -> str:
        """Value of a string flag."""
        return str(self.values[name])

    def flag(self, name: str) -> bool:
        """Value of a bool flag."""
        return self.values[name] is True

    def number(self, name: str) -> int:
        """Value of an int flag, or of a duration in nanoseconds."""
        value = self.values[name]
        assert isinstance(value, int)
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Values of a flag that may be repeated."""
        values = self.values[name]
        assert isinstance(values, tuple)
        return values


HELP = Flag(names=("help", "h"), kind=BOOL, usage="show help", default=False)


def defaults(flags: tuple[Flag, ...]) -> dict[str, Value]:
    """The values when nothing is given."""
    return {flag.names[0]: flag.default for flag in flags}


def scan(
    flags: tuple[Flag, ...], argv: list[str], values: dict[str, Value], given: set[str], *, interleaved: bool
) -> list[str]:
    """Read flags into `values` and `given`, return the other arguments.

    interleaved: flags may follow arguments (every command but exec and ps); otherwise the first argument ends them.
    What was read before an error stays in `values`: the log that the error goes to is among it.
    `help` ends the scan, so that `create --help --anything` shows help.
    Of equal names in `flags` the first wins. Raises UsageError.
    """
    table: dict[str, Flag] = {}
    for flag in flags:
        for name in flag.names:
            table.setdefault(name, flag)
    rest: list[str] = []
    index = 0
    while index < len(argv):
        token = argv[index]
        index += 1
        if token == "--":  # noqa: S105 - a word of the command line
            return rest + argv[index:]
        if len(token) < 2 or token[0] != "-":
            rest.append(token)
            if not interleaved:
                return rest + argv[index:]
            continue
        name, equals, text = token[2 if token[1] == "-" else 1 :].partition("=")
        known = table.get(name)
        if known is None:
            if rest:  # behind an argument runc takes it as one more argument: `kill ID -9`
                rest.append(token)
                continue
            if not name or name[0] == "-":
                raise UsageError(f"bad flag syntax: {token}")
            from pyoci.near import did_you_mean

            hint = did_you_mean(name, table, "--")
            raise UsageError(f"flag provided but not defined: -{name}", hint=hint)
        if known.kind == BOOL:
            value: Value = _bool(name, text) if equals else True
        else:
            if not equals:
                if index == len(argv):
                    raise UsageError(f"flag needs an argument: -{name}")
                text = argv[index]  # whatever it looks like: `--preserve-fds -1`
                index += 1
            value = _value(known, name, text, values)
        values[known.names[0]] = value
        given.add(known.names[0])
        if known is HELP and value:
            return rest
    return rest


def check_count(command: Command, arguments: list[str], argv0: str) -> None:
    """Raise UsageError unless the number of arguments is right."""
    low, high, count = command.minimum, command.maximum, len(arguments)
    if low <= count <= high:
        return
    if low == high:
        demand = f"exactly {low}"
    elif count < low:
        demand = f"a minimum of {low}"
    else:
        demand = f"a maximum of {high}"
    stray = [text for text in arguments if text[:1] == "-" and text.strip("-")[:1].isalpha()]
    hint = f"{stray[0]} is not an option of {command.name}" if stray else ""
    if stray:
        from pyoci.near import did_you_mean

        near = did_you_mean(stray[0].lstrip("-").partition("=")[0], _names(command), "--")
        hint += f": {near}" if near else ""
    raise UsageError(f'{argv0}: "{command.name}" requires {demand} argument(s)', hint=hint)


def _names(command: Command) -> list[str]:
    return [name for flag in command.flags for name in flag.names]


def parse_bool(text: str) -> bool | None:
    """Go's strconv.ParseBool; None where that is an error."""
    return True if text in _TRUE else False if text in _FALSE else None


def _value(flag: Flag, name: str, text: str, values: dict[str, Value]) -> Value:
    if flag.kind == STRING:
        return text
    if flag.kind == INT:
        return _int(name, text)
    if flag.kind == DURATION:
        return _duration(name, text)
    if flag.kind == IDS and not (text.isascii() and text.isdigit()):
        raise UsageError(f"invalid value {quote(text)} for flag -{name}: parse error", hint="it is a number, base 10")
    before = values[flag.names[0]]
    assert isinstance(before, tuple)
    return (*before, text)


def _bool(name: str, text: str) -> bool:
    value = True if not text else parse_bool(text)  # nothing behind the `=` is true, as in runc 1.6
    if value is None:
        raise UsageError(f"invalid boolean value {quote(text)} for -{name}: parse error")
    return value


def _int(name: str, text: str) -> int:
    """Go's strconv.ParseInt(text, 0, 64): 0x, 0o, 0b, a leading 0 is octal, `_` between digits, no blanks."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    base = 8 if digits[:1] == "0" and (digits[1:2].isdigit() or digits[1:2] == "_") else 0
    try:
        if not digits[:1].isdigit() or not digits.isascii() or digits != digits.strip():
            raise ValueError
        value = int(digits, base)
    except ValueError:
        raise UsageError(f"invalid value {quote(text)} for flag -{name}: parse error") from None
    value = -value if text[0] == "-" else value
    if not -(2**63) <= value < 2**63:
        raise UsageError(f"invalid value {quote(text)} for flag -{name}: value out of range")
    return value


def _duration(name: str, text: str) -> int:
    from pyoci.cli import duration

    try:
        return duration.parse(text)
    except ValueError as error:
        hint = f"{error}: a duration is written as 5s, 1m30s or 100ms"
        raise UsageError(f"invalid value {quote(text)} for flag -{name}: parse error", hint=hint) from None
