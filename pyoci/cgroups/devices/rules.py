"""linux.resources.devices: what the ordered list of rules comes to. Pure.

The rules are carried out one after the other on a state as cgroup v1 has it: what holds for devices not named (at
first: denied), and exceptions from that. So both versions decide alike.

* A rule for all devices and all access sets what holds, and forgets everything before it.
* Any other rule of type "a" stands for one of type "c" and one of type "b".
* A rule that says otherwise than what holds is an exception.
* A rule that says what holds anyway takes its access away from an exception for the same device. If it denies, it does
  the same to exceptions for narrower devices. If it allows, narrower denials stay: so it is on v1, and `c *:* m`, which
  runc and we put at the end of the list, must not lift them.
* A rule that would have to make a hole in a wider exception is an error, as in runc: v1 cannot express it and ignores
  it silently.

Spec: config-linux.md, "Allowed Device list"; kernel: Documentation/admin-guide/cgroup-v1/devices.rst.
"""

from __future__ import annotations

from pyoci.config.linux import DEFAULT_DEVICES
from pyoci.config.resources import DeviceRule
from pyoci.errors import ConfigError
from pyoci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.config.linux import Device
    from pyoci.config.resources import Resources

    _Key = tuple[str, int, int]  # type, major, minor

ANY = -1
MKNOD, READ, WRITE = 1, 2, 4  # include/uapi/linux/bpf.h, BPF_DEVCG_ACC_*
ALL = MKNOD | READ | WRITE
ACCESS = {"m": MKNOD, "r": READ, "w": WRITE}

_LAST = 0xFFFFFFFF
_POINTER = "/linux/resources/devices"

_PTS, _PTMX, _TUN = (136, ANY), (5, 2), (10, 200)


# Each denial with a wildcard goes through all exceptions before it: many of both would take minutes.
_MOST_LOOKS = 1_000_000
_HINT = "give the rules with wildcards before those without"


class DeviceException(Record):
    """Access to devices for which not the default holds. An access is granted or denied by one exception as a whole."""

    type: str  # "c" or "b"
    major: int  # ANY or a number
    minor: int
    access: int  # of MKNOD | READ | WRITE
    pointer: str  # of the last rule behind it

    def __str__(self) -> str:
        major, minor = ("*" if number == ANY else number for number in (self.major, self.minor))
        return f"{self.type} {major}:{minor} {''.join(letter for letter, bit in ACCESS.items() if self.access & bit)}"

    def covers(self, other: DeviceException) -> bool:
        """Whether every device of `other` is one of ours."""
        return self.type == other.type and self.major in (ANY, other.major) and self.minor in (ANY, other.minor)

    def meets(self, other: DeviceException) -> bool:
        """Whether some access to some device is in both."""
        return (
            self.type == other.type
            and (self.major == other.major or ANY in (self.major, other.major))
            and (self.minor == other.minor or ANY in (self.minor, other.minor))
            and bool(self.access & other.access)
        )


class DeviceFilter(Record):
    """What the rules come to: `allow` holds for every access that no exception speaks of."""

    allow: bool
    exceptions: tuple[DeviceException, ...]


def default_rules(devices: tuple[Device, ...] = ()) -> tuple[DeviceRule, ...]:
    """The rules that follow the user's, so that no list of rules makes /dev/null unusable.

    Any node may be made; the default nodes, terminals, ptmx and tun be used. A default node whose path is in
    `devices` (linux.devices) is the user's own affair.
    """
    own = {device.path for device in devices}
    nodes = [(major, minor) for path, major, minor in DEFAULT_DEVICES if path not in own]
    return (
        _default("c", (ANY, ANY), "m"),
        _default("b", (ANY, ANY), "m"),
        *(_default("c", numbers, "rwm") for numbers in (*nodes, _PTS, _PTMX, _TUN)),
    )


def _default(type: str, numbers: tuple[int, int], access: str) -> DeviceRule:
    return DeviceRule(pointer=_POINTER, allow=True, type=type, major=numbers[0], minor=numbers[1], access=access)


