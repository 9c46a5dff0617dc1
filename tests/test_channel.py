"""Messages between the runtime and the container's process: what arrives, and what an end or garbage does."""

from __future__ import annotations

import os
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci import channel
from pyoci.channel import FIELDS, Channel, Closed
from pyoci.errors import ConfigError, Error, HookError, StepError

texts = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=300)
messages = st.sampled_from(sorted(set(FIELDS) - {"error"})).flatmap(
    lambda kind: st.tuples(st.just(kind), st.tuples(*[texts] * FIELDS[kind]))
)


def raw_pair() -> tuple[Channel, socket.socket]:
    """A channel and the bare socket at its other end."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Channel(socket.socket(fileno=one.detach())), other


@given(st.lists(messages, min_size=1, max_size=5))
def test_what_is_sent_arrives_in_order(sent: list[tuple[str, tuple[str, ...]]]) -> None:
    one, other = channel.pair()
    for kind, fields in sent:
        one.send(kind, *fields)
    one.close()
    for kind, fields in sent:
        message = other.receive()
        assert (message.kind, message.fields, message.descriptors) == (kind, fields, ())
    with pytest.raises(Closed):
        other.receive()
    other.close()


@given(messages)
def test_decode_is_the_inverse_of_encode(message: tuple[str, tuple[str, ...]]) -> None:
    assert channel.decode(channel.encode(*message)) == message


@given(st.binary(max_size=300))
def test_garbage_is_an_error(data: bytes) -> None:
    """Nothing but an Error or a message of the protocol comes out."""
    try:
        kind, fields = channel.decode(data)
    except Error:
        return
    assert FIELDS[kind] == len(fields)
    assert channel.encode(kind, fields) == data


def test_bytes_that_are_no_text_are_kept() -> None:
    """A path may hold any byte."""
    name = os.fsdecode(b"/dev/pts/\xff")
    assert channel.decode(channel.encode("console", (name,))) == ("console", (name,))


@pytest.mark.parametrize(
    ("kind", "fields"),
    [("go", ("x",)), ("stage2", ()), ("console", ("a\0b",)), ("console", ("x" * 65536,))],
)
def test_what_cannot_be_said_is_not_sent(kind: str, fields: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=kind):
        channel.encode(kind, fields)


@pytest.mark.parametrize("data", [b"go\0x", b"stage2", b"shutdown", b"error\0x", b"go" + b"\0" * 9, b"\xff"])
def test_garbage_from_the_other_side(data: bytes) -> None:
    one, other = raw_pair()
    other.send(data)
    with pytest.raises(Error, match="none of the protocol"):
        one.receive()
    one.close()
    other.close()


def test_a_packet_that_is_too_long() -> None:
    """It is cut by the kernel, and noticed."""
    one, other = raw_pair()
    other.send(b"console\0" + b"x" * 100_000)
    with pytest.raises(Error, match="none of the protocol"):
        one.receive()
    one.close()
    other.close()


def test_descriptors_come_along_and_close_on_exec() -> None:
    one, other = channel.pair()
    reading, writing = os.pipe()
    one.send("stage2", "7", descriptors=(writing,))
    os.close(writing)
    message = other.receive()
    (received,) = message.descriptors
    assert not os.get_inheritable(received)
    os.write(received, b"x")
    os.close(received)
    assert os.read(reading, 9) == b"x"
    assert os.read(reading, 9) == b""
    os.close(reading)
    for end in (one, other):
        end.close()


def test_descriptors_of_garbage_are_closed() -> None:
    one, other = raw_pair()
    reading, writing = os.pipe()
    before = set(os.listdir("/proc/self/fd"))
    other.sendmsg([b"garbage"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("2i", writing, writing))])
    with pytest.raises(Error):
        one.receive()
    assert set(os.listdir("/proc/self/fd")) == before
    for descriptor in (reading, writing):
        os.close(descriptor)
    one.close()
    other.close()


def test_nobody_listens() -> None:
    """No SIGPIPE, and both directions say the same."""
    one, other = channel.pair()
    other.close()
    with pytest.raises(Closed):
        one.send("go")
    with pytest.raises(Closed):
        one.receive()
    one.close()


def test_the_last_words_of_one_that_died_without_listening() -> None:
    """A message of ours that it did not read makes the kernel report a reset before what it has said."""
    one, other = channel.pair()
    other.send("error", *channel.encode_error(StepError("it failed", step="S")))
    one.send("go")
    other.close()
    with pytest.raises(StepError, match="it failed"):
        one.receive()
    with pytest.raises(Closed):
        one.receive()
    one.close()


def test_is_readable() -> None:
    one, other = channel.pair()
    assert not one.is_readable()
    other.send("go")
    assert one.is_readable()
    one.receive()
    assert not one.is_readable()
    other.close()
    assert one.is_readable()  # the end
    one.close()


def test_a_channel_goes_on_with_another_descriptor() -> None:
    one, other = channel.pair()
    copy = os.dup(one.fileno())
    os.close(one.fileno())
    one.adopt(copy)
    assert one.fileno() == copy
    one.send("go")
    assert other.receive().kind == "go"
    one.close()
    other.close()


@given(texts, texts, texts, st.integers(0, 133), texts, texts)
def test_an_error_arrives_as_it_was(pointer: str, step: str, call: str, errno: int, message: str, hint: str) -> None:
    sent = StepError(message, pointer=pointer, step=step, call=call, errno=errno, hint=hint)
    one, other = channel.pair()
    one.send("error", *channel.encode_error(sent))
    with pytest.raises(StepError) as caught:
        other.receive()
    one.close()
    other.close()
    assert vars(caught.value) == vars(sent)


@pytest.mark.parametrize(
    ("sent", "kind"), [(StepError, StepError), (HookError, HookError), (ConfigError, Error), (Error, Error)]
)
def test_an_error_keeps_its_kind_where_it_matters(sent: type[Error], kind: type[Error]) -> None:
    assert type(channel.decode_error(channel.encode_error(sent("x"))[:7])) is kind


@pytest.mark.parametrize("character", ["x", "\u00ff", "\U0001f980", "\0"])
def test_an_error_of_any_length_fits(character: str) -> None:
    """A path of the image's may be quoted in it."""
    one, other = channel.pair()
    text = character * 100_000
    one.send("error", *channel.encode_error(StepError(text, pointer=text, step=text, call=text, hint=text)))
    with pytest.raises(StepError):
        other.receive()
    one.close()
    other.close()


def test_an_errno_that_is_no_number() -> None:
    assert channel.decode_error(("StepError", "", "", "", "x", "m", "")).errno == 0


def test_lines_of_debug_fit() -> None:
    ours, theirs = channel.pair()
    ours.send_debug("container", "Mount", "/mounts/0", "x\0\U0001f600" * 50_000)
    message = theirs.receive()
    assert (message.kind, message.fields[:3]) == ("debug", ("container", "Mount", "/mounts/0"))
    assert message.fields[3].startswith("x\U0001f600x") and len(message.fields[3]) > 1000
    ours.close()
    theirs.close()
