"""The terminal that a container's process sends: one, if one was asked for. In exec somebody may speak in its place,
who traces it in the container."""

from __future__ import annotations

import os
from typing import Any, cast

import pytest

from pyoci import channel
from pyoci.container.process.handshake import Handshake
from pyoci.container.streams.console import ConsoleOwner
from pyoci.errors import Error
from pyoci.kernel.signals import Interrupts
from pyoci.steps.host.context import HostContext
from pyoci.steps.init.context import InitContext
from pyoci.undo import Undo


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_one_terminal_for_one_that_was_asked_for() -> None:
    owner = ConsoleOwner("", detach=False)
    owner.check(wanted=True)
    first, second = os.pipe()
    owner.receive("/dev/pts/0", first)
    with pytest.raises(Error, match="not asked for"):
        owner.receive("/dev/pts/0", second)
    assert (owner.master, is_open(first), is_open(second)) == (first, True, False)
    owner.close()
    assert not is_open(first)


def test_none_where_none_was_asked_for() -> None:
    owner = ConsoleOwner("", detach=False)
    owner.check(wanted=False)
    first, second = os.pipe()
    with pytest.raises(Error, match="not asked for"):
        owner.receive("/dev/pts/0", first)
    assert (owner.master, is_open(first)) == (-1, False)
    os.close(second)


@pytest.mark.parametrize("count", [0, 2])
def test_a_terminal_is_one_descriptor(count: int) -> None:
    ours, theirs = channel.pair()
    context = HostContext(ours, Undo(), InitContext(theirs))
    context.interrupts = Interrupts(())
    context.interrupts.install()
    ends = os.pipe()
    taken: list[int] = []
    birth = Handshake(cast(Any, None), context, lambda name, master: taken.append(master))
    theirs.send("console", "/dev/pts/0", descriptors=ends[:count])
    try:
        with pytest.raises(Error, match="a terminal that is none"):
            birth._receive(ends[0])
    finally:
        context.interrupts.close()
    assert taken == []
    for one in ends:
        os.close(one)
    ours.close()
    theirs.close()
