"""What to write instead of a value that breaks the schema, where that can be told. Pure; for report.py."""

from __future__ import annotations

from pyoci import SPEC_VERSION
from pyoci.config.process import RLIMITS
from pyoci.config.rules.rule import NO_ID
from pyoci.near import nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# What the kernel, /proc and unshare(1) call things, and what config.json does.
OTHER_NAMES = {
    "net": "network",
    "mnt": "mount",
    "userns": "user",
    "char": "c",
    "character": "c",
    "block": "b",
    "fifo": "p",
    "pipe": "p",
}


def for_word(word: str, allowed: Sequence[str]) -> str:
    """One of `allowed` for a word that is none: another name, a missing prefix or a slip."""
    known = OTHER_NAMES.get(word.lower(), "")
    if not known or known not in allowed:
        ends = [name for name in allowed if word and name.upper().endswith("_" + word.upper())]
        known = ends[0] if len(ends) == 1 else nearest(word, allowed)
    return f"did you mean {known!r}?" if known else ""


def for_pattern(pattern: str, text: str) -> str:
    """The same for a string that does not match one of schema.PATTERNS."""
    if pattern == "^[cbup]$":
        known = OTHER_NAMES.get(text.lower(), text[:1].lower() if text.lower().strip() in ("c", "b", "u", "p") else "")
        return f"did you mean {known!r}?" if known in ("c", "b", "u", "p") else ""
    if pattern == "^[1-9][0-9]*[KMG]B$":
        unit = text.strip().lower().removesuffix("b").removesuffix("i")
        digits = unit[:-1].strip()
        if unit[-1:] in ("k", "m", "g") and digits.isdecimal() and digits.isascii() and digits[0] != "0":
            return f"did you mean '{digits}{unit[-1].upper()}B'?"
    return ""


def for_bounds(path: Sequence[object]) -> str:
    """The same for a number out of bounds, which stands at the end of `path`: keys and indices."""
    return NO_ID if path[-1:] in (["uid"], ["gid"]) or path[-2:-1] == ["additionalGids"] else ""


def for_rlimit(name: str) -> str:
    """The same for a limit that does not exist, whose rule asks for it."""
    known = [limit.removeprefix("RLIMIT_") for limit in RLIMITS]
    guess = nearest(name.upper().removeprefix("RLIMIT_"), known)
    return f"did you mean 'RLIMIT_{guess}'?" if guess else ""


# What the members that have to be there look like, as far as their names do not tell.
_MISSING = {
    "ociVersion": f'write "ociVersion": "{SPEC_VERSION}", the version of the specification that pyoci implements',
    "destination": "it is the place of the mount, a path in the container that begins with /",
    "args": 'it is the program and its arguments, each an item of its own: ["/bin/echo", "hello"]',
    "cwd": 'it is where the program begins, such as "/"',
}


def for_missing(key: str) -> str:
    """What to write for a member that has to be there, "" where its name says it."""
    return _MISSING.get(key, "")


def for_type(wanted: str, value: object, key: str = "") -> str:
    """The same for a value of another type, which is the member `key`."""
    if wanted == "integer":
        if key in ("uid", "gid") and type(value) is str and not value.strip().isdigit():
            return "write the number: names are not looked up"
        return _for_integer(value)
    if wanted == "boolean":
        if type(value) is str and value.lower() in ("true", "false"):
            return f"write {value.lower()}, without quotes"
        if type(value) is int and value in (0, 1):
            return f"write {'true' if value else 'false'}"
    if wanted == "string" and type(value) in (int, float, bool):
        return f'write "{str(value).lower()}", in quotes'
    if wanted == "array" and type(value) in (str, int, dict):
        return "write a list, in square brackets"
    return ""


def _for_integer(value: object) -> str:
    if type(value) is str:
        digits = value.strip()
        if digits.removeprefix("-").isdecimal() and digits.isascii() and len(digits) <= 20:
            return f"write {int(digits)}, without quotes"
        if digits.lower() in ("max", "unlimited", "infinity"):
            return "write -1 for no limit where there is one, or leave it out"
        if digits[-1:].lower() in ("k", "m", "g", "b") and digits[:1].isdigit():
            return "write the number of bytes: there are no units"
        if digits.startswith(("0o", "0x")):
            return "write the number in decimal, without quotes"
    if type(value) is float and abs(value) < 2**63 and value == int(value):
        return f"write {int(value)}: only a number without fraction and exponent is a whole one"
    return ""
