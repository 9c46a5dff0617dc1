"""Copying in the foreground: whatever blocks on one side, nothing else does."""

from __future__ import annotations

import os
import select

from hypothesis import given
from hypothesis import strategies as st

from pyoci.container.pump import Pump


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


def test_an_end_on_either_side_is_the_end() -> None:
    source, feed = os.pipe()
    drain, target = os.pipe()
    os.write(feed, b"last words")
    os.close(drain)
    pump = Pump(source, target)
    pump.move(ready(pump))  # reads
    pump.move(ready(pump))  # nobody takes it
    assert pump.wanted() == {}
    for descriptor in (source, feed, target):
        os.close(descriptor)
