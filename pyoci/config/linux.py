"""The `linux` object but for the chapters with files of their own (config-linux.md)."""

from __future__ import annotations

from pyoci.config.mount_options import PROPAGATION
from pyoci.config.namespaces import read_mappings, read_namespace, read_time_offsets
from pyoci.config.node import INT64, UINT32
from pyoci.config.resources import Resources, read_resources
from pyoci.config.seccomp import read_seccomp
from pyoci.jsonfile import escape
from pyoci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.config.namespaces import IdMapping, Namespace, TimeOffset
    from pyoci.config.node import Node
    from pyoci.config.seccomp import Seccomp


# config-linux.md, "Default Devices": path, major, minor. Every container has them and may use them. In runc's order, in
# which the rules for them show up in the devices cgroup.
DEFAULT_DEVICES = (
    ("/dev/null", 1, 3),
    ("/dev/random", 1, 8),
    ("/dev/full", 1, 7),
    ("/dev/tty", 5, 0),
    ("/dev/zero", 1, 5),
    ("/dev/urandom", 1, 9),
)


# What a process of exec has as it was when the container was created (container/saved_config.py).
KEPT = ("seccomp", "personality", "memoryPolicy")


class Path(Record):
    """A path in the container, of maskedPaths or readonlyPaths."""

    pointer: str
    path: str


class Sysctl(Record):
    """A kernel parameter."""

    pointer: str
    key: str  # the file below /proc/sys: "net/ipv4/ip_forward"
    value: str


class Device(Record):
    """A device node (or FIFO) to make in the container."""

    pointer: str
    type: str  # "c" (also for the spec's "u"), "b", "p"
    path: str
    major: int = 0  # -1: absent, which only a FIFO may be (a rule reports it)
    minor: int = 0
    mode: int = 0o666  # permission bits only
    uid: int | None = None
    gid: int | None = None


class Personality(Record):
    """personality(2)."""

    pointer: str = "/linux/personality"
    domain: str  # "LINUX" or "LINUX32"
    flags: tuple[str, ...] = ()


class IntelRdt(Record):
    """The resctrl file system: shares of cache and memory bandwidth."""

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
    """All of `linux`."""

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


def read_linux(node: Node | None) -> Linux:
    """`linux` (config-linux.md). Raises ConfigError with the pointer of a value of the wrong type."""
    if node is None:
        return Linux()
    return Linux(
        namespaces=tuple([read_namespace(namespace) for namespace in node.children("namespaces")]),
        uid_mappings=read_mappings(node, "uidMappings"),
        gid_mappings=read_mappings(node, "gidMappings"),
        time_offsets=read_time_offsets(node.child("timeOffsets")),
        devices=tuple([read_device(device) for device in node.children("devices")]),
        cgroups_path=node.optional_string("cgroupsPath"),
        resources=read_resources(node.child("resources")),
        rootfs_propagation=_propagation(node),
        seccomp=read_seccomp(node.child("seccomp")),
        sysctl=_sysctl(node),
        masked_paths=_paths(node, "maskedPaths"),
        readonly_paths=_paths(node, "readonlyPaths"),
        mount_label=node.string("mountLabel"),
        personality=_personality(node.child("personality")),
        intel_rdt=_intel_rdt(node.child("intelRdt")),
        memory_policy=_memory_policy(node.child("memoryPolicy")),
        net_devices=tuple(
            [
                NetDevice(pointer=device.pointer, device=name, name=device.string("name"))
                for name, device in node.members("netDevices")
            ]
        ),
    )


def read_device(node: Node) -> Device:
    """One of linux.devices."""
    type = node.required_string("type")
    mode = node.optional_integer("fileMode", UINT32)
    absent = 0 if type == "p" else -1
    return Device(
        pointer=node.pointer,
        type="c" if type == "u" else type,  # "u" is an unbuffered character device, which is what Linux has
        path=node.required_string("path"),
        major=node.integer("major", INT64, absent),
        minor=node.integer("minor", INT64, absent),
        mode=0o666 if mode is None else mode & 0o7777,  # engines write st_mode here, with the file's type in it
        uid=node.optional_integer("uid", UINT32),
        gid=node.optional_integer("gid", UINT32),
    )


def _propagation(node: Node) -> int:
    if not node.string("rootfsPropagation"):
        return 0
    return PROPAGATION[node.word("rootfsPropagation", PROPAGATION)]


def _sysctl(node: Node) -> tuple[Sysctl, ...]:
    values = node.table("sysctl")
    pointer = node.at("sysctl")
    return tuple(
        [
            Sysctl(pointer=f"{pointer}/{escape(name)}", key=sysctl_file(name), value=value)
            for name, value in values.items()
        ]
    )


def sysctl_file(name: str) -> str:
    """The file below /proc/sys for a key as sysctl(8) takes it.

    The first separator decides: in net.ipv4.conf.eth0/1.mtu dots separate and a slash stands for a dot,
    in net/ipv4/conf/eth0.1/mtu slashes do.
    """
    for character in name:
        if character == ".":
            return name.translate(_SWAPPED)
        if character == "/":
            break
    return name


def sysctl_name(file: str) -> str:
    """The key with dots for a file below /proc/sys, as messages show it."""
    return file.translate(_SWAPPED)


_SWAPPED = {ord("."): "/", ord("/"): "."}


def _paths(node: Node, key: str) -> tuple[Path, ...]:
    pointer = node.at(key)
    return tuple([Path(pointer=f"{pointer}/{index}", path=path) for index, path in enumerate(node.strings(key))])


def _personality(node: Node | None) -> Personality | None:
    if node is None:
        return None
    return Personality(pointer=node.pointer, domain=node.string("domain"), flags=node.strings("flags"))


def _intel_rdt(node: Node | None) -> IntelRdt | None:
    if node is None:
        return None
    return IntelRdt(
        pointer=node.pointer,
        clos_id=node.string("closID"),
        schemata=node.strings("schemata"),
        l3_cache_schema=node.string("l3CacheSchema"),
        mem_bw_schema=node.string("memBwSchema"),
        enable_monitoring=node.boolean("enableMonitoring"),
    )


def _memory_policy(node: Node | None) -> MemoryPolicy | None:
    if node is None:
        return None
    return MemoryPolicy(
        pointer=node.pointer, mode=node.string("mode"), nodes=node.string("nodes"), flags=node.strings("flags")
    )
