"""The order of steps: the table of plan/order.py held against many plans."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings

from pyoci.plan import create
from pyoci.plan.order import BEFORE, JOIN, ONCE, labels
from pyoci.plan.plan import Plan
from pyoci.steps.host.idmap import WriteIdMappings
from pyoci.steps.host.sources import OpenSource
from pyoci.steps.step import Step
from tests.plan.configs import HYBRID, NESTED_ROOT, REAL, ROOT, USER, V2, Made, around, plans, read


def violations(made: Plan, unprivileged: bool = False) -> Iterator[str]:
    # One that joins a user namespace has no business with the files of its root.
    unprivileged = unprivileged and any(isinstance(step, WriteIdMappings) for step in made.maps)
    every = [labels(step, unprivileged, side) for side, step in made.steps()]
    for earlier, later, why in BEFORE:
        first = {earlier} if isinstance(earlier, str) else set(earlier)
        then = {later} if isinstance(later, str) else set(later)
        found = [index for index, names in enumerate(every) if names & first] or [0]
        last = found[0] if earlier in ONCE else found[-1]
        for index, names in enumerate(every[:last]):
            if names & then and not names & first:
                yield f"{sorted(names & then)[0]} (step {index}) before {earlier} (step {last}): {why}"


@settings(max_examples=150, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(plans())
def test_the_order_holds_for_any_config(made: Made) -> None:
    assert list(violations(made[1], made[2].host.euid != 0)) == []


@pytest.mark.parametrize("name", sorted(REAL))
@pytest.mark.parametrize("layout", [V2, HYBRID], ids=["v2", "hybrid"])
@pytest.mark.parametrize("host", [ROOT, NESTED_ROOT, USER], ids=["root", "nested", "user"])
def test_the_order_holds_for_real_configs(name: str, layout: object, host: object) -> None:
    made = create.make(read(REAL[name]), around(REAL[name], layout=layout, host=host))
    assert list(violations(made, host is USER)) == []


def test_every_row_speaks_of_steps_that_exist() -> None:
    """A row whose names no plan contains would hold for ever; hypothesis finds both sides of each in time."""
    seen: set[str] = set()

    @settings(max_examples=300, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(plans())
    def collect(made: Made) -> None:
        for side, step in made[1].steps():
            seen.update(labels(step, True, side) | labels(step, False, side))

    collect()
    mentioned = {name for row in BEFORE for side in row[:2] for name in ((side,) if isinstance(side, str) else side)}
    assert mentioned - seen == set()


@settings(max_examples=100, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(plans())
def test_every_process_hides(made: Made) -> None:
    """Each of the two, if there are two, and before it joins anything as root."""
    for steps in (made[1].first, made[1].inside):
        if steps:
            names = [type(step).__name__ for step in steps]
            assert "MakeUndumpable" in names
            if made[2].host.euid == 0:
                assert [name for name in names[: names.index("MakeUndumpable")] if name in JOIN] == []


@settings(max_examples=100, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(plans())
def test_the_end_of_a_plan(made: Made) -> None:
    """CloseDescriptors is last before `ready`; after SetRlimits comes nothing but ExecuteProgram; that is the last."""
    raw, found, _ = made
    names = [type(step).__name__ for _, step in found.steps()]
    ready = next(number for number, (_, step) in enumerate(found.steps()) if getattr(step, "kind", "") == "ready")
    assert names[ready - 1] == "CloseDescriptors"
    if raw.get("process") is None:
        assert names[-1] == "WaitForStart"
        return
    assert names[-1] == "ExecuteProgram"
    if "SetRlimits" in names:
        assert names[names.index("SetRlimits") + 1 :] == ["ExecuteProgram"]


@settings(max_examples=100, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(plans())
def test_every_message_is_expected_by_the_other_side(made: Made) -> None:
    """What the container's side sends and awaits, in the order in which container/process/handshake.py answers."""
    found = made[1]

    def talk(steps: tuple[Step, ...]) -> list[str]:
        return [
            f"{type(step).__name__} {getattr(step, 'kind', '')}"
            for step in steps
            if type(step).__name__ in ("Send", "Await")
        ]

    hooks = ["Send mounted", "Await hooked"] if found.mounted else []
    assert talk(found.inside) == ["Await go", *hooks]
    assert talk(found.finish) == ["Send ready", "Await created"]
    assert talk(found.launch) == []
    assert talk(found.first) in ([], ["Send unshared", "Await go"])
    if not found.two_stage:
        assert found.first == ()
    else:
        assert bool(found.maps) == bool(talk(found.first)), "stage 1 waits exactly when there is something to write"


@settings(max_examples=100, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(plans())
def test_mappings_are_ready_before_the_source_they_are_for(made: Made) -> None:
    """The copy of the source is id-mapped while it is detached."""
    every = [step for _, step in made[1].steps()]
    for number, step in enumerate(every):
        if isinstance(step, OpenSource) and step.mount.id_map:
            assert f"{step.mount.pointer}/uidMappings" in [one.pointer for one in every[:number]]


def test_the_table_finds_a_wrong_order() -> None:
    good = create.make(read(REAL["runc-spec.json"]), around(REAL["runc-spec.json"]))
    names = [type(step).__name__ for step in good.finish]
    swapped = list(good.finish)
    one, other = names.index("SetUser"), names.index("SetCapabilities")
    swapped[one], swapped[other] = swapped[other], swapped[one]
    bad = good.replace(finish=tuple(swapped))
    assert any("SetCapabilities" in line for line in violations(bad))
