"""Did you mean: the known word that somebody may have wanted to type. Without difflib, which costs 3 ms to import."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST = 60  # letters; no name that anybody types is longer, and the cost grows with the square


def nearest(word: str, known: Iterable[str]) -> str:
    """The one of `known` that is the fewest slips away from `word`, whatever the case; "" if none is near.

    A slip is a letter too many, a missing, a wrong one, or two that changed places. A word of three to seven letters
    may have one, and one more for every four letters from eight on, three at most.
    """
    if not 2 < len(word) <= _LONGEST:
        return ""
    typed = word.lower()
    best, least = "", max(1, min(3, len(word) // 4)) + 1
    for name in known:
        if abs(len(name) - len(word)) < least and (slips := _slips(typed, name.lower())) < least:
            best, least = name, slips
    return best


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean 'rootfsPropagation'?`, or ""."""
    name = nearest(word, known)
    return f"did you mean {name!r}?" if name else ""


def _slips(one: str, other: str) -> int:
    """The optimal string alignment distance."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for at, letter in enumerate(one, 1):
        earlier, before, row = before, row, [at]
        for place, wanted in enumerate(other, 1):
            cost = min(before[place] + 1, row[place - 1] + 1, before[place - 1] + (letter != wanted))
            if at > 1 and place > 1 and letter == other[place - 2] and one[at - 2] == wanted:
                cost = min(cost, earlier[place - 2] + 1)
            row.append(cost)
    return row[-1]
