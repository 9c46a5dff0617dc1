"""Properties of a unit that is there, changed."""

from __future__ import annotations

from pyoci.cgroups import freezer, processes
from pyoci.cgroups.devices import devices
from pyoci.cgroups.limits import limits
from pyoci.cgroups.limits.limit import MustExceed
from pyoci.cgroups.systemd import limits as systemd_limits
from pyoci.cgroups.systemd.bus import Bus, Refused
from pyoci.cgroups.systemd.properties import known
from pyoci.errors import Error, StepError
from pyoci.log import log
from pyoci.undo import Undo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.cgroups.limits.limit import Write
    from pyoci.cgroups.systemd.names import Unit
    from pyoci.cgroups.systemd.properties import Wanted
    from pyoci.config.resources import DeviceRule


def change(
    unit: Unit,
    cgroups: dict[str, str],
    writes: tuple[Write, ...],
    rules: tuple[DeviceRule, ...],
    place: limits.Place = limits.in_config,
) -> None:
    """Set limits anew: as properties of the unit, then in its cgroup, both until the machine is booted again.

    writes: of limits.plan(); rules: those of the container's devices, which stay. What it refuses of values below what
    is used is refused before systemd hears of it.
    Raises StepError, ConfigError; then some may be set: the caller sets the old ones once more.
    """
    if warning := systemd_limits.conflict(writes):
        log.warning(warning)
    properties = systemd_limits.wanted(writes, start=False)
    limits.apply(cgroups, tuple(write for write in writes if isinstance(write, MustExceed)), place)
    if properties:
        set_properties(unit, properties, cgroups, rules)
    limits.apply(cgroups, systemd_limits.rounded(writes), place)


def set_properties(
    unit: Unit, properties: tuple[Wanted, ...], cgroups: dict[str, str], rules: tuple[DeviceRule, ...]
) -> None:
    """Change properties of a unit that is there. Raises StepError.

    On v1 systemd writes its device rules anew with every change, first none and then each; those that it has no words
    for are lost, so all `rules` are written after it. The container is frozen meanwhile, unless it is already, so that
    no access fails in between; one that does not freeze is changed as it is.
    """
    with Bus(unit) as bus:
        version = bus.version() if any(one.since for one in properties) else 0
        freeze = "freezer" in cgroups and not processes.is_frozen(cgroups) and _freeze(cgroups)
        try:
            bus.call("SetUnitProperties", "sba(sv)", unit.name, True, known(properties, version))
            if "devices" in cgroups:
                devices.apply(cgroups, rules, Undo())
        except Refused as error:
            raise StepError(
                f"unable to set unit properties: {error.text}",
                call=error.call,
                hint=error.hint,
            ) from error
        finally:
            if freeze:
                processes.thaw(cgroups)


def _freeze(cgroups: dict[str, str]) -> bool:
    try:
        freezer.freeze(cgroups)
    except Error as error:  # a process that does not leave a system call; runc goes on as well
        log.warning(f"freeze container before SetUnitProperties failed: {error.message}")
        return False
    return True
