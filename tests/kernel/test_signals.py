"""What a program inherits of signal dispositions, and interruptions that come only where we wait."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from pyoci.kernel import signals
from pyoci.kernel.constants import SIGHUP, SIGTERM
from tests.isolation import in_namespace


def ignored() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1], 16) for line in lines if line.startswith("SigIgn"))


def test_reset_leaves_nothing_ignored() -> None:
    def body() -> tuple[bool, int]:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.signal(signal.SIGUSR2, lambda *_: None)
        before = bool(ignored() >> signal.SIGPIPE - 1 & 1)  # Python ignores it
        signals.reset()
        return before, ignored()

    assert in_namespace(body, 0) == (True, 0)


def test_handle_and_ignore() -> None:
    def body() -> list[int]:
        seen: list[int] = []
        signals.handle((SIGTERM, SIGHUP), seen.append)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGHUP)
        signals.ignore((SIGTERM,))
        os.kill(os.getpid(), signal.SIGTERM)
        return seen

    assert in_namespace(body, 0) == [signal.SIGTERM, signal.SIGHUP]


def test_an_interruption_waits_for_the_check() -> None:
    def body() -> list[object]:
        interrupts = signals.Interrupts((signal.SIGTERM, signal.SIGINT))
        interrupts.install()
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        reading, _ = os.pipe()
        found: list[object] = ["went on"]
        for wait in (interrupts.check, lambda: interrupts.wait(reading)):
            try:
                wait()
            except signals.Interrupted as caught:
                found.append(caught.number)
        return found

    assert in_namespace(body, 0) == ["went on", signal.SIGTERM, signal.SIGTERM]


def test_waiting_ends_with_what_is_waited_for() -> None:
    def body() -> bytes:
        interrupts = signals.Interrupts((signal.SIGTERM,))
        interrupts.install()
        signal.signal(signal.SIGUSR1, lambda *_: None)
        reading, writing = os.pipe()
        os.kill(os.getpid(), signal.SIGUSR1)  # none of ours: goes on waiting
        os.write(writing, b"x")
        interrupts.wait(reading)
        interrupts.close()
        return os.read(reading, 1)

    assert in_namespace(body, 0) == b"x"


def test_what_the_caller_ignores_stays_ignored() -> None:
    def body() -> bool:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        interrupts = signals.Interrupts((signal.SIGHUP,))
        interrupts.install()
        os.kill(os.getpid(), signal.SIGHUP)
        interrupts.check()
        return True

    assert in_namespace(body, 0)
    with pytest.raises(signals.Interrupted):
        raise signals.Interrupted(15)
