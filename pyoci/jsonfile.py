"""JSON files: read strictly, written compactly and atomically; the json package is never needed.

Importing json costs 7 ms because it loads re; the C scanner inside it (`_json`) costs nothing. Stricter than json:
what one reader of a file could see differently from another (a key given twice, NaN), or what no kernel interface
takes (NUL, half a surrogate pair, a number beyond 64 bits), is a ConfigError that names the place.
As in Go, a member that is null is the same as no member; it is dropped. null in an array stays. Where the keys are
names and no properties, null is the value that is empty: {"netDevices": {"eth0": null}} names a device.

The decision: docs/decisions/strict-json.md.
"""

from __future__ import annotations

from errno import EISDIR

from pyoci import os
from pyoci.errors import ConfigError

try:
    from _json import encode_basestring, make_scanner
except ImportError:  # private to CPython, so it may go one day: slower then, same results
    from json.encoder import py_encode_basestring as encode_basestring

    make_scanner = None  # type: ignore[assignment,misc]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, NoReturn

MAX_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 100
_MOST_LETTERS = 10_000  # of errors that are told at once
_OWN_LEVELS = 10  # more than any file of ours puts around what it keeps
_MIN_INTEGER, _MAX_INTEGER = -(2**63), 2**64 - 1  # the union of Go's int64 and uint64
_TWICE = "the key is given twice"
_MAX_DIGITS = 20  # what 2**64-1 needs, and -2**63 with its sign
# The maps of config.json (Go's map[string]T), folded, and the empty value of each.
_MAPS: dict[str, Any] = {"annotations": "", "sysctl": "", "unified": "", "netdevices": {}, "rdma": {}}


def read(path: str, *, what: str, faults: list[ConfigError] | None = None) -> Any:
    """The value in the file `path`, called `what` in errors ("config.json", "state.json").

    Errors: ConfigError; OSError as the kernel gave it, except that a missing config.json is reported in runc's words.
    A FIFO without a writer reads as empty instead of blocking. faults: as parse() takes it.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
    except FileNotFoundError:
        if what != "config.json":
            raise
        directory = path.rpartition("/")[0]
        hint = f"there is none in {directory}; --bundle names another directory, `pyoci spec` writes one to start from"
        raise ConfigError(f"JSON specification file {what} not found", hint=hint) from None
    try:
        os.set_blocking(fd, True)
        data = _read_all(fd, what)
    except OSError as error:  # read(2) does not know the name
        if error.errno == EISDIR and what == "config.json":  # as an engine leaves it that binds a file that is missing
            hint = "remove it: config.json is a file in the bundle; `pyoci spec` writes one to start from"
            raise ConfigError(f"{path}: is a directory", errno=EISDIR, hint=hint) from None
        error.filename = path
        raise
    finally:
        os.close(fd)
    return parse(data, what, faults=faults)


def _read_all(fd: int, what: str) -> bytes:
    """All of the file, at most MAX_BYTES: usually one read for the contents and one for the end."""
    data = os.read(fd, min(os.fstat(fd).st_size, MAX_BYTES) + 4096)
    while len(data) <= MAX_BYTES and (more := os.read(fd, 1 << 20)):
        data += more
    return data


def parse(data: bytes, what: str, own: bool = False, faults: list[ConfigError] | None = None) -> Any:
    """The value in `data`. Errors: ConfigError with the pointer (`what#/a/b: ...`) or the byte offset.

    own: write() has written it, of what was read before. That has no limit of size, and a few levels more: parts of
    config.json stand deeper in it and some twice, and a container whose state is refused could not be removed.
    faults: takes every place that is JSON and not acceptable, in place of an error for the first one; what stood there
    is null in the value, so that the rest can be looked at.
    """
    deepest = MAX_DEPTH + _OWN_LEVELS if own else MAX_DEPTH
    if len(data) > MAX_BYTES and not own:
        _fail(what, f"larger than {MAX_BYTES} bytes", hint="no engine writes such a file; is this the right one?")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        _fail(
            what, f"not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}", hint="JSON is UTF-8 (RFC 8259)"
        )
    reader = _Reader()
    value = _scan(reader, text, what)
    if (
        reader.faulty
        or "\\u" in text
        or (text.count("{") + text.count("[") > deepest and _depth(value, deepest) > deepest)
    ):
        around = [value]
        room = _MOST_LETTERS
        for reason, *keys, _ in _faults(around, 0, deepest):
            if room > 0:  # a long key would stand in the pointer of everything below it
                pointer = "".join(f"/{escape(key)}" for key in reversed(keys))
                hint = "keep one of them" if reason == _TWICE else ""
                found = ConfigError(f"{what}#{pointer}: {reason}", pointer=pointer, hint=hint)
                if faults is None:
                    raise found
                faults.append(found)
                room -= len(found.message)
        value, reader.nulls = around[0], reader.nulls or faults is not None
    return _without_nulls(value) if reader.nulls else value


def _without_nulls(value: Any, empty: Any = None) -> Any:
    """`value` without members that are null; `empty`: what they are in this object instead, None to drop them."""
    if type(value) is list:
        return [_without_nulls(one) for one in value]
    if type(value) is not dict:
        return value
    folded = {fold(key) for key, one in value.items() if one is not None}
    return {
        key: empty if one is None else _without_nulls(one, _MAPS.get(fold(key)))
        for key, one in value.items()
        if one is not None or empty is not None or fold(key) in folded  # {"cpu": null, "CPU": {}}: the check finds both
    }


def fold(key: str) -> str:
    """What two keys have in common that are the same to Go's encoding/json: case does not count, and the long s and the
    Kelvin sign, which are s and k in capitals, are those letters."""
    return key.lower().replace("\u017f", "s")


def _given_twice(pairs: list[tuple[str, Any]]) -> list[str]:
    seen = set()
    found = []
    for key, _ in pairs:
        if key in seen:
            found.append(key)
        seen.add(key)
    return found


class _Fault:
    """Stands in the parsed value for something unacceptable until its pointer is known."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


