"""Properties of a unit on v1, where systemd empties the list of devices with every change: frozen meanwhile.

The cgroups are the kernel's, the connection is one that only looks; tests/systemd/test_legacy.py has a real systemd.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyoci.cgroups import freezer, manager, processes, removal
from pyoci.cgroups.systemd import update
from pyoci.cgroups.systemd.bus import Refused
from pyoci.cgroups.systemd.names import Unit
from pyoci.cgroups.systemd.properties import Wanted
from pyoci.config.resources import DeviceRule
from pyoci.errors import Error, StepError
from pyoci.undo import Undo

pytestmark = pytest.mark.root

UNIT = Unit(name="a.scope", slice="s.slice", user=False, buses=())
PROPERTIES = (Wanted(name="TasksMax", value=("t", 5)),)


@pytest.fixture
def cgroup(v1: dict[str, str], sleeper: Callable[[], int]) -> dict[str, str]:
    paths = {"freezer": v1["freezer"]}
    manager.create(paths, Undo())
    processes.join(paths, sleeper())
    return paths


@pytest.fixture
def frozen(cgroup: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the cgroup was frozen at each call."""
    seen: list[bool] = []

    class Looking:
        refuses = False

        def __init__(self, _unit: Unit) -> None:
            pass

        def __enter__(self) -> Looking:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def call(self, method: str, _signature: str, *body: Any) -> None:
            assert (method, body[0]) == ("SetUnitProperties", "a.scope")
            seen.append(processes.is_frozen(cgroup))
            if self.refuses:
                raise Refused(method, "org.freedesktop.DBus.Error.InvalidArgs", "no")

    monkeypatch.setattr(update, "Bus", Looking)
    return seen


def end(cgroup: dict[str, str]) -> None:
    processes.kill(cgroup)
    assert removal.wait_empty(cgroup, 10)
    removal.remove(cgroup)


@pytest.mark.parametrize("refuses", [False, True])
def test_frozen_for_the_call_alone(
    cgroup: dict[str, str], frozen: list[bool], refuses: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyoci.cgroups.systemd.update.Bus.refuses", refuses)
    try:
        update.set_properties(UNIT, PROPERTIES, cgroup, ())
        assert not refuses
    except StepError as error:
        assert refuses and error.message == "unable to set unit properties: no"
    assert frozen == [True]
    assert not processes.is_frozen(cgroup)
    end(cgroup)


def test_a_paused_container_stays_paused(cgroup: dict[str, str], frozen: list[bool]) -> None:
    freezer.freeze(cgroup)
    update.set_properties(UNIT, PROPERTIES, cgroup, ())
    assert frozen == [True] and processes.is_frozen(cgroup)
    end(cgroup)


def test_device_rules_are_written_after_systemd(v1: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that systemd has no words for are not lost with its own."""
    devices = {"devices": v1["devices"]}
    manager.create(devices, Undo())
    rules = (
        DeviceRule(allow=False, type="a", major=-1, minor=-1, access="rwm", pointer="/0"),
        DeviceRule(allow=True, type="c", major=-1, minor=229, access="rw", pointer="/1"),
    )

    class Emptying:
        def __init__(self, _unit: Unit) -> None:
            pass

        def __enter__(self) -> Emptying:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def call(self, *_: Any) -> None:
            (Path(devices["devices"]) / "devices.deny").write_text("a")

    monkeypatch.setattr(update, "Bus", Emptying)
    update.set_properties(UNIT, PROPERTIES, devices, rules)
    assert (Path(devices["devices"]) / "devices.list").read_text() == "c *:229 rw\n"
    removal.remove(devices)


def test_one_that_does_not_freeze_is_changed_all_the_same(
    cgroup: dict[str, str], frozen: list[bool], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(_paths: dict[str, str]) -> None:
        raise Error("unable to freeze")

    monkeypatch.setattr(freezer, "freeze", fail)
    update.set_properties(UNIT, PROPERTIES, cgroup, ())
    assert frozen == [False]
    assert "unable to freeze" in capfd.readouterr().err
    end(cgroup)
