"""The rules of the remaining properties of `linux` (rules/rules.py)."""

from __future__ import annotations

from pyoci.config import id_list
from pyoci.config.linux import sysctl_name
from pyoci.config.node import broken
from pyoci.config.rules.rule import MAX_ID, printable, quoted, shown
from pyoci.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyoci.config import Config
    from pyoci.config.linux import Device, IntelRdt, Linux, MemoryPolicy, Sysctl
    from pyoci.config.resources import DeviceRule

# Keys of the IPC namespace (namespaces(7)), beside fs.mqueue.*
IPC_KEYS = (
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
)
MODES_WITHOUT_NODES = ("MPOL_DEFAULT", "MPOL_LOCAL")
MODES_WITH_ANY_NODES = ("MPOL_PREFERRED",)  # all others need at least one


def violations(config: Config) -> Iterator[ConfigError]:
    """Every rule about `linux` that `config` breaks and that no other file of rules looks after."""
    linux = config.linux
    for device in linux.devices:
        yield from _device(device)
    for rule in linux.resources.devices:
        yield from _device_rule(rule)
    if linux.cgroups_path and not printable(linux.cgroups_path):
        yield broken(f"{linux.pointer}/cgroupsPath", "must not contain control characters")
    if not printable(linux.mount_label) or '"' in linux.mount_label:
        yield broken(f"{linux.pointer}/mountLabel", "must not contain control characters and quotes")
    yield from _net_devices(linux)
    for sysctl in linux.sysctl:
        yield from _sysctl(sysctl, linux)
    if linux.intel_rdt is not None:
        yield from _intel_rdt(linux.intel_rdt)
    if linux.memory_policy is not None:
        yield from memory_policy(linux.memory_policy)


def _device(device: Device) -> Iterator[ConfigError]:
    pointer = device.pointer
    if not device.path.startswith("/"):
        yield broken(f"{pointer}/path", "must be an absolute path", "it is a path in the container")
    if device.type != "p":
        for key, number, bits in (("major", device.major, 12), ("minor", device.minor, 20)):  # the kernel's dev_t
            if number == -1:
                yield broken(pointer, f"{key!r} is missing", f"a device of type {device.type} needs it")
            elif not 0 <= number < 1 << bits:
                yield broken(f"{pointer}/{key}", f"must be between 0 and {(1 << bits) - 1}, not {number}")
    for key, id in (("uid", device.uid), ("gid", device.gid)):
        if id is not None and id > MAX_ID:
            yield broken(f"{pointer}/{key}", f"must be between 0 and {MAX_ID}, not {id}")


def _device_rule(rule: DeviceRule) -> Iterator[ConfigError]:
    pointer = rule.pointer
    if not rule.access:
        message = f"device access at {pointer.rpartition('/')[2]} field cannot be empty"
        yield ConfigError(message, pointer=f"{pointer}/access", hint="write some of rwm (read, write, mknod)")
    elif not set(rule.access) & set("rwm"):
        yield broken(f"{pointer}/access", f"must be made of r, w and m, not be {quoted(rule.access)}")
    if rule.type not in ("a", "b", "c"):
        message = f"invalid cgroup device type {quoted(rule.type)}"
        yield ConfigError(message, pointer=f"{pointer}/type", hint="a is all, b block and c character devices")
    for key, number in (("major", rule.major), ("minor", rule.minor)):
        if not -1 <= number < 2**32:
            yield broken(f"{pointer}/{key}", f"must be -1 (any) or a device number, not {number}")


def odd_access(rules: tuple[DeviceRule, ...]) -> list[str]:
    """The pointers of rules whose access has letters besides r, w and m, which are ignored, as by runc; 20 at most."""
    return [f"{rule.pointer}/access" for rule in rules if rule.access.strip("rwm")][:20]


def _net_devices(linux: Linux) -> Iterator[ConfigError]:
    if linux.net_devices and linux.namespace("network") is None:
        message = "unable to move network devices without a NET namespace"
        hint = 'add {"type": "network"} to linux.namespaces'
        yield ConfigError(message, pointer=f"{linux.pointer}/netDevices", hint=hint)
    names = set()
    for device in linux.net_devices:
        for name in (device.device, device.name or device.device):
            if not _is_device_name(name):
                hint = "at most 15 bytes, without slash, colon and blank"
                yield ConfigError(f"invalid network device name {quoted(name)}", pointer=device.pointer, hint=hint)
                break
        name = device.name or device.device
        if name in names and "%" not in name:  # with %d the kernel numbers them
            yield broken(device.pointer, f"another device becomes {quoted(name)} too", "give it another name")
        names.add(name)


def _is_device_name(name: str) -> bool:
    """The kernel's dev_valid_name()."""
    if not 0 < len(name.encode()) < 16 or name in (".", ".."):
        return False
    return not any(character in "/:" or character.isspace() for character in name)


