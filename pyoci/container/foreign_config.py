"""What exec and update need of a container of runc: libcontainer's configuration in the words of config.json, and back.

runc writes it into state.json at create and after each update. config.json of the bundle may be another one by now.
"""

from __future__ import annotations

from pyoci.cgroups.limits.conversions import cpu_weight
from pyoci.container.records import Members
from pyoci.kernel.scheduling_names import MEMORY_FLAGS, MEMORY_MODES, PERSONALITIES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# libcontainer's numbers begin with 1 (configs.Action, configs.Operator).
_ACTIONS = ("KILL", "ERRNO", "TRAP", "ALLOW", "TRACE", "LOG", "NOTIFY", "KILL_THREAD", "KILL_PROCESS")
_OPERATORS = ("EQ", "NE", "GT", "GE", "LT", "LE", "MASKED_EQ")
_MACHINES = {"amd64": "X86_64", "arm64": "AARCH64", "loong64": "LOONGARCH64"}  # the others are as in libseccomp
_PERSONALITIES = {number: name for name, number in PERSONALITIES.items()}
_MODES = {number: name for name, number in MEMORY_MODES.items()}
_MODE_FLAGS = {number: name for name, number in MEMORY_FLAGS.items()}

_PROCESS = {
    "oom_score_adj": "oomScoreAdj",
    "scheduler": "scheduler",
    "io_priority": "ioPriority",
    "process_label": "selinuxLabel",
    "apparmor_profile": "apparmorProfile",
}
# Key of config.cgroups -> object and member of linux.resources; those that update changes.
_CHANGING = {
    "memory": ("memory", "limit"),
    "memory_reservation": ("memory", "reservation"),
    "memory_swap": ("memory", "swap"),
    "memory_check_before_update": ("memory", "checkBeforeUpdate"),
    "cpu_shares": ("cpu", "shares"),
    "cpu_quota": ("cpu", "quota"),
    "cpu_burst": ("cpu", "burst"),
    "cpu_period": ("cpu", "period"),
    "cpu_rt_quota": ("cpu", "realtimeRuntime"),
    "cpu_rt_period": ("cpu", "realtimePeriod"),
    "cpuset_cpus": ("cpu", "cpus"),
    "cpuset_mems": ("cpu", "mems"),
    "cpu_idle": ("cpu", "idle"),
    "pids_limit": ("pids", "limit"),
    "blkio_weight": ("blockIO", "weight"),
    "blkio_leaf_weight": ("blockIO", "leafWeight"),
    "blkio_weight_device": ("blockIO", "weightDevice"),
    "blkio_throttle_read_bps_device": ("blockIO", "throttleReadBpsDevice"),
    "blkio_throttle_write_bps_device": ("blockIO", "throttleWriteBpsDevice"),
    "blkio_throttle_read_iops_device": ("blockIO", "throttleReadIOPSDevice"),
    "blkio_throttle_write_iops_device": ("blockIO", "throttleWriteIOPSDevice"),
}
_FIXED = {"memory_swappiness": ("memory", "swappiness"), "oom_kill_disable": ("memory", "disableOOMKiller")}


def kept(raw: Any) -> dict[str, Any]:
    """What saved_config.load() returns of a container of pyoci, from the value in runc's state.json. Raises Damage."""
    config = Members(raw).object("config")
    return {
        "no_new_keyring": config.get("no_new_keyring", bool, False),
        "config": {"process": _process(config), "linux": _linux(config)},
        "resources": _resources(config.object("cgroups", {})),
    }


def _process(config: Members) -> dict[str, Any]:
    found = {key: config.raw[ours] for ours, key in _PROCESS.items() if ours in config.raw}
    if "capabilities" in config.raw:
        found["capabilities"] = {kind.lower(): names for kind, names in config.object("capabilities").raw.items()}
    if "umask" in config.raw:
        found["user"] = {"uid": 0, "gid": 0, "umask": config.raw["umask"]}
    if "exec_cpu_affinity" in config.raw:
        affinity = config.object("exec_cpu_affinity")
        lists = {kind.lower(): _list(affinity, kind) for kind in ("Initial", "Final") if affinity.raw.get(kind)}
        found["execCPUAffinity"] = {kind: text for kind, text in lists.items() if text}
    return found