class _Reader:
    """The settings and hooks of one reading; `_json.make_scanner` takes them from the attributes' names."""

    strict = True  # no control characters in strings
    object_hook = None

    def __init__(self) -> None:
        self.faulty = False
        self.nulls = False

    def _fault(self, reason: str) -> Any:
        self.faulty = True
        return _Fault(reason)

    def object_pairs_hook(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) != len(pairs):
            for key in _given_twice(pairs):
                members[key] = self._fault(_TWICE)
        if None in members.values():
            self.nulls = True
        return members

    def parse_int(self, digits: str) -> Any:
        if len(digits) <= _MAX_DIGITS and _MIN_INTEGER <= (number := int(digits)) <= _MAX_INTEGER:
            return number
        return self._fault(f"the number {_short(digits)} does not fit into 64 bits")

    def parse_float(self, digits: str) -> Any:
        number = float(digits)
        return number if number - number == 0 else self._fault(f"the number {_short(digits)} is out of range")

    def parse_constant(self, name: str) -> Any:
        return self._fault(f"{name} is not JSON")


def _scan(reader: _Reader, text: str, what: str) -> Any:
    """The value that is all of `text`, acceptable or not."""
    start = _skip_space(text, 0)
    if start == len(text):
        _fail(what, "the file is empty")
    try:
        value, end = _scan_value(reader, text, start)
    except RecursionError:
        _fail(what, _too_deep(MAX_DEPTH))
    except ValueError as error:  # json.JSONDecodeError
        reason, at = getattr(error, "msg", str(error)).removesuffix(" at"), getattr(error, "pos", start)
        _fail(what, f"not JSON: {reason[:1].lower()}{reason[1:]}" + _place(text, at), hint=_slip(text, at))
    end = _skip_space(text, end)
    if end < len(text):
        _fail(what, "text after the value" + _place(text, end), hint="a file holds one JSON value and white space")
    return value


def _slip(text: str, at: int) -> str:
    """What other notations have and JSON does not, if it is that where the reader has given up; else ""."""
    here = text[at + 1 :].lstrip()[:1] if text[at : at + 1] == "," else text[at : at + 1]
    if here in ("}", "]") and (text[at : at + 1] == "," or text[:at].rstrip()[-1:] == ","):
        return f"there is a comma before the {here}: behind the last one of a list there must be none"
    if here == "'":
        return "strings stand in double quotes"
    if here in ("/", "#"):
        return "JSON has no comments"
    if here == "\ufeff":
        return "the file begins with a byte order mark: save it without one"
    return ""


def _scan_value(reader: _Reader, text: str, start: int) -> tuple[Any, int]:
    """The value at `start` and the index behind it; whatever the C scanner objects to, json explains."""
    if make_scanner is not None:
        try:
            return make_scanner(reader)(text, start)  # type: ignore[arg-type]
        except (StopIteration, ValueError, SystemError):  # SystemError: 3.11, if nobody has imported json.decoder
            pass
    from json.decoder import JSONDecoder

    decoder = JSONDecoder(
        object_pairs_hook=reader.object_pairs_hook,
        parse_int=reader.parse_int,
        parse_float=reader.parse_float,
        parse_constant=reader.parse_constant,
    )
    return decoder.raw_decode(text, start)


def _skip_space(text: str, index: int) -> int:
    while text[index : index + 1] in (" ", "\n", "\t", "\r"):
        index += 1
    return index


def _depth(value: Any, deepest: int) -> int:
    """Levels of objects and arrays, level by level and so without recursion; stops counting above the limit."""
    depth, level = 0, [value] if type(value) in (dict, list) else []
    while level and depth <= deepest:
        depth += 1
        level = [
            child
            for parent in level
            for child in (parent.values() if type(parent) is dict else parent)
            if type(child) is dict or type(child) is list
        ]
    return depth


