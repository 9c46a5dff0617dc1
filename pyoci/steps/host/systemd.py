"""The container's cgroup made by systemd, around a process that waits (docs/systemd.md)."""

from __future__ import annotations

from pyoci.cgroups import manager, processes
from pyoci.cgroups.hierarchies import Layout
from pyoci.cgroups.systemd.names import Unit
from pyoci.cgroups.systemd.properties import Wanted
from pyoci.log import log
from pyoci.steps.host.context import HostContext, HostStep


class ReachSystemd(HostStep):
    """Connect, before there is anything that would have to be undone."""

    pointer: str = "/linux/cgroupsPath"
    unit: Unit

    def describe(self) -> str:
        return f"connect to {'the systemd of the user' if self.unit.user else 'systemd'}"

    def execute(self, context: HostContext) -> None:
        from pyoci.cgroups.systemd.bus import Bus  # and with it jeepney, which printing a plan can do without

        context.bus = Bus(self.unit, context.interrupts)
        context.undo.add(context.bus.close)


class LookAtCgroup(HostStep):
    """Refuse a unit whose cgroup is in use, as the other driver does: systemd would wait for a frozen one."""

    pointer: str = "/linux/cgroupsPath"
    paths: dict[str, str]

    def describe(self) -> str:
        return "see that nobody uses " + ", ".join(dict.fromkeys(self.paths.values()))

    def execute(self, context: HostContext) -> None:
        manager.look(self.paths, context.shared)


class StartUnit(HostStep):
    """Start the unit with the process in it and with all properties at once; then ask the kernel where it is."""

    pointer: str = "/linux/cgroupsPath"
    unit: Unit
    properties: tuple[Wanted, ...]
    layout: Layout
    warning: str = ""

    def describe(self) -> str:
        return f"let systemd start {self.unit.name}: " + ", ".join(map(str, self.properties))

    def execute(self, context: HostContext) -> None:
        from pyoci.cgroups.systemd import units
        from pyoci.cgroups.systemd.properties import known

        if self.warning:
            log.warning(self.warning)
        bus = context.bus
        assert bus is not None
        version = bus.version() if any(one.since for one in self.properties) else 0
        units.start(bus, self.unit, context.pid, known(self.properties, version), context.undo)
        context.cgroups = units.located(self.layout, self.unit, context.pid)
        bus.close()
        context.bus = None


class CompleteCgroup(HostStep):
    """What systemd does not do: controllers that it does not know, hierarchies of v1 that it leaves alone."""

    pointer: str = "/linux/cgroupsPath"
    domain_limits: bool = False  # it will have limits that a threaded v2 cgroup cannot have

    def describe(self) -> str:
        return "complete the cgroup that systemd has made"

    def execute(self, context: HostContext) -> None:
        manager.adopt(context.cgroups, context.pid, context.undo, domain_limits=self.domain_limits)
        context.cgroups_new = True  # the unit is: systemd has no two of one name
        context.undo.add(processes.kill, context.cgroups)


class DelegateCgroup(HostStep):
    """Give the cgroup to the user of the container's process, which will see it writable."""

    pointer: str = "/linux/cgroupsPath"
    uid: int

    def describe(self) -> str:
        return f"give the cgroup to uid {self.uid}"

    def execute(self, context: HostContext) -> None:
        from pyoci.cgroups.systemd import units

        units.delegate(context.cgroups[""], self.uid)
