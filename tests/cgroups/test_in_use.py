"""Whether a cgroup is somebody's already: processes, freezing here and above, another one of the same name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pyoci.cgroups import manager, processes, removal
from pyoci.errors import StepError
from pyoci.undo import Undo

pytestmark = [pytest.mark.root, pytest.mark.also_guest]

InV2 = Callable[[Callable[[dict[str, str]], None]], None]


def below(paths: dict[str, str], name: str) -> dict[str, str]:
    return {controller: f"{path}/{name}" for controller, path in paths.items()}


def refused(paths: dict[str, str], text: str) -> StepError:
    """The same of both drivers: of the one that makes the cgroup, and of the one that lets systemd make it."""
    with pytest.raises(StepError) as looked:
        manager.look(paths)
    with pytest.raises(StepError) as made, Undo() as undo:
        manager.create(paths, undo)
    assert str(looked.value) == str(made.value) == text
    assert looked.value.hint == made.value.hint
    return looked.value


def test_nobody_there(planned: dict[str, str]) -> None:
    manager.look(planned)
    assert manager.create(planned, Undo())
    manager.look(planned)
    assert not manager.create(planned, Undo())
    removal.remove(planned)


def test_processes(planned: dict[str, str], sleeper: Callable[[], int]) -> None:
    manager.create(planned, Undo())
    processes.join(planned, sleeper())
    refused(planned, "container's cgroup is not empty: 1 process(es) found")
    processes.kill(planned)
    assert removal.wait_empty(planned, 5)
    removal.remove(planned)


def frozen(paths: dict[str, str]) -> None:
    """Frozen itself, and from above, be it there or not."""
    manager.create(paths, Undo())
    assert processes.frozen_at(paths) == processes.frozen_at(below(paths, "x/y")) == ""
    processes._freeze(paths, frozen=True)
    place = processes.freezer(paths)
    error = refused(paths, "container's cgroup unexpectedly frozen")
    assert error.hint == f"{place} is frozen: thaw it, or take another one"
    inner = below(paths, "x/y")
    for _ in range(2):
        assert processes.frozen_at(inner) == place
        error = refused(inner, "container's cgroup unexpectedly frozen")
        assert error.hint == f"{place} is frozen, and with it all that is below: thaw it, or take another one"
        for path in inner.values():
            Path(path).mkdir(parents=True, exist_ok=True)
    processes.thaw(paths)
    manager.look(inner)
    removal.remove(paths)


def test_frozen(planned: dict[str, str], in_v2: InV2) -> None:
    frozen(planned)
    in_v2(frozen)


def test_asked_of_one_that_is_there_only(planned: dict[str, str]) -> None:
    asked: list[str] = []
    manager.look(planned, lambda: asked.append("look"))
    manager.create(planned, Undo(), shared=lambda: asked.append("create"))
    assert asked == []
    manager.look(planned, lambda: asked.append("look"))
    manager.create(planned, Undo(), shared=lambda: asked.append("create"))
    assert asked == ["look", "create"]
    removal.remove(planned)


def test_what_is_asked_may_refuse_it(planned: dict[str, str]) -> None:
    """One that was there stays."""
    reference = processes.reference(planned)
    os.makedirs(reference)

    def refuse() -> None:
        raise StepError("taken")

    with pytest.raises(StepError, match=r"^taken$"), Undo() as undo:
        manager.create(planned, undo, shared=refuse)
    assert [path for path in planned.values() if os.path.isdir(path)] == [reference]
    os.rmdir(reference)


def test_another_one_of_the_same_name(planned: dict[str, str]) -> None:
    manager.create(planned, Undo())
    first = processes.identities(planned)
    assert set(first) == set(planned) and processes.own(planned, first) == planned and processes.exists(planned)
    removal.remove(planned)
    assert processes.identities(planned) == {} and not processes.exists(planned)
    assert processes.own(planned, first) == planned  # gone, and nobody has its place
    manager.create(planned, Undo())
    assert not set(processes.identities(planned).values()) & set(first.values())
    assert processes.own(planned, first) == {}
    assert processes.own(planned, {}) == planned  # nobody knows
    removal.remove(planned)


def test_killed_although_frozen_below(planned: dict[str, str], v1: dict[str, str], sleeper: Callable[[], int]) -> None:
    """With and without cgroup.kill."""
    for paths in (planned, v1):
        inner = below(paths, "x/y")
        manager.create(inner, Undo())
        processes.join(inner, sleeper())
        processes._freeze(inner, frozen=True)
        processes.kill(paths)
        assert removal.wait_empty(paths, 5)
        removal.remove(paths)


def test_killed_although_frozen_below_on_v2(in_v2: InV2, sleeper: Callable[[], int]) -> None:
    pid = sleeper()

    def body(paths: dict[str, str]) -> None:
        inner = below(paths, "x/y")
        manager.create(inner, Undo())
        processes.join(inner, pid)
        processes._freeze(inner, frozen=True)
        processes.kill(paths)
        assert removal.wait_empty(paths, 5)
        removal.remove(paths)

    in_v2(body)
