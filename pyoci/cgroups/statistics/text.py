"""The texts of the kernel's statistics files -> numbers. Pure; ValueError for a text that is not in its format.

Documentation/admin-guide/cgroup-v1/*, cgroup-v2.rst and accounting/psi.rst of Linux. Numbers are of 64 bits without
sign: "max" is the highest, and a negative one, which some files show by the kernel's mistake, is 0 (as in runc).
"""

from __future__ import annotations

from pyoci import os
from pyoci.kernel.textfile import lines
from pyoci.record import Record

UNLIMITED = 2**64 - 1
_LIMIT_OF_LISTS = 2**16  # CPUs and memory nodes have numbers of 16 bits


class Block(Record):
    """One number of a block device; op is "" where the file has no operations."""

    major: int
    minor: int
    op: str = ""
    value: int


class Stall(Record):
    """One line of a pressure file: per cent of the last 10, 60 and 300 seconds, and microseconds since the start."""

    avg10: float = 0.0
    avg60: float = 0.0
    avg300: float = 0.0
    total: int = 0


class Pressure(Record):
    """some: tasks waited; full: all of them did."""

    some: Stall = Stall()
    full: Stall = Stall()


def number(text: bytes) -> int:
    r"""`text` as a number: number(b"max\n") == UNLIMITED."""
    text = text.strip()
    if text == b"max":
        return UNLIMITED
    digits = text[1:] if text[:1] == b"-" else text
    if not digits.isdigit():
        raise ValueError(f'"{os.fsdecode(text)}" is not a number')
    if text[:1] == b"-":
        return 0
    value = int(digits) if len(digits) <= 20 else UNLIMITED + 1
    if value > UNLIMITED:
        raise ValueError(f'"{os.fsdecode(text)}" does not fit into 64 bits')
    return value


def signed(text: bytes) -> int:
    r"""The same where below zero means something: signed(b"-1\n") == -1."""
    text = text.strip()
    return -number(text[1:]) if text[:1] == b"-" else number(text)


def flat(text: bytes) -> dict[str, int]:
    """A flat keyed file, one "key number" on each line."""
    values = {}
    for line in lines(text):
        key, _, value = line.partition(b" ")
        if not key or not value:
            raise ValueError(f'line "{os.fsdecode(line)}" is not in "key value" format')
        values[os.fsdecode(key)] = number(value)
    return values


def numbers(text: bytes) -> tuple[int, ...]:
    """Numbers with blanks between: cpuacct.usage_percpu."""
    return tuple(number(word) for word in text.split())


def modes(text: bytes) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """cpuacct.usage_all, a line "cpu user system" for each CPU below a heading -> all of user, all of system."""
    heading, *following = lines(text) or [b""]
    if not heading.startswith(b"cpu user system"):
        raise ValueError(f'malformed line "{os.fsdecode(heading)}"')
    rows = [line.split(b" ") for line in following if line.count(b" ") >= 2]
    return tuple(number(row[1]) for row in rows), tuple(number(row[2]) for row in rows)


def ids(text: bytes) -> tuple[int, ...]:
    r"""A list of CPUs or memory nodes: ids(b"0-2,5\n") == (0, 1, 2, 5)."""
    found: list[int] = []
    for part in text.strip().split(b","):
        first, dash, last = part.partition(b"-")
        begin = number(first)
        end = number(last) if dash else begin
        if not begin <= end < _LIMIT_OF_LISTS:
            raise ValueError(f'"{os.fsdecode(part)}" is no range of numbers')
        found += range(begin, end + 1)
    return tuple(found)


def blocks(text: bytes) -> tuple[Block, ...]:
    """A file of v1's blkio: lines "8:0 Read 4096" or "8:0 4096"; the lines of totals are left out."""
    found = []
    for line in lines(text):
        fields = line.replace(b":", b" ").split()
        if len(fields) == 2 and fields[0] == b"Total":
            continue
        if len(fields) not in (3, 4):
            raise ValueError(f'malformed line "{os.fsdecode(line)}"')
        op = os.fsdecode(fields[2]) if len(fields) == 4 else ""
        found.append(Block(major=number(fields[0]), minor=number(fields[1]), op=op, value=number(fields[-1])))
    return tuple(found)


def io(text: bytes) -> dict[str, tuple[Block, ...]]:
    """v2's io.stat, lines "8:0 rbytes=1 wbytes=2 rios=3 wios=4 ..." -> "bytes" and "operations", as v1 has them."""
    found: dict[str, list[Block]] = {"bytes": [], "operations": []}
    kinds = {b"rbytes": "bytes", b"wbytes": "bytes", b"rios": "operations", b"wios": "operations"}
    for line in lines(text):
        device, *items = line.split() or [b""]
        major, colon, minor = device.partition(b":")
        if not colon:  # "(unknown)": the device is gone
            continue
        for item in items:
            key, _, value = item.partition(b"=")
            if key in kinds:
                op = "Read" if key.startswith(b"r") else "Write"
                block = Block(major=number(major), minor=number(minor), op=op, value=number(value))
                found[kinds[key]].append(block)
    return {kind: tuple(those) for kind, those in found.items()}


def pressure(text: bytes) -> Pressure:
    """A pressure file, lines "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" and the same with "full"."""
    found = {}
    for line in lines(text):
        kind, *items = line.split() or [b""]
        if kind in (b"some", b"full"):
            found[os.fsdecode(kind)] = _stall(items)
    return Pressure(**found)


def _stall(items: list[bytes]) -> Stall:
    averages, total = {}, 0
    for item in items:
        name, equals, value = item.partition(b"=")
        key = os.fsdecode(name)
        if not equals:
            raise ValueError(f'invalid psi data: "{os.fsdecode(item)}"')
        if key == "total":
            total = number(value)
        elif key in ("avg10", "avg60", "avg300"):
            if not value.replace(b".", b"", 1).isdigit():
                raise ValueError(f'invalid {key} PSI value: "{os.fsdecode(value)}"')
            averages[key] = float(value)
    return Stall(total=total, **averages)


def page_sizes(names: list[str]) -> list[str]:
    """The names in /sys/kernel/mm/hugepages, "hugepages-2048kB", as the hugetlb files spell them: "2MB", sorted."""
    sizes = []
    for name in names:
        text = name.removeprefix("hugepages-").removesuffix("kB")
        if f"hugepages-{text}kB" == name and text.isascii() and text.isdigit():
            sizes.append(int(text))
    return [
        f"{size >> 20}GB" if size >= 1 << 20 else f"{size >> 10}MB" if size >= 1 << 10 else f"{size}KB"
        for size in sorted(sizes)
    ]
