from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.cgroups.statistics import text as read
from pyoci.cgroups.statistics.text import UNLIMITED, Block, Stall

u64 = st.integers(0, UNLIMITED)
names = st.text(st.characters(codec="ascii", exclude_categories=["C", "Z"]), min_size=1, max_size=12)
averages = st.integers(0, 10_000).map(lambda hundredths: f"{hundredths / 100:.2f}")
stalls = st.tuples(averages, averages, averages, u64)


@given(u64)
def test_numbers_come_back(value: int) -> None:
    assert read.number(b"%d\n" % value) == read.signed(b"%d\n" % value) == value


@given(st.integers(-(2**70), -1))
def test_a_number_below_zero_is_zero_but_where_it_means_something(value: int) -> None:
    assert read.number(b"%d" % value) == 0
    if value > -(2**64):
        assert read.signed(b"%d" % value) == value


@pytest.mark.parametrize("text", ["", "\n", "-", "x", "1 2", "+1", "1_0", "0x10", "1.5", "²", str(2**64), "9" * 5000])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a number|does not fit"):
        read.number(text.encode())


@given(st.dictionaries(names, u64))
def test_flat_files_come_back(values: dict[str, int]) -> None:
    assert read.flat("".join(f"{key} {value}\n" for key, value in values.items()).encode()) == values


@given(st.lists(st.tuples(u64, u64)))
def test_each_cpu(rows: list[tuple[int, int]]) -> None:
    text = "cpu user system\n" + "".join(f"{cpu} {user} {kernel}\n" for cpu, (user, kernel) in enumerate(rows))
    assert read.modes(text.encode()) == (tuple(user for user, _ in rows), tuple(kernel for _, kernel in rows))
    assert read.numbers(b"".join(b"%d " % user for user, _ in rows) + b"\n") == read.modes(text.encode())[0]


@given(st.sets(st.integers(0, 2**16 - 1), min_size=1, max_size=40), st.randoms())
def test_lists_of_cpus_come_back(cpus: set[int], random: object) -> None:
    """However neighbours are drawn together."""
    parts: list[list[int]] = []
    for cpu in sorted(cpus):
        if parts and parts[-1][1] == cpu - 1 and random.random() < 0.8:  # type: ignore[attr-defined]
            parts[-1][1] = cpu
        else:
            parts.append([cpu, cpu])
    text = ",".join(f"{a}-{b}" if a < b else str(a) for a, b in parts)
    assert read.ids(f"{text}\n".encode()) == tuple(sorted(cpus))


@given(st.lists(st.tuples(u64, u64, st.sampled_from(["", "Read", "Write", "Sync", "Discard"]), u64)))
def test_files_of_blkio_come_back(rows: list[tuple[int, int, str, int]]) -> None:
    lines = [f"{major}:{minor} {op} {value}".replace("  ", " ") for major, minor, op, value in rows]
    expected = tuple(Block(major=major, minor=minor, op=op, value=value) for major, minor, op, value in rows)
    assert read.blocks("\n".join([*lines, "Total 17", ""]).encode()) == expected


@given(st.dictionaries(st.tuples(u64, u64), st.tuples(u64, u64, u64, u64)))
def test_io_stat_becomes_two_lists(devices: dict[tuple[int, int], tuple[int, int, int, int]]) -> None:
    """In v1's layout; a device that is gone and numbers of which v1 knows nothing are left out."""
    text = "(unknown) rbytes=1\n8:16\n"
    for (major, minor), (rbytes, wbytes, rios, wios) in devices.items():
        text += f"{major}:{minor} rbytes={rbytes} wbytes={wbytes} rios={rios} wios={wios} dbytes=0 cost.usage=1\n"
    found = read.io(text.encode())
    for kind, first in (("bytes", 0), ("operations", 2)):
        assert found[kind] == tuple(
            Block(major=major, minor=minor, op=op, value=values[first + place])
            for (major, minor), values in devices.items()
            for place, op in enumerate(("Read", "Write"))
        )


@given(stalls, stalls, st.booleans())
def test_pressure_comes_back(some: tuple[str, ...], full: tuple[str, ...], both: bool) -> None:
    """The CPU's file has had no line "full" before Linux 5.13."""
    text = f"some avg10={some[0]} avg60={some[1]} avg300={some[2]} total={some[3]}\n"
    if both:
        text += f"full avg10={full[0]} avg60={full[1]} avg300={full[2]} total={full[3]}\n"
    found = read.pressure(text.encode())
    assert values(found.some) == [float(each) for each in some[:3]] + [int(some[3])]
    assert values(found.full) == ([float(each) for each in full[:3]] + [int(full[3])] if both else [0, 0, 0, 0])


def values(stall: Stall) -> list[float]:
    return [stall.avg10, stall.avg60, stall.avg300, stall.total]


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (read.flat, "usage_usec"),
        (read.flat, "usage_usec x"),
        (read.flat, " 1"),
        (read.flat, "\n"),
        (read.numbers, "1 x"),
        (read.modes, ""),
        (read.modes, "0 1 2\n"),
        (read.modes, "cpu user system\n0 a 2\n"),
        (read.ids, "\n"),
        (read.ids, "3-1"),
        (read.ids, "1-"),
        (read.ids, "0-70000"),
        (read.ids, "0-18446744073709551615"),
        (read.blocks, "8:0 Read 1 2\n"),
        (read.blocks, "8:0\n"),
        (read.blocks, "8:x Read 1\n"),
        (read.io, "8:0 rbytes=x\n"),
        (read.io, "8:x rbytes=1\n"),
        (read.pressure, "some avg10\n"),
        (read.pressure, "some avg10=nan\n"),
        (read.pressure, "some avg10=1e5\n"),
        (read.pressure, "full total=-\n"),
    ],
)
def test_what_is_not_in_its_format(parse: Callable[[bytes], object], text: str) -> None:
    with pytest.raises(ValueError, match=r"is no|malformed|invalid"):
        parse(text.encode())


def test_sizes_of_huge_pages() -> None:
    listed = ["hugepages-1048576kB", "hugepages-64kB", "hugepages-2048kB", "other", "hugepages-kB", "hugepages-1MB"]
    assert read.page_sizes(listed) == ["64KB", "2MB", "1GB"]
