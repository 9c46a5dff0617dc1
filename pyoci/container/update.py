"""update: change the limits of a container that is not stopped."""

from __future__ import annotations

from pyoci import jsonfile
from pyoci.cgroups import manager, processes
from pyoci.cgroups.devices.rules import container_rules
from pyoci.cgroups.limits import limits
from pyoci.cgroups.rollback import Saved
from pyoci.config import update as rules
from pyoci.config.linux import read_device
from pyoci.config.node import Node
from pyoci.config.resources import Resources, read_resources
from pyoci.config.rules import resources as rules_resources
from pyoci.config.rules.linux import odd_access
from pyoci.container import saved_config, state
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

    from pyoci.cgroups.limits.limit import Write
    from pyoci.cgroups.systemd.names import Unit
    from pyoci.cgroups.systemd.properties import Wanted
    from pyoci.config.resources import DeviceRule

_POINTER = "/linux/resources"


def update(
    root: str,
    id: str,
    new: dict[str, Any],
    schemata: tuple[str, ...] = (),
    place: limits.Place = limits.in_config,
) -> None:
    """Carry out `new`, an object like linux.resources that has passed the schema (config.update says what it means).

    `schemata`: lines for its group in resctrl. `place`: what warnings call a property, by its pointer in config.json.

    When a value is refused, or a signal comes, everything that was written before is put back, and nothing is kept of
    the update. Raises StateError, ConfigError, StepError; ends by the signal.
    """
    with Change(root, id) as directory:
        container, kept = saved_config.load(root, id)
        if state.status(container) in ("stopped", "creating"):
            raise StateError("container not running")
        cgroups = processes.own(container.cgroups, container.cgroup_ids)
        if container.cgroups and not cgroups:
            raise StateError("the container's cgroup is gone", hint="somebody has removed it, and made another one")
        container = container.replace(cgroups=cgroups)
        if schemata and not container.rdt_path:
            raise Error(
                "updating a non-existent Intel RDT configuration is not supported",
                hint="config.json had no linux.intelRdt when the container was created",
            )
        if schemata and container.by_runc:
            raise Error("pyoci does not change the Intel RDT schemata of a container of runc", hint="use `runc update`")
        try:
            _update(container, kept, new, schemata, directory, place)
        except Interrupted as interrupted:
            signals.die(interrupted)
            raise


def _update(
    container: Container,
    kept: dict[str, Any],
    new: dict[str, Any],
    schemata: tuple[str, ...],
    directory: int,
    place: limits.Place,
) -> None:
    old = kept.get("resources") or {}
    _warn(container, old, new, place)
    wanted = rules.merged(old, new)
    devices = _changes_devices(container, old, new)
    if devices:
        wanted["devices"] = new["devices"]
    resources = _read(wanted)
    # What cannot be updated is not written either: it may be somebody else's value by now.
    changed = resources.replace(hugepage_limits=(), network=None, rdma=())
    writes = limits.plan(changed, limits.is_unified(container.cgroups))
    interrupts = Interrupts(signals.ENDING)
    interrupts.install()
    in_force = _device_rules(_read(old), kept)
    with Undo() as undo:
        _apply(container, writes, in_force, undo, place)
        if devices:
            undo.add(manager.apply_devices, container.cgroups, in_force, Undo())
            manager.apply_devices(container.cgroups, _device_rules(resources, kept), Undo())
        if schemata:
            from pyoci.rdt import group

            group.change(container.rdt_path, schemata, undo)
        interrupts.check()
        if container.by_runc:
            from pyoci.container import foreign_config

            raw = jsonfile.parse(state.content(directory), state.FILE, own=True)
            jsonfile.write(directory, state.FILE, foreign_config.changed(raw, wanted))
        else:
            saved_config.replace(directory, {**kept, "version": state.FORMAT, "resources": wanted})


def _apply(
    container: Container, writes: tuple[Write, ...], in_force: tuple[DeviceRule, ...], undo: Undo, place: limits.Place
) -> None:
    """Write the limits; with the systemd driver it is told of them too, and of the old ones if they come back."""
    saved = Saved(container.cgroups, writes)
    undo.add(saved.put_back)
    if container.unit is None:
        limits.apply(container.cgroups, writes, place)
        return
    from pyoci.cgroups.systemd import limits as systemd_limits
    from pyoci.cgroups.systemd import names
    from pyoci.cgroups.systemd import update as systemd_update

    unit = names.stored(container.unit)
    before = systemd_limits.wanted(saved.writes(container.cgroups, writes), start=False)
    if before:
        undo.add(_set_properties_back, unit, before, container.cgroups, in_force)
    systemd_update.change(unit, container.cgroups, writes, in_force, place)


def _set_properties_back(
    unit: Unit, properties: tuple[Wanted, ...], cgroups: dict[str, str], in_force: tuple[DeviceRule, ...]
) -> None:
    from pyoci.cgroups.systemd import update as systemd_update

    try:
        systemd_update.set_properties(unit, properties, cgroups, in_force)
    except Error as error:
        log.warning(f"Setting back cgroup configs failed due to error: {error.message}")


def _changes_devices(container: Container, old: dict[str, Any], new: dict[str, Any]) -> bool:
    """A list that is the one in force, as engines send it with every update, changes nothing. Not with systemd, which
    has rules of its own, nor in a container of runc, which writes down others than those of config.json."""
    return (
        container.unit is None and not container.by_runc and "devices" in new and new["devices"] != old.get("devices")
    )


def _read(raw: dict[str, Any]) -> Resources:
    resources = read_resources(Node(raw, _POINTER))
    for violation in rules_resources.violations(resources):
        raise violation
    return resources


def _device_rules(resources: Resources, kept: dict[str, Any]) -> tuple[DeviceRule, ...]:
    nodes = Node(kept, "/linux").children("devices")
    return container_rules(resources, tuple([read_device(node) for node in nodes]))


def _warn(container: Container, old: dict[str, Any], new: dict[str, Any], place: limits.Place) -> None:
    """What runc ignores is ignored, with a warning in the log."""
    memory = new.get("memory") or {}
    if memory.get("kernel") or memory.get("kernelTCP"):
        log.warning("Kernel memory settings are ignored and will be removed")
    fixed = rules.unchangeable(old, new)
    if (container.unit is not None or container.by_runc) and new.get("devices") not in (None, old.get("devices")):
        fixed.append("/devices")
    for pointer in fixed:
        log.warning(f"{place(_POINTER + pointer)}: ignored: update cannot change it")
    given = read_resources(Node(new, _POINTER))
    for pointer in odd_access(given.devices):
        log.warning(f"{place(pointer)}: letters other than r, w and m are ignored")
    for pointer in limits.ignored(given, limits.is_unified(container.cgroups)):
        if not pointer.endswith(("/kernel", "/kernelTCP", "/swappiness", "/disableOOMKiller")):
            log.warning(f"{place(pointer)}: {limits.NOTHING}")
