"""Did you mean: the distance of two words, and when one is near."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.near import _slips, did_you_mean, nearest

KEYS = ("ociVersion", "hooks", "annotations", "hostname", "mounts", "root", "process", "rootfsPropagation", "linux")
words = st.text("abc", max_size=6)


def reference(one: str, other: str) -> int:
    """The definition, by recursion."""

    @cache
    def slips(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        least = min(slips(i - 1, j) + 1, slips(i, j - 1) + 1, slips(i - 1, j - 1) + (one[i - 1] != other[j - 1]))
        if i > 1 and j > 1 and one[i - 2 : i] == other[j - 1] + other[j - 2]:
            least = min(least, slips(i - 2, j - 2) + 1)
        return least

    return slips(len(one), len(other))


@given(words, words)
def test_the_distance_is_the_one_of_the_definition(one: str, other: str) -> None:
    assert _slips(one, other) == _slips(other, one) == reference(one, other)


@pytest.mark.parametrize(
    ("word", "known"),
    [
        ("proces", "process"),
        ("PROCESS", "process"),
        ("rot", "root"),
        ("annotatoins", "annotations"),
        ("rootPropagation", "rootfsPropagation"),
        ("hostnam", "hostname"),
        ("zzz", ""),
        ("com.example.mounts", ""),
        ("ro", ""),
        ("", ""),
        ("m" * 100_000, ""),
    ],
)
def test_near(word: str, known: str) -> None:
    assert nearest(word, KEYS) == known
    assert did_you_mean(word, KEYS) == (f"did you mean {known!r}?" if known else "")


def test_the_nearest_of_several() -> None:
    assert nearest("limits", ("limit", "limitst", "limits2", "limits")) == "limits"
    assert nearest("memory", ()) == ""
