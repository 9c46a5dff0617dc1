"""update: change the limits of a container, by flags or by an object like config.json's `linux.resources`."""

from __future__ import annotations

import re

from pyoci import jsonfile, os
from pyoci.config import schema
from pyoci.container import state
from pyoci.container.update import update
from pyoci.errors import ConfigError, Error
from pyoci.kernel import resctrl
from pyoci.log import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyoci.cli.options import Options

_INT64, _UINT64 = (-(2**63), 2**63 - 1), (0, 2**64 - 1)
_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_CHUNK = 65536
_POINTER = "/linux/resources"


def main(options: Options) -> int:
    """With --resources every other flag but those of Intel RDT is ignored, as runc does it."""
    state.load(options.text("root"), options.arguments[0])  # that it does not exist is told first
    schemata = _schemata(options)
    file = options.text("resources")
    resources = from_file(file) if file else from_flags(options)
    try:
        update(options.text("root"), options.arguments[0], resources, schemata)
    except ConfigError as error:
        raise _placed(error, file) from None
    return 0


def from_file(file: str) -> Any:
    """The object in `file`, "-" for the standard input, which has passed the schema. Errors name the option."""
    name = "standard input" if file == "-" else file
    try:
        raw, remarks, fault = schema.look(_read(file, name), schema.RESOURCES, name)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise Error(f"open {file}: {reason}", pointer="--resources", errno=error.errno or 0) from None
    except ConfigError as error:
        error.pointer = "--resources"
        raise
    if fault is not None:
        hint = schema.slip(remarks, *fault, name) or "it is an object like linux.resources of config.json"
        raise ConfigError(f"{name}#{fault[0]}: {fault[1]}", pointer="--resources", hint=hint)
    if remarks:
        from pyoci.container import remarked

        remarked.warn(remarks, name)
    return raw


def _read(file: str, name: str) -> Any:
    if file != "-":
        return jsonfile.read(file, what=name)
    data = b""
    while part := os.read(0, _CHUNK):
        data += part
    return jsonfile.parse(data, name)


def _placed(error: ConfigError, file: str) -> ConfigError:
    """A broken rule, told of the file or the flag that breaks it instead of config.json."""
    place = error.pointer.removeprefix(_POINTER)
    if file:
        name = "standard input" if file == "-" else file
        error.message = error.message.replace(f"config.json#{_POINTER}", f"{name}#")
        error.pointer = "--resources"
        return error
    for flag, controller, key, _ in FLAGS:
        if place == f"/{controller}/{key}":
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
