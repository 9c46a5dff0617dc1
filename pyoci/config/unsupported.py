"""What config.json may ask for and this version does not carry out yet: an error, never silence.

Values that change nothing pass, because engines write them into every file: 0, false, "", [], {}, and what a new
cgroup has anyhow: -1 where it means "no limit", 1024 shares of the CPU (cgroup v2's weight 100).
process.execCPUAffinity is about exec only and passes.
"""

from __future__ import annotations

from pyoci.errors import UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pyoci.config import Config
    from pyoci.config.seccomp import Seccomp

# linux.resources: the members with an effect, each with the values that have none beside 0 and the empty ones.
# Not here: devices and pids, which are carried out; memory.useHierarchy, which the kernel always does;
# memory.checkBeforeUpdate, which is about update; cpu.period, which has no effect without a quota.
LIMITS: dict[str, dict[str, tuple[int, ...]]] = {
    "memory": {
        "limit": (-1,),
        "reservation": (),
        "swap": (-1,),
        "kernel": (-1,),
        "kernelTCP": (-1,),
        "disableOOMKiller": (),
    },
    "cpu": {
        "shares": (1024,),
        "quota": (-1,),
        "burst": (),
        "realtimeRuntime": (),
        "realtimePeriod": (),
        "cpus": (),
        "mems": (),
        "idle": (),
    },
    "blockIO": {
        "weight": (),
        "leafWeight": (),
        "weightDevice": (),
        "throttleReadBpsDevice": (),
        "throttleWriteBpsDevice": (),
        "throttleReadIOPSDevice": (),
        "throttleWriteIOPSDevice": (),
    },
    "network": {"classID": (), "priorities": ()},
}


def check(config: Config) -> None:
    """Raises UnsupportedError for the first property that this version would ignore."""
    for pointer in unsupported(config):
        name = pointer[1:].replace("/", ".")
        hint = "this version of pyoci does not carry it out yet; remove it"
        raise UnsupportedError(f"{name} is not supported yet", pointer=pointer, hint=hint)


def unsupported(config: Config) -> Iterator[str]:
    """The pointers of everything in `config` that would be ignored."""
    linux = config.linux
    if linux.intel_rdt is not None:
        yield linux.intel_rdt.pointer
    for device in linux.net_devices:
        yield device.pointer
    if linux.seccomp is not None:
        yield from _listener(linux.seccomp)
    yield from _limits(linux.resources.raw, linux.resources.pointer)


def _listener(seccomp: Seccomp) -> Iterator[str]:
    if seccomp.listener_path:
        yield f"{seccomp.pointer}/listenerPath"
    for rule in seccomp.syscalls:
        if rule.action == "SCMP_ACT_NOTIFY":
            yield f"{rule.pointer}/action"


def _limits(resources: dict[str, Any], pointer: str) -> Iterator[str]:
    for controller, members in LIMITS.items():
        values = resources.get(controller)
        if type(values) is dict:
            for key, harmless in members.items():
                value = values.get(key)
                if value and value not in harmless:
                    yield f"{pointer}/{controller}/{key}"
    memory = resources.get("memory")
    if type(memory) is dict and memory.get("swappiness") is not None:  # here 0 has an effect too
        yield f"{pointer}/memory/swappiness"
    for key in ("hugepageLimits", "rdma", "unified"):
        if resources.get(key):
            yield f"{pointer}/{key}"
