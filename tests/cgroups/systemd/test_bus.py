"""The connection to systemd, with somebody else at its other end who says what no systemd says."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jeepney import DBusAddress, Message, new_method_call, new_signal

from pyoci.cgroups.systemd import bus as systemd_bus
from pyoci.cgroups.systemd.bus import Bus, Refused
from pyoci.cgroups.systemd.names import Unit
from pyoci.errors import StepError
from pyoci.kernel.signals import Interrupted, Interrupts

MANAGER = DBusAddress("/org/freedesktop/systemd1", "org.freedesktop.systemd1", "org.freedesktop.systemd1.Manager")
Answer = Callable[[socket.socket], None]


class Other:
    """Accepts one connection, lets it in and gives it to `answer`."""

    def __init__(self, path: str) -> None:
        self.unit = Unit(name="a.scope", slice="s.slice", user=False, buses=(f"unix:path={path}",))
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        self.threads: list[threading.Thread] = []

    def serve(self, answer: Answer, greeting: bytes = b"DATA\r\nOK 0123\r\n") -> None:
        def body() -> None:
            connection, _ = self.listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(greeting)
                try:
                    answer(connection)
                except OSError:
                    pass

        self.threads.append(threading.Thread(target=body))
        self.threads[-1].start()

    def close(self) -> None:
        self.listener.close()
        for thread in self.threads:
            thread.join(10)


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Other]:
    monkeypatch.chdir(tmp_path)  # a socket's name is short
    (tmp_path / "systemd").mkdir()
    other = Other("./systemd/private")
    yield other
    other.close()


def silence(connection: socket.socket) -> None:
    """Listens until the caller has gone, and says nothing."""
    while connection.recv(4096):
        pass


def reply(serial: int, signature: str = "", *body: object) -> bytes:
    """The answer to our call with that number."""
    from jeepney import HeaderFields
    from jeepney.low_level import MessageType

    message = new_method_call(MANAGER, "X", signature or None, body)
    message.header.message_type = MessageType.method_return
    message.header.fields[HeaderFields.reply_serial] = serial
    for field in (HeaderFields.path, HeaderFields.interface, HeaderFields.member, HeaderFields.destination):
        message.header.fields.pop(field, None)
    return bytes(message.serialise(77))


def error(serial: int, name: str, text: str) -> bytes:
    from jeepney import HeaderFields
    from jeepney.low_level import MessageType

    message = Message.from_buffer(reply(serial, "s", text))
    message.header.message_type = MessageType.error
    message.header.fields[HeaderFields.error_name] = name
    return bytes(message.serialise(78))


def removed(job: str, result: str) -> bytes:
    body = (1, job, "a.scope", result)
    return bytes(new_signal(MANAGER, "JobRemoved", "uoss", body).serialise(79))


def test_a_call_and_its_job(other: Other) -> None:
    """Other signals in between, the job's one before anybody waits for it, all in one piece."""

    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        noise = bytes(new_signal(MANAGER, "UnitNew", "so", ("b.scope", "/b")).serialise(5))
        connection.sendall(noise + reply(1, "o", "/job/1") + noise + removed("/job/1", "done"))
        connection.recv(1)

    other.serve(answer)
    with Bus(other.unit) as bus:
        assert bus.call("StopUnit", "ss", "a.scope", "replace") == ("/job/1",)
        assert bus.wait_job("/job/1", "the end") == "done"
        assert bus.calls == 1


@given(st.lists(st.integers(1, 400), max_size=20))
def test_messages_in_any_pieces(cuts: list[int]) -> None:
    """Two messages whose bytes come in any portions."""
    whole = reply(1, "s", "x" * 200) + removed("/job/2", "failed")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        bus = Bus.__new__(Bus)
        bus.calls, bus.interrupts, bus._serial, bus._data = 0, None, 0, b""
        bus._replies, bus._jobs, bus._socket = {}, {}, ours
        start = 0
        pieces = []
        for cut in sorted(cuts):
            pieces.append(whole[start:cut])
            start = max(start, cut)
        pieces.append(whole[start:])

        def feed() -> None:
            for piece in pieces:
                theirs.sendall(piece)

        feed()
        assert bus.call("Get", "") == ("x" * 200,)
        assert bus.wait_job("/job/2", "it") == "failed"


def test_an_error_says_what_was_asked(other: Other) -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(error(1, "org.freedesktop.systemd1.NoSuchUnit", "Unit a.scope not loaded."))

    other.serve(answer)
    with Bus(other.unit) as bus, pytest.raises(Refused) as caught:
        bus.call("StopUnit", "ss", "a.scope", "replace")
    assert caught.value.name == "systemd1.NoSuchUnit"
    assert caught.value.message == "StopUnit('a.scope', 'replace'): Unit a.scope not loaded."


def test_versions(other: Other) -> None:
    texts = ["252.39-1~deb12u1", "v245.4-1.fc32", "257", "what"]

    def answer(connection: socket.socket) -> None:
        for number, text in enumerate(texts, 1):
            connection.recv(4096)
            connection.sendall(reply(number, "v", ("s", text)))

    other.serve(answer)
    with Bus(other.unit) as bus:
        assert [bus.version() for _ in texts] == [252, 245, 257, 0]


@pytest.mark.parametrize("last", [b"", b"garbage that is no message", b"l\1\0\1" + b"\xff" * 20])
def test_it_hangs_up_or_talks_nonsense(other: Other, last: bytes) -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(last)

    other.serve(answer)
    with Bus(other.unit) as bus, pytest.raises(StepError, match="systemd has closed the connection"):
        bus.call("StopUnit", "ss", "a.scope", "replace")


def test_it_does_not_let_us_in(other: Other) -> None:
    other.serve(lambda connection: None, greeting=b"REJECTED EXTERNAL\r\n")
    with pytest.raises(StepError, match=r"systemd does not accept us at unix:path=./systemd/private"):
        Bus(other.unit)


def test_it_never_answers(other: Other, monkeypatch: pytest.MonkeyPatch) -> None:
    other.serve(silence)
    with Bus(other.unit) as bus:
        monkeypatch.setattr(systemd_bus, "TIMEOUT", 0.2)
        with pytest.raises(StepError, match="systemd has not answered StopUnit"):
            bus.call("StopUnit", "ss", "a.scope", "replace")


def test_a_signal_ends_the_wait(other: Other) -> None:
    other.serve(silence)
    interrupts = Interrupts((signal.SIGTERM,))
    before = signal.getsignal(signal.SIGTERM)
    interrupts.install()
    try:
        with Bus(other.unit, interrupts) as bus:
            threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
            with pytest.raises(Interrupted):
                bus.call("StopUnit", "ss", "a.scope", "replace")
    finally:
        interrupts.close()
        signal.signal(signal.SIGTERM, before)


def test_nobody_there(tmp_path: Path) -> None:
    unit = Unit(name="a.scope", slice="s", user=True, buses=(f"unix:path={tmp_path}/none", "tcp:host=x", "unix:path=%"))
    with pytest.raises(StepError) as caught:
        Bus(unit)
    text = caught.value.message + caught.value.hint
    assert "systemd" in text


def test_addresses_with_escapes(tmp_path: Path) -> None:
    assert systemd_bus._path("unix:path=/a%20b%2c,guid=5") == b"/a b,"
    assert systemd_bus._path("unix:abstract=/x") == b"\0/x"
    for wrong in ("tcp:host=a", "unix:dir=/x", "unix:path=%zz"):
        with pytest.raises(OSError, match="not an address"):
            systemd_bus._path(wrong)
