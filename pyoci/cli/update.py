"""update: change the limits of a container, by flags or by an object like config.json's `linux.resources`."""

from __future__ import annotations

import re

from pyoci import os
from pyoci.cgroups.limits import limits
from pyoci.config.schema import schema
from pyoci.container import state
from pyoci.container.update import update
from pyoci.errors import ConfigError, Error, StepError
from pyoci.kernel import resctrl
from pyoci.log import log, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyoci.cli.options import Options
    from pyoci.container.named_file import NamedFile

_INT64, _UINT64 = (-(2**63), 2**63 - 1), (0, 2**64 - 1)
_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_POINTER = "/linux/resources"
_NUMBERS = {"/blockIO/weight": ("blkio-weight",), "/pids/limit": ("pids-limit",)}
_MOST, _LONGEST = 5, 80  # keys in one warning, letters of one


def main(options: Options) -> int:
    """With --resources every other flag but those of Intel RDT is ignored, as runc does it."""
    state.load(options.text("root"), options.arguments[0])  # that it does not exist is told first
    schemata = _schemata(options)
    name = options.text("resources")
    file = _named(name) if name else None
    resources = from_flags(options) if file is None else from_file(file)
    try:
        update(options.text("root"), options.arguments[0], resources, schemata, placed(resources, file))
    except (ConfigError, StepError) as error:
        place = error.pointer.removeprefix(_POINTER)
        if place == error.pointer or not _holds(resources, place):  # it is about what was in force before
            raise
        raise _error_placed(error, place, file) from None
    return 0


def _named(path: str) -> NamedFile:
    from pyoci.container.named_file import NamedFile

    return NamedFile(path, "--resources", ("linux", "resources"))


def from_file(file: NamedFile) -> Any:
    """The object in `file`, which has passed the schema; the log tells of keys that mean nothing. Raises Error."""
    try:
        raw = file.read(schema.RESOURCES, standard_input=True)
    except ConfigError as error:
        if error.message.startswith(f"{file.name}#: "):
            error.hint = "it is an object like linux.resources of config.json"
        raise
    if raw and not any(key in schema.RESOURCES[1] for key in raw):
        _refuse_whole(raw, file)
        log.warning(f"{file.name}: no member is one of linux.resources, nothing is changed: {_some(list(raw))}")
    file.tell()
    return raw


def _refuse_whole(raw: dict[str, Any], file: NamedFile) -> None:
    """Raises Error for a file that holds the limits, but not where they are looked for: they would be ignored."""
    if any(key in raw for key in ("linux", "process", "ociVersion")):
        what, there = "a whole config.json", "linux.resources"
    elif "resources" in raw:
        what, there = "an object with `resources`", "`resources`"
    else:
        return
    hint = f"update takes what stands in its {there}"
    raise ConfigError(f"{file.name}: no member is one of linux.resources: it is {what}", pointer=file.option, hint=hint)


def _some(keys: list[str]) -> str:
    return ", ".join(quote(key[:_LONGEST]) for key in keys[:_MOST]) + (", ..." if len(keys) > _MOST else "")


def _holds(resources: Any, place: str) -> bool:
    """Whether the update says anything at `place`, a pointer."""
    value = resources
    for key in place.split("/")[1:]:
        if type(value) is dict:
            if key not in value:
                return False
            value = value[key]
    return True


def _flags(place: str) -> list[str]:
    """The flags that stand for the property at `place`, without their dashes."""
    return [flag for flag, controller, key, _ in FLAGS if place == f"/{controller}/{key}"] + [*_NUMBERS.get(place, ())]


def placed(resources: Any, file: NamedFile | None) -> Callable[[str], str]:
    """What warnings call a property: by the file or the flag that gives it, else it is what was in force before."""

    def told(pointer: str) -> str:
        place = pointer.removeprefix(_POINTER)
        if place == pointer or not _holds(resources, place):
            return limits.in_config(pointer)
        if file is not None:
            return file.pointer(place)
        return "".join([f"--{flag}" for flag in _flags(place)[:1]]) or limits.in_config(pointer)

    return told


def _error_placed(error: Error, place: str, file: NamedFile | None) -> Error:
    """A broken rule, or a value that the kernel refuses, told of the file or the flag instead of config.json."""
    if file is not None:
        if isinstance(error, ConfigError):
            return file.placed(error, _POINTER)
        error.pointer = file.pointer(place)
        return error
    for flag in _flags(place):
        error.message = error.message.replace(f"config.json#{error.pointer}", f"--{flag}")
        error.pointer = f"--{flag}"
    return error


