from __future__ import annotations

import random
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.cli.kill import parse_signal
from pyoci.errors import Error

KNOWN = [s for s in signal.Signals if s not in (signal.SIGRTMIN, signal.SIGRTMAX)]


@given(st.sampled_from(KNOWN), st.booleans(), st.randoms(use_true_random=False))
def test_names_in_any_spelling(known: signal.Signals, prefix: bool, source: random.Random) -> None:
    name = known.name if prefix else known.name.removeprefix("SIG")
    mixed = "".join(source.choice((str.upper, str.lower))(char) for char in name)
    assert parse_signal(mixed) == known


@given(st.integers(0, 64))
def test_numbers(number: int) -> None:
    assert parse_signal(str(number)) == parse_signal(f"+{number}") == parse_signal(f"{number:03}") == number


@given(st.integers(0, 30))
def test_real_time_signals_have_two_names(offset: int) -> None:
    assert parse_signal(f"SIGRTMIN+{offset}") == signal.SIGRTMIN + offset
    assert parse_signal(f"rtmax-{offset}") == signal.SIGRTMAX - offset
    assert parse_signal("RTMIN") == signal.SIGRTMIN


@pytest.mark.parametrize(
    "text",
    [
        "BOGUS",
        "SIG",
        "SIGSIGTERM",
        "SIG_DFL",
        "_BLOCK",
        "-9",
        "--all",
        " 9",
        "9 ",
        "1_0",
        "٩",
        "0x9",
        "9.0",
        "65",
        "4294967305",
        "9" * 5000,
        "TERM+1",
        "RTMIN+31",
        "RTMIN-1",
        "RTMAX+1",
        "RTMIN+",
        "RTMIN+x",
        "RTMIN+٣",
    ],
)
def test_what_is_no_signal_is_refused(text: str) -> None:
    """4294967305 is 9 in the kernel's 32 bits."""
    with pytest.raises(Error) as caught:
        parse_signal(text)
    assert caught.value.message == f'unknown signal "{text}"'


@pytest.mark.parametrize(
    ("text", "hint"),
    [("SIGTRM", "did you mean 'SIGTERM'?"), ("trem", "did you mean 'SIGTERM'?"), ("SIG_DFL", ""), ("65", "")],
)
def test_a_slip(text: str, hint: str) -> None:
    with pytest.raises(Error) as caught:
        parse_signal(text)
    assert caught.value.hint == hint
