"""Pseudo-terminals by descriptor."""

from __future__ import annotations

import os
import termios
from collections.abc import Iterator

import pytest

from pyoci.kernel import terminal
from tests.isolation import in_namespace


@pytest.fixture
def master() -> Iterator[int]:
    descriptor = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def slave(master: int) -> Iterator[int]:
    terminal.unlock(master)
    descriptor = terminal.open_peer(master)
    yield descriptor
    os.close(descriptor)


def test_a_locked_one_cannot_be_opened(master: int) -> None:
    with pytest.raises(OSError, match="Input/output error"):
        terminal.open_peer(master)


def test_the_peer_has_the_masters_number(master: int, slave: int) -> None:
    assert os.ttyname(slave) == f"/dev/pts/{terminal.index(master)}"
    assert not os.get_inheritable(slave)


def test_size(master: int, slave: int) -> None:
    terminal.set_size(slave, 33, 101)
    assert terminal.get_size(master) == (33, 101)
    assert os.get_terminal_size(slave) == (101, 33)


def test_newlines_are_left_alone(master: int, slave: int) -> None:
    os.write(slave, b"a\n")
    assert os.read(master, 10) == b"a\r\n"
    terminal.clear_onlcr(slave)
    os.write(slave, b"b\n")
    assert os.read(master, 10) == b"b\n"


def test_raw_and_back(master: int, slave: int) -> None:
    before = termios.tcgetattr(slave)
    saved = terminal.make_raw(slave)
    assert saved == before
    os.write(master, b"\x03x")  # no signal, no line to wait for, no echo
    assert os.read(slave, 10) == b"\x03x"
    terminal.restore(slave, saved)
    assert termios.tcgetattr(slave) == before


def test_controlling(master: int, slave: int) -> None:
    def body() -> tuple[bool, int]:
        os.setsid()
        try:
            os.close(os.open("/dev/tty", os.O_RDWR))
            return False, 0
        except OSError:
            pass
        terminal.make_controlling(slave)
        return os.tcgetpgrp(slave) == os.getpid(), os.close(os.open("/dev/tty", os.O_RDWR)) or 1

    assert in_namespace(body, 0) == (True, 1)
