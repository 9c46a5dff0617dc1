"""Durations on the command line, as Go's time package reads and writes them: 5s, 1m30s, 1.5h, 100ms."""

from __future__ import annotations

_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_DIGITS = "0123456789"


def parse(text: str) -> int:
    """Nanoseconds: parse("1m30s") == 90 * 10**9. ValueError, with Go's words, for what is no duration."""
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0
    if not rest:
        raise ValueError("invalid duration")
    total = 0
    while rest:
        amount = _leading(rest, _DIGITS + ".")
        rest = rest[len(amount) :]
        unit = rest[: _first(rest, _DIGITS + ".")]
        rest = rest[len(unit) :]
        whole, _, fraction = amount.partition(".")
        if not whole + fraction or "." in fraction:
            raise ValueError("invalid duration")
        if not unit:
            raise ValueError("missing unit in duration")
        if unit not in _UNITS:
            raise ValueError(f"unknown unit {unit} in duration")
        if len(whole) > 19:
            raise ValueError("invalid duration")
        total += int(whole or "0") * _UNITS[unit]
        total += int(fraction[:18].ljust(18, "0")) * _UNITS[unit] // 10**18
        if total >= 2**63:
            raise ValueError("invalid duration")
    return -total if text[0] == "-" else total


def _leading(text: str, allowed: str) -> str:
    return text[: len(text) - len(text.lstrip(allowed))]


def _first(text: str, wanted: str) -> int:
    return next((index for index, char in enumerate(text) if char in wanted), len(text))
