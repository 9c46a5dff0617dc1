"""What something costs, counted and not timed: the instructions that the interpreter carries out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def instructions(call: Callable[[], object]) -> int:
    """The number of Python instructions of `call`, the same on every machine. What C code does inside one is not seen.

    Another tracer, as that of a coverage run, is put back afterwards.
    """
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Callable[..., Any]:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


def growth(call: Callable[[int], Callable[[], object]], number: int) -> float:
    """How many times as much `call(4 * number)` costs as `call(number)`: 4 if the cost is linear, 16 if square."""
    return instructions(call(4 * number)) / instructions(call(number))
