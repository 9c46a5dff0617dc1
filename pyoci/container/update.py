"""update: change the limits of a container that is not stopped."""

from __future__ import annotations

from pyoci import jsonfile
from pyoci.cgroups import limits, manager
from pyoci.cgroups.device_rules import container_rules
from pyoci.cgroups.saved import Saved
from pyoci.config import rules_resources
from pyoci.config import update as rules
from pyoci.config.linux import read_device
from pyoci.config.node import Node
from pyoci.config.resources import Resources, read_resources
from pyoci.container import state
from pyoci.container.lock import Change
from pyoci.container.state import Container
from pyoci.errors import Error, StateError
from pyoci.kernel import signals
from pyoci.kernel.signals import Interrupted, Interrupts
from pyoci.log import log
from pyoci.undo import Undo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyoci.config.resources import DeviceRule

_POINTER = "/linux/resources"


def update(root: str, id: str, new: dict[str, Any], schemata: tuple[str, ...] = ()) -> None:
    """Carry out `new`, an object like linux.resources that has passed the schema (config.update says what it means).

    `schemata`: lines for its group in resctrl.

    When a value is refused, or a signal comes, everything that was written before is put back, and nothing is kept of
    the update. Raises StateError, ConfigError, StepError; ends by the signal.
    """
    with Change(root, id) as directory:
        container, kept = state.load_kept(root, id)
        if state.status(container) in ("stopped", "creating"):
            raise StateError("container not running")
        if container.unit is not None:
            raise Error("update with the systemd driver is not supported yet", pointer="--systemd-cgroup")
        try:
            _update(container, kept, new, schemata, directory)
        except Interrupted as interrupted:
            signals.die(interrupted)
            raise


def _update(
    container: Container, kept: dict[str, Any], new: dict[str, Any], schemata: tuple[str, ...], directory: int
) -> None:
    old = kept.get("resources") or {}
    _warn(container, old, new)
    wanted = rules.merged(old, new)
    devices = "devices" in new and new["devices"] != old.get("devices")
    if devices:
        wanted["devices"] = new["devices"]
    resources = _read(wanted)
    # What cannot be updated is not written either: it may be somebody else's value by now.
    changed = Resources(**{**resources.__dict__, "hugepage_limits": (), "network": None, "rdma": ()})
    writes = limits.plan(changed, limits.is_unified(container.cgroups))
    interrupts = Interrupts(signals.ENDING)
    interrupts.install()
    with Undo() as undo:
        undo.add(Saved(container.cgroups, writes).put_back)
        limits.apply(container.cgroups, writes)
        if devices:
            undo.add(manager.apply_devices, container.cgroups, _device_rules(_read(old), kept), Undo())
            manager.apply_devices(container.cgroups, _device_rules(resources, kept), Undo())
        if schemata:
            from pyoci.steps import rdt

            rdt.change(container.rdt_path, schemata, undo)
        interrupts.check()
        jsonfile.write(directory, state.KEPT, {**kept, "version": state.FORMAT, "resources": wanted})


def _read(raw: dict[str, Any]) -> Resources:
    resources = read_resources(Node(raw, _POINTER))
    for violation in rules_resources.violations(resources):
        raise violation
    return resources


def _device_rules(resources: Resources, kept: dict[str, Any]) -> tuple[DeviceRule, ...]:
    nodes = Node(kept, "/linux").children("devices")
    return container_rules(resources, tuple([read_device(node) for node in nodes]))


def _warn(container: Container, old: dict[str, Any], new: dict[str, Any]) -> None:
    """What runc ignores is ignored, with a warning in the log."""
    memory = new.get("memory") or {}
    if memory.get("kernel") or memory.get("kernelTCP"):
        log.warning("Kernel memory settings are ignored and will be removed")
    for pointer in rules.unchangeable(old, new):
        log.warning(f"linux.resources{pointer.replace('/', '.')} is ignored: update cannot change it")
    for pointer in limits.ignored(read_resources(Node(new, _POINTER)), limits.is_unified(container.cgroups)):
        if not pointer.endswith(("/kernel", "/kernelTCP", "/swappiness", "/disableOOMKiller")):
            log.warning(f"{limits.dotted(pointer)} is ignored: the kernel's cgroups have nothing for it")
