"""What a unit is given: the properties of every scope, those of annotations, those of device rules. Pure.

A property is (name, (D-Bus signature, value)), as StartTransientUnit and SetUnitProperties take it. Some need a systemd
of a certain age: `Wanted` keeps them with that, because the plan is made before anybody has asked for the version.
What an older systemd does not know is written through cgroupfs alone. systemd.resource-control(5).
"""

from __future__ import annotations

from pyoci.cgroups.devices.rules import ACCESS, ANY, reduce
from pyoci.cgroups.systemd import variant
from pyoci.errors import ConfigError
from pyoci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyoci.config.resources import DeviceRule

    Property = tuple[str, tuple[str, Any]]

PREFIX = "org.systemd.property."
INFINITY = 2**64 - 1
_MILLION = 1_000_000
_GROUPS = 240  # from here on DeviceAllow= knows a major number without a name, and needs no node in /dev


class Wanted(Record):
    """A property, and the first version of systemd that knows it."""

    name: str
    value: tuple[str, Any]
    since: int = 0

    def __str__(self) -> str:
        return f"{self.name}={_text(*self.value)}"


def _text(signature: str, value: Any) -> str:
    if signature == "t" and value == INFINITY:
        return "infinity"
    if signature == "a(ss)":
        return " ".join(" ".join(one) for one in value) or "none"
    if signature == "ay":
        return value.hex() if isinstance(value, bytes) else str(value)
    return str(value).lower() if signature == "b" else str(value)


def known(wanted: tuple[Wanted, ...], version: int) -> list[Property]:
    """Those that this version of systemd knows, in their order; of two for one name the last one counts.

    A list that is first emptied and then filled (DeviceAllow) stays two.
    """
    return [(one.name, one.value) for one in wanted if one.since <= version]


def base(name: str, slice: str, id: str, unified: bool) -> tuple[Wanted, ...]:
    """What every unit gets. A slice is asked for through Wants=, as it has no Slice=; it is not delegated."""
    is_slice = name.endswith(".slice")
    place = Wanted(name="Wants", value=("as", [slice])) if is_slice else Wanted(name="Slice", value=("s", slice))
    delegate = () if is_slice else (Wanted(name="Delegate", value=("b", True)),)
    accounting = ("MemoryAccounting", "CPUAccounting", "IOAccounting" if unified else "BlockIOAccounting")
    return (
        Wanted(name="Description", value=("s", f"libcontainer container {id}")),
        place,
        *delegate,
        *(Wanted(name=one, value=("b", True)) for one in (*accounting, "TasksAccounting")),
        Wanted(name="DefaultDependencies", value=("b", False)),
    )


def annotated(annotations: dict[str, str]) -> tuple[Wanted, ...]:
    """`org.systemd.property.NAME: value`, sorted by name. Raises ConfigError for a name or value that is none.

    NAME has three Latin letters or more. Where systemd's documentation has ...Sec, the bus has ...USec: a number for
    the one is made into one for the other.
    """
    found = []
    for key in sorted(annotations):
        if key.startswith(PREFIX):
            found.append(_annotated(key, annotations[key]))
    return tuple(found)


def _annotated(key: str, text: str) -> Wanted:
    name = key[len(PREFIX) :]
    pointer = "/annotations/" + key.replace("~", "~0").replace("/", "~1")
    if len(name) < 3 or not (name.isascii() and name.isalpha()):
        why = "too short" if len(name) < 3 else "contains non-alphabetic character"
        raise ConfigError(f"annotation {key} name incorrect: {why}", pointer=pointer)
    try:
        value = variant.parse(text)
        if name.endswith("Sec") and name[-4:-3].islower():
            name, value = f"{name[:-3]}USec", _microseconds(*value)
    except ValueError as error:
        raise ConfigError(
            f"annotation {key}={text} value parse error: {error}",
            pointer=pointer,
            hint='a value of D-Bus, such as \'text\', true, uint64 5 or ["a", "b"]',
        ) from None
    return Wanted(name=name, value=value)


def _microseconds(signature: str, value: Any) -> tuple[str, int]:
    """As runc's arithmetic has it, modulo 2 to the 64th."""
    if signature not in ("y", "n", "q", "i", "u", "x", "t", "d"):
        raise ValueError("not a number")
    if signature == "d" and not abs(value) < 2**63:  # infinite and not a number too
        raise ValueError("not a number of seconds")
    return "t", int(value * _MILLION) % 2**64


def devices(rules: tuple[DeviceRule, ...]) -> tuple[Wanted, ...]:
    """DeviceAllow= and DevicePolicy= for the ordered `rules`. Raises ConfigError for impossible ones.

    systemd allows what is listed and nothing else, so it cannot carry out every list; our own filter, which replaces
    its one on v2 and its files on v1, can. Until then the container's process does not run.
    """
    result = reduce(rules)
    none = Wanted(name="DeviceAllow", value=("a(ss)", []))
    if result.allow and not result.exceptions:
        return none, Wanted(name="DevicePolicy", value=("s", "auto"))
    strict = (none, Wanted(name="DevicePolicy", value=("s", "strict")))
    if result.allow:
        return strict
    entries = []
    for one in result.exceptions:
        if one.major == ANY and one.minor != ANY:  # systemd has no words for it
            continue
        kind = "char" if one.type == "c" else "block"
        if one.major == ANY:
            path = f"{kind}-*"
        elif one.minor == ANY:
            path = f"{kind}-{one.major}"
        else:
            path = f"/dev/{kind}/{one.major}:{one.minor}"
        access = "".join(letter for letter in "rwm" if one.access & ACCESS[letter])
        entries.append((path, access))
    if not entries:
        return strict
    return (*strict, Wanted(name="DeviceAllow", value=("a(ss)", entries), since=_GROUPS))