def sysctl_namespace(sysctl: Sysctl) -> str:
    """The type of the namespace that a key belongs to, "" for all that belong to the whole machine."""
    name = sysctl_name(sysctl.key)
    if name in IPC_KEYS or name.startswith("fs.mqueue."):
        return "ipc"
    if name in ("kernel.hostname", "kernel.domainname"):
        return "uts"
    return {"net": "network", "user": "user"}.get(name.partition(".")[0], "")


def _sysctl(sysctl: Sysctl, linux: Linux) -> Iterator[ConfigError]:
    """Only keys that belong to a namespace of the container; all others would change the host.

    Whether a namespace given by path differs from the runtime's own is found out when it is opened (OpenNamespace).
    """
    name, pointer = sysctl_name(sysctl.key), sysctl.pointer
    parts = sysctl.key.split("/")
    if not printable(sysctl.key) or not all(parts) or "." in parts or ".." in parts:
        # The prefixes below say nothing about a path that leaves them again: net/../kernel/core_pattern
        hint = "the key names one file below /proc/sys, without . and .. and empty parts"
        yield ConfigError(f"sysctl {quoted(sysctl.key)} is not a valid key", pointer=pointer, hint=hint)
    elif name in IPC_KEYS or name.startswith("fs.mqueue."):
        if linux.namespace("ipc") is None:
            message, hint = f"sysctl {quoted(name)} is not allowed in the hosts ipc namespace", _add("ipc")
            yield ConfigError(message, pointer=pointer, hint=hint)
    elif name.startswith("net."):
        if linux.namespace("network") is None:
            message, hint = f"sysctl {quoted(name)} not allowed in host network namespace", _add("network")
            yield ConfigError(message, pointer=pointer, hint=hint)
    elif name == "kernel.hostname" and linux.namespace("uts") is not None:
        message = f'sysctl {quoted(name)} is not allowed as it conflicts with the OCI "hostname" field'
        yield ConfigError(message, pointer=pointer, hint="use hostname instead")
    elif name == "kernel.domainname" and linux.namespace("uts") is not None:
        pass
    elif name.startswith("user."):
        if linux.namespace("user") is None:
            message, hint = f"setting ucounts without a user namespace not allowed: {shown(name)}", _add("user")
            yield ConfigError(message, pointer=pointer, hint=hint)
    else:
        hint = "it would change the host; set it there"
        message = f"sysctl {quoted(name)} is not in a separate kernel namespace"
        yield ConfigError(message, pointer=pointer, hint=hint)


def _add(type: str) -> str:
    return f'add {{"type": "{type}"}} to linux.namespaces'


def _intel_rdt(rdt: IntelRdt) -> Iterator[ConfigError]:
    if rdt.clos_id in (".", "..") or (len(rdt.clos_id) > 1 and "/" in rdt.clos_id) or not printable(rdt.clos_id):
        hint = "it is the name of one directory below /sys/fs/resctrl"
        message = f"invalid intelRdt.ClosID {quoted(rdt.clos_id)}"
        yield ConfigError(message, pointer=f"{rdt.pointer}/closID", hint=hint)
    lines = [(f"schemata/{index}", line) for index, line in enumerate(rdt.schemata)]
    for key, line in [*lines, ("l3CacheSchema", rdt.l3_cache_schema)]:  # the schema looks at memBwSchema
        if "\n" in line:
            yield broken(f"{rdt.pointer}/{key}", "must not contain newlines", "schemata takes one line per element")


def memory_policy(policy: MemoryPolicy) -> Iterator[ConfigError]:
    """set_mempolicy(2)."""
    from pyoci.kernel.scheduling_names import MEMORY_FLAGS, MEMORY_MODES  # few containers have a policy

    pointer, mode = policy.pointer, policy.mode
    if mode not in MEMORY_MODES:
        message = f"invalid memory policy mode {quoted(mode)}"
        yield ConfigError(message, pointer=f"{pointer}/mode", hint="use one of " + ", ".join(MEMORY_MODES))
    for index, flag in enumerate(policy.flags):
        if flag not in MEMORY_FLAGS:
            message, hint = f"invalid memory policy flag {quoted(flag)}", "use one of " + ", ".join(MEMORY_FLAGS)
            yield ConfigError(message, pointer=f"{pointer}/flags/{index}", hint=hint)
    try:
        count = len(id_list.numbers(policy.nodes))
    except ValueError as error:
        message = f"invalid memory policy nodes {quoted(policy.nodes)}: {shown(str(error))}"
        yield ConfigError(message, pointer=f"{pointer}/nodes", hint='write nodes as in "0-3,7"')
        return
    if mode in MODES_WITHOUT_NODES and count:
        message = f"memory policy mode requires 0 nodes but got {count}"
        yield ConfigError(message, pointer=f"{pointer}/nodes", hint="remove nodes")
    if mode in MEMORY_MODES and mode not in (*MODES_WITHOUT_NODES, *MODES_WITH_ANY_NODES) and not count:
        message = "memory policy mode requires at least one node but got 0"
        yield ConfigError(message, pointer=f"{pointer}/nodes", hint='name nodes, as in "0-3"')
