"""Scheduling, CPUs, disks, memory nodes, personality: set on the real kernel, and read back from it."""

from __future__ import annotations

import os
from errno import EINVAL
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.kernel import scheduling
from tests.isolation import in_namespace

pytestmark = pytest.mark.root

NUMBERS = st.lists(st.integers(0, 65535), min_size=1, max_size=50)


@given(NUMBERS)
def test_masks(numbers: list[int]) -> None:
    """Every bit that is asked for and no other one, in as many longs as the highest needs."""
    bits = scheduling.mask(numbers)
    assert len(bits) == (max(numbers) // 64 + 1) * 8
    whole = int.from_bytes(bits, "little")
    assert {number for number in range(whole.bit_length()) if whole >> number & 1} == set(numbers)


def test_affinity_beyond_the_cpus_there_are() -> None:
    """More than 1,024 CPUs: the kernel leaves out those that it has not, and refuses if none is left."""

    def body() -> set[int]:
        scheduling.set_affinity([0, 1024, 65535])
        return os.sched_getaffinity(0)

    assert in_namespace(body, 0) == {0}
    with pytest.raises(OSError, match="Invalid argument") as caught:
        in_namespace(lambda: scheduling.set_affinity([65535]), 0)
    assert caught.value.errno == EINVAL


def test_io_priority() -> None:
    def body() -> str:
        scheduling.set_io_priority(3, 0)
        return os.popen("ionice").read().strip()

    assert in_namespace(body, 0) == "idle"


def policies() -> set[str]:
    """The policies of this process's mappings; those without one of their own have the process's."""
    return {line.split()[1] for line in Path("/proc/self/numa_maps").read_text().splitlines()}


@pytest.mark.parametrize(("mode", "nodes", "text"), [(2, [0], "bind:0"), (3, [0], "interleave:0"), (1, [], "local")])
def test_memory_policy(mode: int, nodes: list[int], text: str) -> None:
    def body() -> set[str]:
        scheduling.set_memory_policy(mode, nodes)
        return policies()

    assert text in in_namespace(body, 0)


@pytest.mark.parametrize("node", [1, 6, 7, 8, 63, 64, 70, 65535])
def test_no_node_is_overlooked(node: int) -> None:
    """As runc 1.6 does with its mask's length in bytes: nodes from 7 on would be ignored."""
    online = Path("/sys/devices/system/node/online").read_text().strip()
    assert online == "0", "this test takes a node that does not exist"
    with pytest.raises(OSError, match="Invalid argument") as caught:
        in_namespace(lambda: scheduling.set_memory_policy(2 | 1 << 15, [node]), 0)
    assert caught.value.errno == EINVAL
