"""Copying in the foreground: whatever blocks on one side, nothing else does."""

from __future__ import annotations

import os
import select

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.container.streams.pump import Pump


def ready(pump: Pump, timeout: int = 0) -> dict[int, int]:
    poll = select.poll()
    for descriptor, events in pump.wanted().items():
        poll.register(descriptor, events)
    return dict(poll.poll(timeout))


@given(st.lists(st.binary(min_size=1, max_size=9000), max_size=6))
def test_everything_arrives_in_order(parts: list[bytes]) -> None:
    source, feed = os.pipe()
    drain, target = os.pipe()
    pump = Pump(source, target)
    for part in parts:
        os.write(feed, part)
        while found := ready(pump):
            pump.move(found)
    os.close(feed)
    pump.finish()
    os.close(target)
    with os.fdopen(drain, "rb") as file:
        assert file.read() == b"".join(parts)
    os.close(source)


def test_a_reader_that_is_behind_stops_the_reading_and_nothing_blocks() -> None:
    source, feed = os.pipe()
    drain, target = os.pipe()
    os.set_blocking(feed, False)
    pump = Pump(source, target)
    taken = 0
    for _ in range(400):
        try:
            taken += os.write(feed, b"x" * 4096)
        except BlockingIOError:
            pass
        pump.move(ready(pump))
    assert pump.wanted() == {target: select.POLLOUT}
    assert 65536 <= taken <= 4 * 65536
    for descriptor in (source, feed, drain, target):
        os.close(descriptor)


def test_what_nobody_takes_is_thrown_away() -> None:
    """A terminal that is not emptied would stop the program that writes to it."""
    source, feed = os.pipe()
    drain, target = os.pipe()
    os.write(feed, b"last words")
    os.close(drain)
    pump = Pump(source, target)
    pump.move(ready(pump))  # reads
    pump.move(ready(pump))  # nobody takes it
    assert pump.wanted() == {source: select.POLLIN}
    os.write(feed, b"more")
    pump.move(ready(pump))
    os.close(feed)
    pump.move(ready(pump))
    assert pump.wanted() == {}
    for descriptor in (source, target):
        os.close(descriptor)


def test_an_end_of_ours_is_closed_when_the_other_one_has_ended() -> None:
    """The reader is told of the end, the writer that nobody reads."""
    source, feed = os.pipe()
    drain, target = os.pipe()
    os.close(feed)
    pump = Pump(source, target, target)
    pump.move(ready(pump))
    assert os.read(drain, 1) == b""
    for descriptor in (source, drain):
        os.close(descriptor)
    source, feed = os.pipe()
    drain, target = os.pipe()
    os.close(drain)
    os.write(feed, b"unread")
    pump = Pump(source, target, source)
    while found := ready(pump):
        pump.move(found)
    with pytest.raises(BrokenPipeError):
        os.write(feed, b"x")
    for descriptor in (feed, target):
        os.close(descriptor)


def test_the_end_does_not_wait_for_other_writers() -> None:
    source, feed = os.pipe()
    drain, target = os.pipe()
    os.write(feed, b"last words")
    pump = Pump(source, target, source)
    pump.finish()
    assert os.read(drain, 100) == b"last words"
    for descriptor in (feed, drain, target):
        os.close(descriptor)