def _too_deep(deepest: int) -> str:
    return f"nested deeper than {deepest} levels"


def _faults(holder: Any, depth: int, deepest: int) -> Iterator[list[Any]]:
    """All in `holder` that is JSON but not acceptable: the reason, then the keys from there up to `holder`.

    What stood there is null as soon as it is told. A pointer is put together only of what is shown: one for each value
    would repeat a long key as often as there are values.
    """
    members: Iterable[tuple[Any, Any]] = list(holder.items()) if type(holder) is dict else enumerate(holder)
    for key, child in members:
        kind = type(child)
        if type(key) is str and (reason := _text_fault(key)):
            del holder[key]
            yield [f"the key {_short(ascii(key))}: {reason}"]
        elif kind is str or kind is _Fault:
            if reason := child.reason if kind is _Fault else _text_fault(child):
                holder[key] = None
                yield [reason, key]
        elif kind is dict or kind is list:
            if depth >= deepest:
                holder[key] = None
            too_deep: list[list[Any]] = [[_too_deep(deepest)]]
            for fault in _faults(child, depth + 1, deepest) if depth < deepest else too_deep:
                if fault[0] != _too_deep(deepest) or depth <= 3:  # the whole pointer would fill a screen
                    fault.append(key)
                yield fault


def _text_fault(text: str) -> str:
    if "\0" in text:
        return "a string must not hold a NUL character"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return f"a string must not hold half a surrogate pair ({ascii(text[error.start])[1:-1]})"
    return ""


def escape(key: str | int) -> str:
    """`key` as one part of a JSON pointer (RFC 6901)."""
    return str(key).replace("~", "~0").replace("/", "~1")


def _short(text: str) -> str:
    return text if len(text) <= 30 else f"{text[:20]}... ({len(text)} characters)"


def _place(text: str, index: int) -> str:
    before = text[:index]
    line, column = before.count("\n") + 1, index - before.rfind("\n")
    return f" at offset {len(before.encode())} (line {line}, column {column})"


def _fail(what: str, reason: str, hint: str = "") -> NoReturn:
    raise ConfigError(f"{what}: {reason}", hint=hint)


def dumps(value: Any) -> str:
    """`value` on one line without spaces, as Go's json.Marshal with `/`, `<` and non-ASCII text left as they are.

    Takes dict (str keys), list, tuple, str, int, float, bool, None; TypeError for anything else.
    Bytes that were not UTF-8 (lone surrogates) become U+FFFD, as in Go.
    """
    parts: list[str] = []
    _encode(value, parts, ":", "", "")
    return _sound("".join(parts))


def dumps_indent(value: Any, indent: int) -> str:
    """`value` in the layout of Go's json.MarshalIndent with `indent` spaces per level; no newline at the end."""
    parts: list[str] = []
    _encode(value, parts, ": ", "\n", " " * indent)
    return _sound("".join(parts))


def _encode(value: Any, parts: list[str], colon: str, newline: str, step: str) -> None:
    """Append the text of `value`; `newline` is the line break with the present indentation, "" for one line."""
    if isinstance(value, str):
        parts.append(encode_basestring(value))
    elif value is None or value is True or value is False:
        parts.append("null" if value is None else "true" if value else "false")
    elif isinstance(value, int):
        parts.append(int.__repr__(value))
    elif isinstance(value, float) and value - value == 0:
        parts.append(float.__repr__(value))
    elif isinstance(value, dict):
        _encode_members(value, parts, colon, newline, step)
    elif isinstance(value, (list, tuple)):
        inner, separator = newline + step, "["
        for item in value:
            parts.append(separator + inner)
            _encode(item, parts, colon, inner, step)
            separator = ","
        parts.append(newline + "]" if value else "[]")
    else:
        raise TypeError(f"no JSON for {value!r}")


def _encode_members(value: dict[str, Any], parts: list[str], colon: str, newline: str, step: str) -> None:
    inner, separator = newline + step, "{"
    for key, member in value.items():
        if not isinstance(key, str):
            raise TypeError(f"a JSON key must be a string, not {key!r}")
        parts.append(separator + inner + encode_basestring(key) + colon)
        _encode(member, parts, colon, inner, step)
        separator = ","
    parts.append(newline + "}" if value else "{}")


def _sound(text: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)
    return text


def write(directory_fd: int, name: str, value: Any) -> None:
    """Replace the file `name` in the open directory by `value`, mode 0600: readers see the old or the new, whole.

    No fsync: what it describes does not outlive a crash of the machine. Errors: OSError; then the old file is intact.
    """
    data = dumps(value).encode("utf-8")
    temporary = f".{name}.{os.urandom(6).hex()}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=directory_fd)
    try:
        try:
            while data:
                data = data[os.write(fd, data) :]
        finally:
            os.close(fd)
        os.rename(temporary, name, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
    except BaseException:
        os.unlink(temporary, dir_fd=directory_fd)
        raise
