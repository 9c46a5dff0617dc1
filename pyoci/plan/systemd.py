"""The part of a plan that lets systemd make the container's cgroup. Pure."""

from __future__ import annotations

from pyoci.cgroups.limits import limits
from pyoci.cgroups.systemd import limits as systemd_limits
from pyoci.cgroups.systemd import properties as systemd_properties
from pyoci.config import Config
from pyoci.steps.host import systemd
from pyoci.steps.host.context import HostStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.cgroups.systemd.names import Unit
    from pyoci.plan.inputs import CreateInputs


def start(config: Config, inputs: CreateInputs, unit: Unit) -> tuple[HostStep, ...]:
    """The unit around the waiting process, then what its cgroup lacks. Limits follow."""
    unified = inputs.layout.version == "v2"
    writes = limits.plan(config.linux.resources, unified) if config.linux.resources.limited() else ()
    properties = (
        *systemd_properties.base(unit.name, unit.slice, inputs.id, unified),
        *systemd_properties.annotated(config.annotations),
        *systemd_properties.devices(inputs.device_rules),
        *systemd_limits.wanted(writes, start=True),
    )
    steps: list[HostStep] = [
        systemd.StartUnit(
            unit=unit, properties=properties, layout=inputs.layout, warning=systemd_limits.conflict(writes)
        ),
        systemd.CompleteCgroup(domain_limits=limits.needs_domain(writes)),
    ]
    owner = _owner(config)
    if unified and owner is not None:
        steps.append(systemd.DelegateCgroup(uid=owner))
    return tuple(steps)


def _owner(config: Config) -> int | None:
    """The host's id of the process's user, if the container is to manage its cgroup: it has a cgroup namespace of its
    own and mounts its cgroups writable. None: nobody but root, or a user that is not mapped."""
    namespace = config.linux.namespace("cgroup")
    if namespace is None or namespace.path or config.process is None:
        return None
    if not any(
        mount.source == "cgroup"
        and mount.destination.rstrip("/") == "/sys/fs/cgroup"
        and not {"ro", "rro"} & set(mount.options)
        for mount in config.mounts
    ):
        return None
    uid = config.process.user.uid
    if config.linux.namespace("user") is None:
        return uid
    for one in config.linux.uid_mappings:
        if one.container_id <= uid < one.container_id + one.size:
            return one.host_id + uid - one.container_id
    return None
