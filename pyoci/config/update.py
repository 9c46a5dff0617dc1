"""What `update` makes of a container's linux.resources: the new object over the one in force, by runc's rules. Pure.

A value that is absent from the update, on the command line too, means one of three things. It stays what it was:
memory, shares, real-time, weights. It is forgotten, which leaves the kernel's value alone but writes it no more: burst,
cpus, mems, idle, the pids limit, unified. Or, for quota and period, both: the one that is absent stays if the other one
is given, and both are forgotten if neither is.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Raw = dict[str, Any]

# By controller. checkBeforeUpdate is about one update only; what is in no list is not updated.
_STAYS = {
    "memory": ("limit", "reservation", "swap"),
    "cpu": ("shares", "realtimeRuntime", "realtimePeriod"),
    "blockIO": ("weight", "leafWeight"),
}
_FORGOTTEN = {"memory": ("checkBeforeUpdate",), "cpu": ("burst", "cpus", "mems", "idle"), "pids": ("limit",)}
_BY_DEVICE = (
    "weightDevice",
    "throttleReadBpsDevice",
    "throttleWriteBpsDevice",
    "throttleReadIOPSDevice",
    "throttleWriteIOPSDevice",
)
_FIXED = ("hugepageLimits", "network", "rdma")
_FIXED_MEMORY = ("swappiness", "disableOOMKiller")


def merged(old: Raw, new: Raw) -> Raw:
    """linux.resources as it is once `new` is carried out on `old`; neither is changed. devices are the old ones."""
    result = {key: value for key, value in old.items() if key != "unified"}
    for controller in ("memory", "cpu", "blockIO", "pids"):
        values = dict(old.get(controller) or {})
        given = new.get(controller) or {}
        for key in _FORGOTTEN.get(controller, ()):
            values.pop(key, None)
        for key in (*_STAYS.get(controller, ()), *_FORGOTTEN.get(controller, ())):
            if key in given:
                values[key] = given[key]
        result[controller] = values
    _memory(result["memory"], new.get("memory") or {})
    _cpu(result["cpu"], new.get("cpu") or {})
    for key in _BY_DEVICE:
        _by_device(result["blockIO"], key, (new.get("blockIO") or {}).get(key) or [])
    if new.get("unified"):
        result["unified"] = new["unified"]
    return {key: value for key, value in result.items() if value not in ({}, [])}


def _memory(values: Raw, given: Raw) -> None:
    """Unlimited memory is unlimited swap too, unless something is said about it."""
    if given.get("limit") == -1 and "swap" not in given:
        values["swap"] = 0


def _cpu(values: Raw, given: Raw) -> None:
    if "idle" in given and "shares" not in given:
        values["shares"] = 0  # an idle cgroup has no weight that could be written
    quota, period = given.get("quota") or 0, given.get("period") or 0
    for key, value, other in (("quota", quota, period), ("period", period, quota)):
        if value:
            values[key] = value
        elif not other:
            values.pop(key, None)


def _by_device(values: Raw, key: str, given: list[Raw]) -> None:
    """The values of one device replace its own, device by device; the last of several entries counts, as at create."""
    if not given:
        return
    entries = [dict(entry) for entry in values.get(key) or []]
    last = {(entry["major"], entry["minor"]): entry for entry in entries}
    for new in given:
        numbers = (new["major"], new["minor"])
        if numbers in last:
            last[numbers].update(new)
        else:
            last[numbers] = dict(new)
            entries.append(last[numbers])
    values[key] = entries


def unchangeable(old: Raw, new: Raw) -> list[str]:
    """The pointers of what `new` has otherwise than `old` and update, as runc's, does nothing about."""
    found = [f"/{key}" for key in _FIXED if new.get(key) and new[key] != old.get(key)]
    memory, before = new.get("memory") or {}, old.get("memory") or {}
    found += [f"/memory/{key}" for key in _FIXED_MEMORY if key in memory and memory[key] != before.get(key, False)]
    return found
