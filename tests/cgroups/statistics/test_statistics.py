"""Statistics: kept files of real cgroups read from a directory, the real kernel."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pyoci.cgroups import manager, processes, removal
from pyoci.cgroups.files import Directory
from pyoci.cgroups.statistics import statistics, v2
from pyoci.cgroups.statistics.shape import Statistics, members
from pyoci.errors import Error
from pyoci.undo import Undo
from tests.container.box import until

HERE = Path(__file__).parent

# -- kept files of real cgroups --------------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path: Path) -> Callable[[str], Path]:
    """kept("v2"): a directory with the files of a cgroup that was throttled, read and wrote, and met its limit."""

    def unpack(version: str) -> Path:
        for section in (HERE / f"{version}.txt").read_text().split("==> ")[1:]:
            name, _, text = section.partition(" <==\n")
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path

    return unpack


def v1_paths(directory: Path) -> dict[str, str]:
    return {path.name: str(path) for path in directory.iterdir()}


def test_kept_v1(kept: Callable[[str], Path]) -> None:
    found = statistics.read(v1_paths(kept("v1")))
    raw = found["memory"].pop("raw")
    assert (len(raw), raw["hierarchical_memory_limit"], list(raw)) == (42, 20971520, sorted(raw))
    assert found == EXPECTED_V1


def test_kept_v2(kept: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(v2, "huge_page_sizes", lambda: ["2MB"])
    found = statistics.read({"": str(kept("v2"))})
    raw = found["memory"].pop("raw")
    assert (raw["file"], list(raw)) == (found["memory"]["cache"], sorted(raw))
    assert found == EXPECTED_V2


def test_every_file_may_be_missing_or_garbage(kept: Callable[[str], Path]) -> None:
    """Never a traceback: one Error that names the file."""
    directory = kept("v1")
    for file in sorted(path for path in directory.rglob("*") if path.is_file()):
        text = file.read_text()
        file.unlink()
        try:
            statistics.read(v1_paths(directory))
        except Error as error:
            assert error.message == f"unable to get container cgroup stats: {file}: no such file or directory"
        file.write_text("gibberish\n")
        with pytest.raises(Error) as caught:
            statistics.read(v1_paths(directory))
        assert caught.value.message.startswith(f"unable to get container cgroup stats: unable to parse {file}: ")
        file.write_text(text)


def test_an_older_kernel(kept: Callable[[str], Path]) -> None:
    """Without accounting of swap, usage_all, and with BFQ's own numbers."""
    directory = kept("v1")
    for file in (*directory.glob("memory/memory.memsw.*"), directory / "cpuacct/cpuacct.usage_all"):
        file.unlink()
    (directory / "memory/memory.kmem.limit_in_bytes").unlink()
    (directory / "blkio/blkio.bfq.io_serviced_recursive").write_text("8:0 Read 3\nTotal 3\n")
    (directory / "blkio/blkio.bfq.io_service_bytes_recursive").write_text("8:0 Read 12288\nTotal 12288\n")
    found = statistics.read(v1_paths(directory))
    assert "swap" not in found["memory"]
    assert found["memory"]["kernel"]["limit"] == 0
    assert "percpu_user" not in found["cpu"]["usage"]
    assert found["blkio"] == {
        "ioServiceBytesRecursive": [{"major": 8, "op": "Read", "value": 12288}],
        "ioServicedRecursive": [{"major": 8, "op": "Read", "value": 3}],
    }


