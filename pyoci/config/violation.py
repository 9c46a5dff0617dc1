"""What is wrong with a value of config.json, or odd about it, as `validate` and the warnings of create tell it."""

from __future__ import annotations

from pyoci.record import Record


class Violation(Record):
    """`config.json#POINTER: REASON`, and a hint or ""."""

    pointer: str
    reason: str
    hint: str = ""

    def __str__(self) -> str:
        return f"config.json#{self.pointer}: {self.reason}"
