"""What the rules share: the largest id, the small predicates, and how text is shown."""

from __future__ import annotations

MAX_ID = 2**32 - 2  # 2**32 - 1 is the kernel's "no id": setuid(2) and others take it for "leave unchanged"
NO_ID = f"write the number of a user or a group, such as 0, root's: the last one is {MAX_ID}, and -1 is none"


def printable(text: str) -> bool:
    """No control characters."""
    return text.isprintable() or all(character >= " " and character != "\x7f" for character in text)


def shown(text: str) -> str:
    """`text` short and on one line, for messages."""
    short = text if len(text) <= 80 else text[:77] + "..."
    return "".join([c if c >= " " and c != "\x7f" else f"\\x{ord(c):02x}" for c in short])


def quoted(text: str) -> str:
    """The same in double quotes."""
    return f'"{shown(text)}"'
