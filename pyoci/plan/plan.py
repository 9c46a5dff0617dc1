"""A plan: the steps of create, or of exec, by phase. Pure.

The decision: docs/decisions/plan-before-deed.md.
"""

from __future__ import annotations

from pyoci.record import Record
from pyoci.steps.host.context import HostStep
from pyoci.steps.init import sync
from pyoci.steps.init.context import InitStep
from pyoci.steps.step import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Plan(Record):
    """The steps by phase (plan/create.py), and how the process is cloned."""

    two_stage: bool
    clone_flags: int  # CLONE_NEW* of the container's process
    private_pid: bool  # it is the first process of a pid namespace of its own
    prepare: tuple[HostStep, ...]
    first: tuple[InitStep, ...]
    maps: tuple[HostStep, ...]
    admit: tuple[HostStep, ...]
    inside: tuple[InitStep, ...]
    mounted: tuple[HostStep, ...]
    finish: tuple[InitStep, ...]
    launch: tuple[InitStep, ...]
    preserved: int  # descriptors 0 to preserved - 1 are the program's
    argv: tuple[str, ...]
    env: tuple[str, ...]
    helper: tuple[InitStep, ...] = ()  # of a process that makes the container's and shares its descriptors

    def steps(self) -> Iterator[tuple[str, Step]]:
        """Every step in the order of execution, with the process that executes it."""
        asked = [number for number, step in enumerate(self.first) if step == sync.Send(kind="unshared")]
        waits = asked[0] + 1 if asked else 0  # the steps of stage 1 while nobody has written its maps
        kinds = [type(step).__name__ for step in self.launch]
        armed = kinds.index("ArmListener") + 1 if self.helper else len(kinds)
        phases: tuple[tuple[str, tuple[Step, ...]], ...] = (
            ("host", self.prepare),
            ("stage 1", self.first[:waits]),
            ("host", self.maps if self.two_stage else ()),
            ("stage 1", self.first[waits:]),
            ("host", self.admit if self.two_stage else self.maps + self.admit),
            ("container", self.inside),
            ("host", self.mounted),
            ("container", self.finish),
            ("container", self.launch[:armed]),
            ("helper", self.helper),
            ("container", self.launch[armed:]),
        )
        for side, steps in phases:
            for step in steps:
                yield side, step