def container_rules(resources: Resources, devices: tuple[Device, ...]) -> tuple[DeviceRule, ...]:
    """The whole ordered list of a container: linux.resources.devices, then the defaults."""
    return resources.devices + default_rules(devices)


def reduce(rules: tuple[DeviceRule, ...]) -> DeviceFilter:
    """Carry out the rules in their order. Raises ConfigError naming the rule that is impossible."""
    allow = False
    exceptions: dict[_Key, DeviceException] = {}
    looks = 0
    for rule in rules:
        bits = _check(rule)
        if not allow and not rule.allow and ANY in (rule.major, rule.minor):
            looks += len(exceptions)
            if looks > _MOST_LOOKS:
                raise ConfigError("too many denials with wildcards", pointer=rule.pointer, hint=_HINT)
        if rule.type == "a" and rule.major == rule.minor == ANY and bits == ALL:
            allow, exceptions = rule.allow, {}
            continue
        for type in "cb" if rule.type == "a" else rule.type:
            one = DeviceException(type=type, major=rule.major, minor=rule.minor, access=bits, pointer=rule.pointer)
            if rule.allow == allow:
                _subtract(exceptions, one, allow)
            else:
                key = (type, rule.major, rule.minor)
                exceptions[key] = _with_access(one, bits | exceptions[key].access) if key in exceptions else one
    return DeviceFilter(allow=allow, exceptions=tuple(exceptions.values()))


def _check(rule: DeviceRule) -> int:
    """The rule's access as bits; other letters are ignored, as in runc."""
    bits = 0
    for letter in rule.access:
        bits |= ACCESS.get(letter, 0)
    if rule.type not in ("a", "b", "c") or not bits:
        raise ConfigError(f"device rule {rule.type!r} {rule.access!r} is invalid", pointer=rule.pointer)
    for name, value in (("major", rule.major), ("minor", rule.minor)):
        if not ANY <= value <= _LAST:
            raise ConfigError(f"{name} number {value} of a device rule is out of range", pointer=rule.pointer)
    return bits


def _subtract(exceptions: dict[_Key, DeviceException], rule: DeviceException, allow: bool) -> None:
    """Carry out a rule that says what holds (`allow`) anyway."""
    for key, old in _concerned(exceptions, rule, allow):
        covered = rule.covers(old)
        if covered and (not allow or old.covers(rule)):
            if old.access & ~rule.access:
                exceptions[key] = _with_access(old, old.access & ~rule.access)
            else:
                del exceptions[key]
        elif old.meets(rule) and (not allow or old.covers(rule)):
            raise ConfigError(
                f"requested rule [{rule}] not supported by devices cgroupv1 "
                f"(cannot punch hole in existing wildcard rule [{old}])",
                pointer=rule.pointer,
            )


def _concerned(
    exceptions: dict[_Key, DeviceException], rule: DeviceException, allow: bool
) -> list[tuple[_Key, DeviceException]]:
    """The exceptions that the rule may change or meet: all of them for a denial with a wildcard, else four at most."""
    if not allow and ANY in (rule.major, rule.minor):
        return list(exceptions.items())
    keys = {(rule.type, major, minor) for major in (rule.major, ANY) for minor in (rule.minor, ANY)}
    return [(key, exceptions[key]) for key in sorted(keys, reverse=True) if key in exceptions]


def _with_access(old: DeviceException, access: int) -> DeviceException:
    return DeviceException(type=old.type, major=old.major, minor=old.minor, access=access, pointer=old.pointer)


def v1_writes(filter: DeviceFilter) -> list[tuple[str, str, str]]:
    """The writes that bring a v1 cgroup to this state from any other: file, text, pointer of the rule."""
    first, then = ("devices.allow", "devices.deny") if filter.allow else ("devices.deny", "devices.allow")
    return [(first, "a", _POINTER), *((then, str(one), one.pointer) for one in filter.exceptions)]
