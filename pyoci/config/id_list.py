"""Lists of CPUs and memory nodes: "0-3,7" (cpuset(7), "List format")."""

from __future__ import annotations

MAX = 65535  # as in runc since 1.6


def ranges(text: str) -> list[tuple[int, int]]:
    """First and last number of every range in `text`, as written; [] for "".

    Blanks around an element and empty elements are allowed. ValueError in runc's words, which are Go's.
    """
    if not text:
        return []
    found = []
    for part in text.split(","):
        part = part.strip()
        if not part:
            continue
        first, dash, last = part.partition("-")
        low = _number(first)
        high = _number(last) if dash else low
        if low > high:
            raise ValueError(f"invalid range: {part}")
        found.append((low, high))
    if not found:
        raise ValueError(f'no members found in set "{text}"')
    return found


def numbers(text: str) -> list[int]:
    """Every number in `text`, ascending, each once. ValueError as in `ranges`."""
    return sorted({number for low, high in ranges(text) for number in range(low, high + 1)})


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit():  # int() would also take "1_0", " 7" and digits of other scripts
        raise ValueError(f'strconv.ParseUint: parsing "{text}": invalid syntax')
    if len(text.lstrip("0")) > 5 or int(text) > MAX:
        raise ValueError(f"values larger than {MAX} are not supported")
    return int(text)
