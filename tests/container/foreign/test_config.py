"""runc's configuration in the words of config.json, and an update's limits in runc's. Pure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci import jsonfile
from pyoci.config import read as read_config
from pyoci.container import foreign_config, saved_config
from pyoci.container.records import Damage, Members
from tests.container.kept_files import STATES, changed, filled, pointers

RUNCS = sorted((STATES / "runc").glob("*.json"))
of_each = pytest.mark.parametrize("file", RUNCS, ids=lambda file: file.stem)


def read(file: Path) -> dict[str, Any]:
    """As jsonfile gives it: without null."""

    value: dict[str, Any] = jsonfile.parse(json.dumps(filled(file, 7, 7, {})).encode(), "state.json")
    return value


@of_each
def test_what_the_process_has_of_its_container(file: Path) -> None:
    kept = foreign_config.kept(read(file))
    process, linux = kept["config"]["process"], kept["config"]["linux"]
    assert process["oomScoreAdj"] == 55 and process["user"]["umask"] == 0o17
    assert process["capabilities"]["bounding"] == ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
    seccomp = linux["seccomp"]
    assert (seccomp["defaultAction"], seccomp["architectures"]) == ("SCMP_ACT_ALLOW", ["SCMP_ARCH_X86_64"])
    first, second = seccomp["syscalls"]
    assert first == {"names": ["acct"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "args": []}
    assert second["args"] == [{"index": 0, "value": 8, "valueTwo": 8, "op": "SCMP_CMP_MASKED_EQ"}]
    assert kept["no_new_keyring"] is False
    resources = kept["resources"]
    assert resources["memory"] == {"limit": 64 << 20, "reservation": 32 << 20}
    assert resources["cpu"] == {"shares": 512, "quota": 20000, "period": 50000, "cpus": "0-1"}
    assert resources["pids"] == {"limit": 20}
    assert resources["devices"][0] == {"allow": False, "type": "a", "access": "rwm"}
    if not file.stem.startswith("1.1"):
        assert process["scheduler"] == {"policy": "SCHED_BATCH", "nice": 3}
        assert process["ioPriority"] == {"class": "IOPRIO_CLASS_IDLE", "priority": 0}
        assert process["execCPUAffinity"] == {"initial": "0", "final": "0"}
        assert linux["personality"] == {"domain": "LINUX32"}


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "cpus": st.sampled_from(["0", "0-1"]),
    "mems": st.just("0"),
    "idle": st.just(1),
    "checkBeforeUpdate": st.just(True),
    "weightDevice": st.just([{"major": 8, "minor": 0, "weight": 100, "leafWeight": 0}]),
    **dict.fromkeys(
        ("throttleReadBpsDevice", "throttleWriteBpsDevice", "throttleReadIOPSDevice", "throttleWriteIOPSDevice"),
        st.just([{"major": 8, "minor": 0, "rate": 1000}]),
    ),
}


@st.composite
def limits(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for controller, key in draw(st.sets(st.sampled_from(sorted(foreign_config._CHANGING.values())))):
        found.setdefault(controller, {})[key] = draw(VALUES.get(key, st.integers(min_value=10, max_value=1000)))
    if draw(st.booleans()):
        found["unified"] = {"memory.high": "1"}
    return found


@given(new=limits(), old=limits(), file=st.sampled_from(RUNCS))
def test_limits_come_back_as_they_were_stored(new: dict[str, Any], old: dict[str, Any], file: Path) -> None:
    """Nothing of what stood there before is left, nothing else of the file has changed."""
    raw = read(file)
    stored = foreign_config.changed(foreign_config.changed(raw, old), new)
    back = foreign_config.kept(stored)["resources"]
    before = foreign_config.kept(raw)["resources"]
    assert {key: one for key, one in back.items() if key != "devices"} == new
    assert back["devices"] == before["devices"]
    group, own = (value["config"].pop("cgroups") for value in (stored, raw))
    assert stored == raw
    left = {"unified", "cpu_weight", *foreign_config._CHANGING}
    assert {key: one for key, one in group.items() if key not in left} == {
        key: one for key, one in own.items() if key not in left
    }


@given(st.sets(st.integers(min_value=0, max_value=1000)))
def test_sets_of_processors(wanted: set[int]) -> None:
    words = [sum(1 << bit for bit in range(64) if 64 * place + bit in wanted) for place in range(16)]
    text = foreign_config._list(Members({"Initial": words}), "Initial")
    assert {int(part) for part in text.split(",") if part} == wanted


def test_memory_policy() -> None:
    raw = {"config": {"memory_policy": {"mode": 2, "nodes": [3], "flags": (1 << 15) | (1 << 14)}, "cgroups": {}}}
    assert foreign_config.kept(raw)["config"]["linux"]["memoryPolicy"] == {
        "mode": "MPOL_BIND",
        "nodes": "0,1",
        "flags": ["MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"],
    }


@of_each
def test_what_is_no_configuration_is_damage(file: Path) -> None:
    """Whatever is changed: Damage, or an object that the schema takes and exec can read."""
    raw = read(file)["config"]
    damaged = 0
    for way in pointers(raw):
        if any(type(part) is int and part > 1 for part in way):
            continue
        for new in (..., True, -1, 2**40, "x", [], ["x"], {}, {"x": 1}):
            try:
                kept = saved_config._checked(foreign_config.kept({"config": changed(raw, way, new)}))
            except Damage:
                damaged += 1
                continue
            assert read_config(kept["config"]).process is not None
    assert damaged > 100
