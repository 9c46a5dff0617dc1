"""What `events` says of a group of resctrl. No machine of ours has the hardware: files stand for the kernel's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pyoci.container import events
from pyoci.container.state import Container
from pyoci.errors import Error
from pyoci.kernel import resctrl
from pyoci.rdt import statistics

FILES = {
    "info/L3/cbm_mask": "fffff\n",
    "info/L3/min_cbm_bits": "1\n",
    "info/L3/num_closids": "16\n",
    "info/MB/bandwidth_gran": "10\n",
    "info/MB/delay_linear": "1\n",
    "info/MB/min_bandwidth": "10\n",
    "info/MB/num_closids": "8\n",
    "info/L3_MON/mon_features": "llc_occupancy\nmbm_total_bytes\nmbm_local_bytes\n",
    "schemata": "    L3:0=fffff;1=fffff\n    MB:0=100;1=100\n",
    "a/schemata": "    MB:0=20;1=70\n    L3:0=ff;1=f\n",
    "a/mon_data/mon_L3_00/llc_occupancy": "4096\n",
    "a/mon_data/mon_L3_00/mbm_total_bytes": "30\n",
    "a/mon_data/mon_L3_00/mbm_local_bytes": "20\n",
    "a/mon_data/mon_L3_01/llc_occupancy": "Unavailable\n",
    "a/mon_data/mon_L3_01/mbm_total_bytes": "3\n",
    "a/mon_data/mon_L3_01/mbm_local_bytes": "2\n",
}
ALLOCATED = {
    "l3_cache_info": {"cbm_mask": "fffff", "min_cbm_bits": 1, "num_closids": 16},
    "l3_cache_schema_root": "L3:0=fffff;1=fffff",
    "l3_cache_schema": "L3:0=ff;1=f",
    "mem_bw_info": {"bandwidth_gran": 10, "delay_linear": 1, "min_bandwidth": 10, "num_closids": 8},
    "mem_bw_schema_root": "MB:0=100;1=100",
    "mem_bw_schema": "MB:0=20;1=70",
}
COUNTED = {
    "mbm_stats": [
        {"mbm_total_bytes": 30, "mbm_local_bytes": 20},
        {"mbm_total_bytes": 3, "mbm_local_bytes": 2},
    ],
    "cmt_stats": [{"llc_occupancy": 4096}, {"llc_occupancy": 0}],
}


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def read(mount: Path, **more: Any) -> dict[str, Any]:
    return statistics.statistics(str(mount), f"{mount}/a", **more)


def test_all(mount: Path) -> None:
    found = read(mount)
    assert found == {**ALLOCATED, **COUNTED}
    assert list(found) == [*ALLOCATED, *COUNTED]


def test_a_group_of_its_own_counts(mount: Path) -> None:
    (mount / "a/mon_groups").mkdir()
    (mount / "a/mon_data").rename(mount / "a/mon_groups/mon_data")
    assert read(mount, monitor=f"{mount}/a/mon_groups") == {**ALLOCATED, **COUNTED}


def test_what_the_hardware_has_not_is_left_out(mount: Path) -> None:
    (mount / "info/MB").rename(mount / "MB")
    (mount / "info/L3_MON/mon_features").write_text("llc_occupancy\n")
    found = read(mount)
    assert set(found) == {"l3_cache_info", "l3_cache_schema_root", "l3_cache_schema", "cmt_stats"}
    (mount / "info/L3_MON").rename(mount / "L3_MON")
    (mount / "info/L3").rename(mount / "L3")
    assert read(mount) == {}


def test_a_group_that_is_gone(mount: Path) -> None:
    (mount / "a").rename(mount / "b")
    with pytest.raises(Error, match=r"^unable to get container Intel RDT stats: .*a/schemata: no such file"):
        read(mount)


def test_events_have_it(mount: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    container = Container(
        root="/r",
        id="a",
        bundle="/b",
        rootfs="/b/rootfs",
        created="",
        annotations={},
        cgroups={},
        rdt_path=f"{mount}/a",
    )
    monkeypatch.setattr(resctrl, "find", lambda: str(mount))
    assert events.usage(container)["data"]["intel_rdt"] == {**ALLOCATED, **COUNTED}
    monkeypatch.setattr(resctrl, "find", lambda: "")
    assert events.usage(container)["data"]["intel_rdt"] == {}