def _linux(config: Members) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "seccomp" in config.raw:
        found["seccomp"] = _seccomp(config.object("seccomp"))
    if "personality" in config.raw:
        members = config.object("personality")
        found["personality"] = {"domain": _named(members, "domain", _PERSONALITIES)}
    if "memory_policy" in config.raw:
        members = config.object("memory_policy")
        found["memoryPolicy"] = {
            "mode": _named(members, "mode", _MODES, 0),
            "nodes": _list(members, "nodes"),
            "flags": [name for bit, name in _MODE_FLAGS.items() if members.get("flags", int, 0) & bit],
        }
    return found


def _seccomp(members: Members) -> dict[str, Any]:
    actions = {number: f"SCMP_ACT_{name}" for number, name in enumerate(_ACTIONS, 1)}
    operators = {number: f"SCMP_CMP_{name}" for number, name in enumerate(_OPERATORS, 1)}
    copied = {"default_errno_ret": "defaultErrnoRet", "listener_path": "listenerPath"}
    copied |= {"listener_metadata": "listenerMetadata", "flags": "flags"}
    found = {key: members.raw[ours] for ours, key in copied.items() if ours in members.raw}
    machines = members.strings("architectures")
    found["architectures"] = [f"SCMP_ARCH_{_MACHINES.get(machine, machine.upper())}" for machine in machines]
    found["defaultAction"] = _named(members, "default_action", actions)
    found["syscalls"] = []
    for call in members.objects("syscalls"):
        rule: dict[str, Any] = {"names": [call.get("name", str)], "action": _named(call, "action", actions)}
        if "errnoRet" in call.raw:
            rule["errnoRet"] = call.raw["errnoRet"]
        rule["args"] = [
            {
                "index": one.get("index", int),
                "value": one.get("value", int),
                "valueTwo": one.get("value_two", int, 0),
                "op": _named(one, "op", operators),
            }
            for one in call.objects("args")
        ]
        found["syscalls"].append(rule)
    return found


def _named(members: Members, key: str, names: dict[int, str], default: int | None = None) -> str:
    number = members.get(key, int, default)
    if number not in names:
        raise members.damage(key, f"{number} has no name")
    return names[number]


def _list(members: Members, key: str) -> str:
    """A set of CPUs or memory nodes, runc's array of words of 64 bits, as a list: "0,2,64"."""
    words = members.get(key, list, [])
    if any(type(word) is not int or word < 0 for word in words):
        raise members.damage(key, "not an array of bits")
    return ",".join([str(64 * place + bit) for place, word in enumerate(words) for bit in range(64) if word >> bit & 1])


def _resources(group: Members) -> dict[str, Any]:
    """linux.resources as config.cgroups keeps it. What is 0 or "" there was not set; runc 1.1 writes that too."""
    found: dict[str, Any] = {}
    for ours, (controller, key) in (_CHANGING | _FIXED).items():
        if group.raw.get(ours):
            found.setdefault(controller, {})[key] = group.raw[ours]
    if group.raw.get("unified"):
        found["unified"] = group.texts("unified")
    found["devices"] = [_device(rule) for rule in group.objects("devices")]
    return found


def _device(rule: Members) -> dict[str, Any]:
    """A rule of the device filter; its type is a character's number, -1 means every number."""
    numbers = {key: rule.get(key, int, -1) for key in ("major", "minor")}
    return {
        "allow": rule.get("allow", bool, False),
        "type": chr(rule.number("type", 127)),
        "access": rule.get("permissions", str, ""),
        **{key: number for key, number in numbers.items() if number >= 0},
    }


def changed(raw: dict[str, Any], resources: dict[str, Any]) -> dict[str, Any]:
    """runc's state.json with the limits that an update has left in force, where runc's own next update begins."""
    config = raw["config"]
    group = {key: value for key, value in config.get("cgroups", {}).items() if key not in ("unified", *_CHANGING)}
    for ours, (controller, key) in _CHANGING.items():
        value = resources.get(controller, {}).get(key)
        if value is not None:
            group[ours] = value
    if resources.get("unified"):
        group["unified"] = resources["unified"]
    shares = group.get("cpu_shares", 0)
    if shares != config.get("cgroups", {}).get("cpu_shares", 0):
        group["cpu_weight"] = cpu_weight(shares)
    return {**raw, "config": {**config, "cgroups": group}}