def test_huge_pages_of_v1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reserved pages where the kernel counts them."""
    from pyoci.cgroups.statistics import v1

    monkeypatch.setattr(v1, "huge_page_sizes", lambda: ["2MB", "1GB"])
    for name, number in (("2MB", 1), ("2MB.rsvd", 2), ("1GB", 3)):
        for place, file in enumerate(("usage_in_bytes", "max_usage_in_bytes", "failcnt")):
            (tmp_path / f"hugetlb.{name}.{file}").write_text(f"{10 * number + place}\n")
    assert statistics.read({"hugetlb": str(tmp_path)})["hugetlb"] == {
        "1GB": {"usage": 30, "max": 31, "failcnt": 32},
        "2MB": {"usage": 20, "max": 21, "failcnt": 22},
    }


def test_a_kernel_without_reserved_huge_pages_and_without_swap(
    kept: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(v2, "huge_page_sizes", lambda: ["2MB"])
    directory = kept("v2")
    for name in ("hugetlb.2MB.rsvd.current", "memory.swap.current", "memory.peak", "cpu.pressure", "pids.current"):
        (directory / name).unlink()
    (directory / "hugetlb.2MB.current").write_text("4194304\n")
    (directory / "cgroup.procs").write_text("1\n2\n3\n")
    found = statistics.read({"": str(directory)})
    assert found["hugetlb"] == {"2MB": {"usage": 4194304, "failcnt": 0}}
    assert found["memory"]["swap"] == {
        "limit": found["memory"]["usage"]["limit"],
        "usage": found["memory"]["usage"]["usage"],
        "failcnt": 0,
    }
    assert "max" not in found["memory"]["usage"]
    assert "psi" not in found["cpu"]
    assert found["pids"] == {"current": 3}


# -- the real kernel -------------------------------------------------------------------------------------------------


@pytest.fixture
def busy() -> Iterator[int]:
    """A process that never sleeps. What an idle one has used before it joined its cgroup is not counted there, and
    a usage of 0 is left out."""
    with subprocess.Popen(["sh", "-c", "while :; do :; done"]) as process:
        yield process.pid
        process.kill()


@pytest.mark.root
@pytest.mark.also_guest
def test_a_real_cgroup(planned: dict[str, str], busy: int) -> None:
    """What is counted of one process, its memory, the CPUs it may use."""
    manager.create(planned, Undo())
    processes.join(planned, busy)
    until(lambda: statistics.read(planned)["cpu"].get("usage", {}).get("total"), "it has used the CPU")
    found = statistics.read(planned)
    os.kill(busy, 9)
    removal.wait_empty(planned, 10)
    removal.remove(planned, 10)
    assert found["pids"] == {"current": 1}
    assert found["memory"]["usage"]["limit"] >= 2**62
    assert found["memory"]["raw"]
    if set(planned) == {""}:
        assert "usage" in found["cpu"]
        return
    cpus = os.sched_getaffinity(1)
    assert (len(found["cpu"]["usage"]["percpu"]) >= len(cpus), found["cpuset"]["mems"][:1]) == (True, (0,))


@pytest.mark.root
def test_v2_without_controllers(
    in_v2: Callable[[Callable[[dict[str, str]], None]], None], sleeper: Callable[[], int]
) -> None:
    """The CPU's time and the number of processes are known all the same."""
    pid = sleeper()

    def body(paths: dict[str, str]) -> None:
        manager.create(paths, Undo())
        processes.join(paths, pid)
        found = statistics.read(paths)
        os.kill(pid, 9)
        removal.wait_empty(paths, 10)
        removal.remove(paths, 10)
        assert found["pids"] == {"current": 1}
        assert found["memory"].keys() <= {"psi"}
        assert found["cpu"].keys() <= {"usage", "psi"}

    in_v2(body)


@pytest.mark.root
def test_a_threaded_cgroup(
    in_v2: Callable[[Callable[[dict[str, str]], None]], None], sleeper: Callable[[], int]
) -> None:
    """Its processes cannot be listed, so its threads are counted."""
    pid = sleeper()

    def body(paths: dict[str, str]) -> None:
        manager.create(paths, Undo())
        Path(paths[""], "cgroup.procs").write_text(str(pid))
        threaded = Path(paths[""], "threaded")
        threaded.mkdir()
        Path(threaded, "cgroup.type").write_text("threaded")
        Path(threaded, "cgroup.threads").write_text(str(pid))
        with pytest.raises(OSError, match="not supported"):
            Path(threaded, "cgroup.procs").read_text()
        found = statistics.read({"": str(threaded)})
        os.kill(pid, 9)
        removal.wait_empty(paths, 10)
        removal.remove(paths, 10)
        assert found["pids"] == {"current": 1}

    in_v2(body)


