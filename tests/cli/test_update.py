"""The flags of update as an object like linux.resources."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.cli.commands import COMMANDS
from pyoci.cli.options import Options, defaults, scan
from pyoci.cli.update import FLAGS, from_flags, placed, signed, size, unsigned
from pyoci.config.schema import schema
from pyoci.container.named_file import NamedFile
from pyoci.errors import Error

COMMAND = COMMANDS["update"]


def parsed(*argv: str) -> dict[str, Any]:
    values, given = defaults(COMMAND.flags), set[str]()
    scan(COMMAND.flags, list(argv), values, given, interleaved=True)
    return from_flags(Options(values=values, given=frozenset(given)))


def test_every_flag() -> None:
    result = parsed(
        *("--blkio-weight", "100", "--cpu-period", "1000", "--cpu-quota", "-1", "--cpu-burst", "0", "--cpu-share=2"),
        *(
            "--cpu-rt-period",
            "5",
            "--cpu-rt-runtime",
            "4",
            "--cpuset-cpus",
            "0-1",
            "--cpuset-mems",
            "0",
            "--cpu-idle=1",
        ),
        *("--memory", "1m", "--memory-reservation", "512k", "--memory-swap", "-1", "--pids-limit", "0"),
        *("--kernel-memory", "1", "--kernel-memory-tcp", "2"),
    )
    assert result == {
        "blockIO": {"weight": 100},
        "cpu": {
            "period": 1000,
            "quota": -1,
            "burst": 0,
            "shares": 2,
            "realtimePeriod": 5,
            "realtimeRuntime": 4,
            "cpus": "0-1",
            "mems": "0",
            "idle": 1,
        },
        "memory": {"limit": 1 << 20, "reservation": 512 << 10, "swap": -1, "kernel": 1, "kernelTCP": 2},
        "pids": {"limit": 0},
    }
    assert schema.look(result, schema.RESOURCES) == (result, [], None)


def test_what_is_not_given_is_absent() -> None:
    assert parsed() == {}
    assert parsed("--blkio-weight", "0", "--memory", "", "--cpuset-cpus=") == {}


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (("--memory", "abc"), "invalid value for memory: invalid size: 'abc'"),
        (("--memory", "-2"), "invalid value for memory: invalid size: '-2'"),
        (("--memory", "5x"), "invalid value for memory: invalid suffix: 'x'"),
        (("--memory-swap", "9" * 39), f"invalid value for memory-swap: invalid size: '{'9' * 39}'"),
        (("--cpu-share", "-1"), 'invalid value for cpu-share: strconv.ParseUint: parsing "-1": invalid syntax'),
        (("--cpu-quota", "1.5"), 'invalid value for cpu-quota: strconv.ParseInt: parsing "1.5": invalid syntax'),
        (
            ("--cpu-period", str(2**64)),
            f'invalid value for cpu-period: strconv.ParseUint: parsing "{2**64}": value out of range',
        ),
        (("--cpu-idle", "yes"), 'invalid value for cpu-idle: strconv.ParseInt: parsing "yes": invalid syntax'),
    ],
)
def test_refused(argv: tuple[str, ...], text: str) -> None:
    with pytest.raises(Error) as caught:
        parsed(*argv)
    assert caught.value.message == text
    assert caught.value.pointer == argv[0]


@given(st.integers(0, 2**52), st.sampled_from(["", "k", "M", "Gb", "TiB", "p", "kib", "B"]), st.sampled_from(["", " "]))
def test_sizes(number: int, suffix: str, blank: str) -> None:
    unit = 1024 ** " kmgtp".index((suffix.lower().removesuffix("b").removesuffix("i") or " ")[0])
    if number * unit < 2**63:
        assert size(f"{number}{blank}{suffix}") == number * unit


@pytest.mark.parametrize(
    ("text", "value"), [("1.5k", 1536), (".5m", 524288), ("2.", 2), ("0.3", 0), ("-1", -1), ("0", 0)]
)
def test_sizes_with_a_fraction(text: str, value: int) -> None:
    assert size(text) == value


@given(st.integers(-(2**63), 2**64 - 1))
def test_numbers(number: int) -> None:
    if number < 2**63:
        assert signed(str(number)) == number
    if number >= 0:
        assert unsigned(str(number)) == number


def test_every_flag_of_a_value_is_one_of_the_command() -> None:
    names = {flag.names[0] for flag in COMMAND.flags}
    assert {flag for flag, *_ in FLAGS} <= names


@pytest.mark.parametrize(
    ("pointer", "of_file", "of_flags"),
    [
        ("/linux/resources/cpu/realtimePeriod", "/f#/cpu/realtimePeriod", "--cpu-rt-period"),
        ("/linux/resources/blockIO/weight", "/f#/blockIO/weight", "--blkio-weight"),
        ("/linux/resources/memory/limit", "config.json#/linux/resources/memory/limit", None),  # was in force before
        ("/linux/resources/blockIO", "/f#/blockIO", "config.json#/linux/resources/blockIO"),  # of no single flag
        ("/linux/devices/0", "config.json#/linux/devices/0", None),
    ],
)
def test_places_in_warnings(pointer: str, of_file: str, of_flags: str | None) -> None:
    given = {"cpu": {"realtimePeriod": 5}, "blockIO": {"weight": 5}}
    assert placed(given, NamedFile("/f", "--resources", ("linux", "resources")))(pointer) == of_file
    assert placed(given, None)(pointer) == (of_flags or of_file)
