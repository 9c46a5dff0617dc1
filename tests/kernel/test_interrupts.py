"""Signals that end the runtime: noticed where it waits, kept until then, and only once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from pyoci.kernel.signals import Interrupted, Interrupts

NUMBERS = (int(signal.SIGTERM), int(signal.SIGHUP))


@pytest.fixture
def interrupts() -> Iterator[Interrupts]:
    # What the caller ignores stays ignored, and a caller of the tests may ignore SIGHUP (nohup).
    before = [(number, signal.signal(number, signal.SIG_DFL)) for number in NUMBERS]
    made = Interrupts(NUMBERS)
    made.install()
    yield made
    made.close()
    for number, handler in before:
        signal.signal(number, handler)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    os.close(writing)


def test_a_signal_interrupts_nothing_by_itself(interrupts: Interrupts) -> None:
    interrupts.check()
    os.kill(os.getpid(), signal.SIGTERM)
    assert sum(range(1000)) == 499500
    with pytest.raises(Interrupted) as caught:
        interrupts.check()
    assert caught.value.number == signal.SIGTERM


def test_one_that_came_before_the_wait_ends_it(interrupts: Interrupts, pipe: tuple[int, int]) -> None:
    os.kill(os.getpid(), signal.SIGHUP)
    with pytest.raises(Interrupted) as caught:
        interrupts.wait(pipe[0])
    assert caught.value.number == signal.SIGHUP


def test_one_that_comes_during_the_wait_ends_it(interrupts: Interrupts, pipe: tuple[int, int]) -> None:
    signal.signal(signal.SIGALRM, lambda number, frame: os.kill(os.getpid(), signal.SIGTERM))
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(Interrupted):
            interrupts.wait(pipe[0])
    finally:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


def test_the_first_one_counts(interrupts: Interrupts) -> None:
    for number in (signal.SIGHUP, signal.SIGTERM):
        os.kill(os.getpid(), number)
    with pytest.raises(Interrupted) as caught:
        interrupts.check()
    assert caught.value.number == signal.SIGHUP


def test_waiting_for_what_is_there(interrupts: Interrupts, pipe: tuple[int, int]) -> None:
    never = os.pipe()
    os.write(pipe[1], b"x")
    interrupts.wait(never[0], pipe[0])
    for descriptor in never:
        os.close(descriptor)


def test_another_signal_does_not_end_the_wait(interrupts: Interrupts, pipe: tuple[int, int]) -> None:
    """It wakes the wait, because every signal with a handler does, and no more."""

    def handler(number: int, frame: object) -> None:
        os.write(pipe[1], b"x") if arrived else signal.setitimer(signal.ITIMER_REAL, 0.05)
        arrived.append(number)

    arrived: list[int] = []
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        interrupts.wait(pipe[0])
    finally:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    assert len(arrived) == 2


def test_what_is_ignored_stays_ignored(pipe: tuple[int, int]) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    interrupts = Interrupts((int(signal.SIGHUP),))
    interrupts.install()
    try:
        os.kill(os.getpid(), signal.SIGHUP)
        interrupts.check()
    finally:
        interrupts.close()
        signal.signal(signal.SIGHUP, before)
