"""The JSON of `events`: what is left out, what is not, in which order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pyoci import jsonfile
from pyoci.cgroups.statistics import v2
from pyoci.cgroups.statistics.shape import (
    CPUSET_FLAGS,
    BlockIO,
    Cpu,
    Cpuset,
    Entry,
    Memory,
    Statistics,
    members,
)
from pyoci.cgroups.statistics.text import UNLIMITED, Block, Pressure, Stall

u64 = st.integers(0, UNLIMITED)
entries = st.builds(Entry, limit=u64, usage=u64, highest=u64, failures=u64)


def test_nothing_known() -> None:
    """What runc prints of a container without any controller."""
    flags = ",".join(f'"{name}":0' for name in CPUSET_FLAGS)
    assert jsonfile.dumps(members(Statistics())) == (
        f'{{"cpu":{{}},"cpuset":{{{flags}}},"memory":{{}},"pids":{{}},"blkio":{{}},"hugetlb":{{}},'
        '"intel_rdt":{},"network_interfaces":null}'
    )


@given(entries)
def test_an_entry_is_left_out_as_a_whole_or_says_its_limit_and_its_failures(entry: Entry) -> None:
    found = members(Statistics(memory=Memory(usage=entry)))["memory"]
    if not (entry.limit or entry.usage or entry.highest or entry.failures):
        assert found == {}
        return
    given = found["usage"]
    assert list(given) == [key for key in ("limit", "usage", "max", "failcnt") if key in given]
    assert {"usage": 0, "max": 0, **given} == {
        "limit": entry.limit,
        "usage": entry.usage,
        "max": entry.highest,
        "failcnt": entry.failures,
    }
    assert given.get("usage") != 0 != given.get("max")


@given(st.builds(Cpu, total=u64, kernel=u64, user=u64, per_cpu=st.none() | st.lists(u64).map(tuple)))
def test_cpu_usage_is_there_if_anything_is_counted(cpu: Cpu) -> None:
    found = members(Statistics(cpu=cpu))["cpu"]
    assert ("usage" in found) == (bool(cpu.total or cpu.kernel or cpu.user) or cpu.per_cpu is not None)
    if "usage" in found:
        assert {"kernel", "user"} <= found["usage"].keys()
        assert found["usage"].get("total", 0) == cpu.total
        assert found["usage"].get("percpu", ()) == (cpu.per_cpu or ())


def test_pressure_that_is_zero_is_empty_and_unknown_is_left_out() -> None:
    """runc since 1.5.2; whole numbers without a point, as Go writes them."""
    assert members(Statistics())["cpu"] == {}
    assert members(Statistics(cpu=Cpu(pressure=Pressure())))["cpu"] == {"psi": {}}
    stalled = Pressure(some=Stall(avg10=1.0, avg60=0.25, total=7))
    text = jsonfile.dumps(members(Statistics(cpu=Cpu(pressure=stalled)))["cpu"])
    assert text == '{"psi":{"some":{"avg10":1,"avg60":0.25,"avg300":0,"total":7}}}'


@given(st.dictionaries(st.text(max_size=5), u64))
def test_maps_are_sorted_by_key(raw: dict[str, int]) -> None:
    found = members(Statistics(memory=Memory(raw=raw), hugetlb={key: Entry() for key in raw}))
    assert found["memory"].get("raw", {}) == raw
    assert list(found["memory"].get("raw", {})) == list(found["hugetlb"]) == sorted(raw)
    assert all(one == {"failcnt": 0} for one in found["hugetlb"].values())


def test_cpuset_and_blocks() -> None:
    cpuset = Cpuset(cpus=(0, 1), mems=(0,), flags={"sched_relax_domain_level": -1, "cpu_exclusive": 1})
    found = members(Statistics(cpuset=cpuset))["cpuset"]
    assert list(found) == ["cpus", "cpu_exclusive", "mems", *CPUSET_FLAGS[1:]]
    assert (found["cpus"], found["sched_relax_domain_level"], found["memory_migrate"]) == ((0, 1), -1, 0)
    blocks = (Block(major=8, minor=0, op="Read", value=0), Block(major=0, minor=1, value=5))
    block_io = BlockIO(lists={"ioTimeRecursive": blocks, "sectorsRecursive": ()})
    found = members(Statistics(block_io=block_io))["blkio"]
    assert found == {"ioTimeRecursive": [{"major": 8, "op": "Read"}, {"minor": 1, "value": 5}]}


@given(entries, entries)
def test_swap_counts_memory_too_and_never_more_than_unlimited(memory: Entry, swap: Entry) -> None:
    both = v2.together(memory, swap)
    assert both.limit == min(memory.limit + swap.limit, UNLIMITED)
    assert both.usage == min(memory.usage + swap.usage, UNLIMITED)
    assert (both.highest, both.failures) == (0, 0)