def _schemata(options: Options) -> tuple[str, ...]:
    """The lines for the container's group of resctrl. Raises Error where the hardware has no such thing."""
    lines = []
    for flag, name, text in (
        ("l3-cache-schema", "L3", "Intel RDT/CAT: l3 cache schema is not enabled"),
        ("mem-bw-schema", "MB", "Intel RDT/MBA: memory bandwidth schema is not enabled"),
    ):
        if line := options.text(flag):
            mount = resctrl.find()
            if not mount or not os.path.isdir(f"{mount}/info/{name}"):
                raise Error(text, pointer=f"--{flag}", hint=f"this machine has no {mount or resctrl.PLACE}/info/{name}")
            if "\n" in line:
                raise Error(f"--{flag} must not contain newlines", pointer=f"--{flag}")
            lines.append(line)
    return tuple(lines)


def from_flags(options: Options) -> dict[str, Any]:
    """The object that the flags stand for: what is not given, or given as "", is absent. Raises Error."""
    resources: dict[str, Any] = {}
    for flag, controller, key, parse in FLAGS:
        if text := options.text(flag):
            try:
                value = parse(text)
            except ValueError as error:
                raise Error(f"invalid value for {flag}: {error}", pointer=f"--{flag}") from None
            resources.setdefault(controller, {})[key] = value
    if options.number("blkio-weight"):
        resources["blockIO"] = {"weight": options.number("blkio-weight")}
    if "pids-limit" in options.given:
        resources["pids"] = {"limit": options.number("pids-limit")}
    return resources


def signed(text: str) -> int:
    """Go's strconv.ParseInt(text, 10, 64). Raises ValueError with its words."""
    return _number(text, "ParseInt", "[+-]?[0-9]+", _INT64)


def unsigned(text: str) -> int:
    """Go's strconv.ParseUint(text, 10, 64)."""
    return _number(text, "ParseUint", "[0-9]+", _UINT64)


def _number(text: str, function: str, pattern: str, limits: tuple[int, int]) -> int:
    if not re.fullmatch(pattern, text):
        raise ValueError(f"strconv.{function}: parsing {quote(text)}: invalid syntax")
    if len(text) > 40 or not limits[0] <= int(text) <= limits[1]:
        raise ValueError(f"strconv.{function}: parsing {quote(text)}: value out of range")
    return int(text)


def size(text: str) -> int:
    """Bytes: -1, or a number with a unit (k, m, g, t, p; to the base 1024; b or ib may follow), as go-units has it."""
    if text == "-1":
        return -1
    found = re.fullmatch(r"(-?)([0-9]+\.?[0-9]*|\.[0-9]+) ?(.*)", text, re.DOTALL)
    if found is None or found[1]:
        raise ValueError(f"invalid size: '{text}'")
    suffix = found[3].lower()
    if suffix == "b":
        suffix = ""
    if not re.fullmatch("([kmgtp](i?b)?)?", suffix):
        raise ValueError(f"invalid suffix: '{found[3]}'")
    whole, _, fraction = found[2].partition(".")
    scaled = int(whole + fraction) * _UNITS.get(suffix[:1], 1) // 10 ** len(fraction) if len(found[2]) < 40 else -1
    if not 0 <= scaled <= _INT64[1]:
        raise ValueError(f"invalid size: '{text}'")
    return scaled


FLAGS: tuple[tuple[str, str, str, Callable[[str], Any]], ...] = (
    ("cpuset-cpus", "cpu", "cpus", str),
    ("cpuset-mems", "cpu", "mems", str),
    ("cpu-idle", "cpu", "idle", signed),
    ("cpu-burst", "cpu", "burst", unsigned),
    ("cpu-period", "cpu", "period", unsigned),
    ("cpu-rt-period", "cpu", "realtimePeriod", unsigned),
    ("cpu-share", "cpu", "shares", unsigned),
    ("cpu-quota", "cpu", "quota", signed),
    ("cpu-rt-runtime", "cpu", "realtimeRuntime", signed),
    ("memory", "memory", "limit", size),
    ("memory-swap", "memory", "swap", size),
    ("kernel-memory", "memory", "kernel", size),
    ("kernel-memory-tcp", "memory", "kernelTCP", size),
    ("memory-reservation", "memory", "reservation", size),
)