def test_pressure_that_the_kernel_does_not_count(kept: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Some kernels refuse to read it unless they were started with psi=1."""
    read = Directory.read

    def refuse(directory: Directory, name: str) -> bytes:
        if name.endswith(".pressure"):
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return read(directory, name)

    monkeypatch.setattr(Directory, "read", refuse)
    found = statistics.read({"": str(kept("v2"))})
    assert [name for name in ("cpu", "memory", "blkio") if "psi" in found[name]] == []
    assert found["cpu"]["throttling"]["periods"] == 793


@pytest.mark.root
def test_a_cgroup_that_is_gone(planned: dict[str, str]) -> None:
    """On v1 a missing cgroup counts nothing, as in runc; on v2 it is an error."""
    gone = {"": "/sys/fs/cgroup/gone"}
    if set(planned) != {""}:
        assert statistics.read(planned) == members(Statistics())
        gone = {"": planned[""]}
    with pytest.raises(Error) as caught:
        statistics.read(gone)
    assert caught.value.message == f"unable to get container cgroup stats: {gone['']}: no such file or directory"


EXPECTED_V1: dict[str, Any] = {
    "cpu": {
        "usage": {
            "total": 192980073,
            "percpu": (144252955, 48727118),
            "percpu_kernel": (60000000, 20000000),
            "percpu_user": (100000000, 24000000),
            "kernel": 70000000,
            "user": 110000000,
        },
        "throttling": {"periods": 21, "throttledPeriods": 18, "throttledTime": 1316944279},
    },
    "cpuset": {
        "cpus": (0, 1),
        "cpu_exclusive": 0,
        "mems": (0,),
        "mem_hardwall": 0,
        "mem_exclusive": 0,
        "memory_migrate": 0,
        "memory_spread_page": 0,
        "memory_spread_slab": 0,
        "memory_pressure": 0,
        "sched_load_balance": 1,
        "sched_relax_domain_level": -1,
    },
    "memory": {
        "cache": 8192,
        "usage": {"limit": 20971520, "usage": 32768, "max": 20971520, "failcnt": 101},
        "swap": {"limit": 9223372036854771712, "usage": 32768, "max": 21233664, "failcnt": 0},
        "kernel": {"limit": 9223372036854771712, "usage": 24576, "max": 1196032, "failcnt": 0},
        "kernelTCP": {"limit": 9223372036854771712, "failcnt": 0},
    },
    "pids": {"limit": 50},
    "blkio": {
        "ioServiceBytesRecursive": [
            {"major": 254, "op": "Read", "value": 200704},
            {"major": 254, "op": "Write", "value": 4194304},
            {"major": 254, "op": "Sync", "value": 4395008},
            {"major": 254, "op": "Async"},
            {"major": 254, "op": "Discard"},
            {"major": 254, "op": "Total", "value": 4395008},
        ],
        "ioServicedRecursive": [
            {"major": 254, "op": "Read", "value": 29},
            {"major": 254, "op": "Write", "value": 8},
            {"major": 254, "op": "Sync", "value": 37},
            {"major": 254, "op": "Async"},
            {"major": 254, "op": "Discard"},
            {"major": 254, "op": "Total", "value": 37},
        ],
    },
    "hugetlb": {},
    "intel_rdt": {},
    "network_interfaces": None,
}
EXPECTED_V2: dict[str, Any] = {
    "cpu": {
        "usage": {"total": 7881658000, "kernel": 5516333000, "user": 2365324000},
        "throttling": {"periods": 793, "throttledPeriods": 786, "throttledTime": 78678541000},
        "psi": {
            "some": {"avg10": 70.87, "avg60": 58.24, "avg300": 19.18, "total": 64594471},
            "full": {"avg10": 70.86, "avg60": 58.13, "avg300": 19.12, "total": 64382635},
        },
    },
    "cpuset": {
        "cpu_exclusive": 0,
        "mem_hardwall": 0,
        "mem_exclusive": 0,
        "memory_migrate": 0,
        "memory_spread_page": 0,
        "memory_spread_slab": 0,
        "memory_pressure": 0,
        "sched_load_balance": 0,
        "sched_relax_domain_level": 0,
    },
    "memory": {
        "cache": 221184,
        "usage": {"limit": 20971520, "usage": 737280, "max": 20971520, "failcnt": 0},
        "swap": {"limit": 20971520, "usage": 737280, "failcnt": 0},
        "psi": {
            "some": {"avg10": 1.58, "avg60": 1.96, "avg300": 0.6, "total": 2126726},
            "full": {"avg10": 1.58, "avg60": 1.96, "avg300": 0.6, "total": 2126726},
        },
    },
    "pids": {"current": 1, "limit": 50},
    "blkio": {
        "ioServiceBytesRecursive": [
            {"major": 254, "op": "Read", "value": 35643392},
            {"major": 254, "op": "Write", "value": 8433664},
        ],
        "ioServicedRecursive": [
            {"major": 254, "op": "Read", "value": 1280},
            {"major": 254, "op": "Write", "value": 21},
        ],
        "psi": {
            "some": {"avg10": 0.02, "avg60": 0.26, "avg300": 0.1, "total": 561263},
            "full": {"avg10": 0.02, "avg60": 0.26, "avg300": 0.1, "total": 549929},
        },
    },
    "hugetlb": {"2MB": {"failcnt": 0}},
    "intel_rdt": {},
    "network_interfaces": None,
}
