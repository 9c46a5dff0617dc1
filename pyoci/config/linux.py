"""The `linux` object but for the chapters with files of their own (config-linux.md)."""

from __future__ import annotations

from ..record import Record
from .resources import Resources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .namespaces import IdMapping, Namespace, TimeOffset
    from .seccomp import Seccomp


class Path(Record):
    pointer: str
    path: str


class Sysctl(Record):
    pointer: str
    key: str  # the file below /proc/sys: "net/ipv4/ip_forward"
    value: str


class Device(Record):
    pointer: str
    type: str  # "c" (also for the spec's "u"), "b", "p"
    path: str
    major: int = 0
    minor: int = 0
    mode: int = 0o666  # permission bits only
    uid: int | None = None
    gid: int | None = None


class Personality(Record):
    pointer: str = "/linux/personality"
    domain: str  # "LINUX" or "LINUX32"
    flags: tuple[str, ...] = ()


class IntelRdt(Record):
    pointer: str = "/linux/intelRdt"
    clos_id: str = ""
    schemata: tuple[str, ...] = ()
    l3_cache_schema: str = ""
    mem_bw_schema: str = ""
    enable_monitoring: bool = False


class MemoryPolicy(Record):
    """set_mempolicy(2)."""

    pointer: str = "/linux/memoryPolicy"
    mode: str  # "MPOL_BIND", ...
    nodes: str = ""  # "0-3,7"
    flags: tuple[str, ...] = ()


class NetDevice(Record):
    """A network device of the host to move into the container."""

    pointer: str
    device: str  # its name on the host
    name: str = ""  # its name in the container; "" = the same


class Linux(Record):
    pointer: str = "/linux"
    namespaces: tuple[Namespace, ...] = ()
    uid_mappings: tuple[IdMapping, ...] = ()
    gid_mappings: tuple[IdMapping, ...] = ()
    time_offsets: tuple[TimeOffset, ...] = ()
    devices: tuple[Device, ...] = ()
    cgroups_path: str | None = None
    resources: Resources = Resources()
    rootfs_propagation: int = 0  # MS_* with MS_REC where it applies; 0: absent
    seccomp: Seccomp | None = None
    sysctl: tuple[Sysctl, ...] = ()
    masked_paths: tuple[Path, ...] = ()
    readonly_paths: tuple[Path, ...] = ()
    mount_label: str = ""
    personality: Personality | None = None
    intel_rdt: IntelRdt | None = None
    memory_policy: MemoryPolicy | None = None
    net_devices: tuple[NetDevice, ...] = ()

    def namespace(self, type: str) -> Namespace | None:
        """The entry of linux.namespaces for this type, or None: the container shares the runtime's."""
        for namespace in self.namespaces:
            if namespace.type == type:
                return namespace
        return None
