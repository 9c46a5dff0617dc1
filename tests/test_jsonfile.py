"""jsonfile: agrees with the json package on what both accept, refuses what readers could differ about, writes as Go."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pyoci import jsonfile
from pyoci.errors import ConfigError

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4))


def without_null_members(value: Any) -> Any:
    if isinstance(value, dict):
        folded = {jsonfile.fold(key) for key, member in value.items() if member is not None}
        return {
            key: without_null_members(member)
            for key, member in value.items()
            if member is not None or jsonfile.fold(key) in folded
        }
    return [without_null_members(item) for item in value] if isinstance(value, list) else value


def fails(data: bytes | str, what: str = "config.json") -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        jsonfile.parse(data.encode() if isinstance(data, str) else data, what)
    return caught.value


@given(values, st.booleans(), st.sampled_from([None, 1]))
def test_reads_what_json_writes(value: Any, ascii_only: bool, indent: int | None) -> None:
    written = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    assert jsonfile.parse(written, "x") == without_null_members(value)


@given(st.text(st.sampled_from('{}[]",:\\ \t\n0123456789eE+-.truefalsnNaIity/ub\u00e9\ud800\x00\x1f'), max_size=24))
@example('{"a":1,"a":2}')
@example("[" * 2000)
@example('"\\ud83d\\ude00"')
@example("1e400")
@example("-")
@example("-0")
@example("01")
@example("[1,]")
def test_accepts_what_json_accepts_or_says_why_not(source: str) -> None:
    """The same value as json, or a ConfigError; what json accepts is refused for one of a few reasons."""
    data = source.encode("utf-8", "surrogatepass")
    try:
        ours = jsonfile.parse(data, "x")
    except ConfigError as error:
        reasons = (
            "twice",
            "64 bits",
            "out of range",
            "is not JSON",
            "NUL",
            "surrogate",
            "nested deeper",
            "not UTF-8",
        )
        if not any(reason in error.message for reason in reasons):
            with pytest.raises(json.JSONDecodeError):
                json.loads(source)
    else:
        assert ours == without_null_members(json.loads(source))


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        ('{"a": 1,}', "there is a comma before the }: behind the last one of a list there must be none"),
        ('{"a": [1,\n ]}', "there is a comma before the ]: behind the last one of a list there must be none"),
        ("{'a': 1}", "strings stand in double quotes"),
        ('{"a": 1, // one\n "b": 2}', "JSON has no comments"),
        ("# config\n{}", "JSON has no comments"),
        ("\ufeff{}", "the file begins with a byte order mark: save it without one"),
        ('{"a": }', ""),
        ('{"a": tru', ""),
    ],
)
def test_what_other_notations_have(data: str, hint: str) -> None:
    with pytest.raises(ConfigError, match="not JSON: ") as caught:
        jsonfile.parse(data.encode(), "x")
    assert caught.value.hint == hint


@given(st.binary(max_size=40))
def test_no_bytes_make_it_raise_anything_else(data: bytes) -> None:
    try:
        jsonfile.parse(data, "x")
    except ConfigError:
        pass


@pytest.mark.parametrize(
    ("data", "message", "pointer"),
    [
        ("", "config.json: the file is empty", ""),
        (" \n", "config.json: the file is empty", ""),
        ('{"a": 1}\n x', "config.json: text after the value at offset 10 (line 2, column 2)", ""),
        ('{"é": }', "config.json: not JSON: expecting value at offset 7 (line 1, column 7)", ""),
        ('{"a": tru', "config.json: not JSON: expecting value at offset 6 (line 1, column 7)", ""),
        ("\ufeff{}", "config.json: not JSON: expecting value at offset 0 (line 1, column 1)", ""),
        ('{"a": "x\ny"}', "config.json: not JSON: invalid control character at offset 8 (line 1, column 9)", ""),
        (b'{"a": "\xff"}', "config.json: not UTF-8: byte 0xff at offset 7", ""),
        ('{"a": {"b/c": NaN}}', "config.json#/a/b~1c: NaN is not JSON", "/a/b~1c"),
        ("[-Infinity]", "config.json#/0: -Infinity is not JSON", "/0"),
        ('{"a": 1e999}', "config.json#/a: the number 1e999 is out of range", "/a"),
        ("18446744073709551616", "config.json#: the number 18446744073709551616 does not fit into 64 bits", ""),
        ("-9223372036854775809", "config.json#: the number -9223372036854775809 does not fit into 64 bits", ""),
        ('{"a~b": "x\\u0000y"}', "config.json#/a~0b: a string must not hold a NUL character", "/a~0b"),
        ('{"\\u0000": 1}', "config.json#: the key '\\x00': a string must not hold a NUL character", ""),
        ('["\\ud800"]', "config.json#/0: a string must not hold half a surrogate pair (\\ud800)", "/0"),
        ('{"a": {"b": 1, "b": null}}', "config.json#/a/b: the key is given twice", "/a/b"),
        ("[" * 101 + "]" * 101, "config.json#/0/0/0: nested deeper than 100 levels", "/0/0/0"),
        ('{"a":' * 101 + "1" + "}" * 101, "config.json#/a/a/a: nested deeper than 100 levels", "/a/a/a"),
        ("[" * 1_000_000, "config.json: nested deeper than 100 levels", ""),
    ],
)  # fmt: skip
def test_unacceptable(data: bytes | str, message: str, pointer: str) -> None:
    error = fails(data)
    assert (error.message, error.pointer) == (message, pointer)
    if "given twice" in message:
        assert error.hint == "keep one of them"


def test_all_that_is_unacceptable_at_once() -> None:
    data = r"""{"a": {"b": 1, "c": [1e999, "x", "\ud800"], "b": 2, "d": "\u0000"}, "a~": NaN, "e\u0000": 1,
        "f": {"g": 1, "h": 1, "g": 2, "h": 2, "g": 3}, "i": null, "annotations": {"k": 18446744073709551616}}"""
    faults: list[ConfigError] = []
    value = jsonfile.parse(data.encode(), "config.json", faults=faults)
    assert value == {"a": {"c": [None, "x", None]}, "f": {}, "annotations": {"k": ""}}, "the rest, as if it were null"
    assert [(one.pointer, one.message.partition(": ")[2]) for one in faults] == [
        ("/a/b", "the key is given twice"),
        ("/a/c/0", "the number 1e999 is out of range"),
        ("/a/c/2", "a string must not hold half a surrogate pair (\\ud800)"),
        ("/a/d", "a string must not hold a NUL character"),
        ("/a~0", "NaN is not JSON"),
        ("", "the key 'e\\x00': a string must not hold a NUL character"),
        ("/f/g", "the key is given twice"),
        ("/f/h", "the key is given twice"),
        ("/annotations/k", "the number 18446744073709551616 does not fit into 64 bits"),
    ]
    assert str(faults[0]) == str(fails(data)), "the first one is what everybody else is told"


@pytest.mark.parametrize("data", ["", "{", "[1", "{}x"])
def test_of_what_is_not_json_there_is_one_fault(data: str) -> None:
    with pytest.raises(ConfigError):
        jsonfile.parse(data.encode(), "config.json", faults=[])


def test_many_faults_below_a_long_key_are_not_all_told() -> None:
    faults: list[ConfigError] = []
    text = '{"' + "k" * 2_000_000 + '": [' + ",".join(['"\\ud800"'] * 20_000) + "]}"
    assert len(jsonfile.parse(text.encode(), "x", faults=faults)["k" * 2_000_000]) == 20_000
    assert len(faults) == 1


@pytest.mark.parametrize("digits", [21, 4301, 100_000])
def test_numbers_of_many_digits_are_one_short_line(digits: int) -> None:
    error = fails('{"a": [' + "9" * digits + "]}")
    assert error.pointer == "/a/0"
    assert "does not fit into 64 bits" in error.message
    assert len(error.message) < 120


@pytest.mark.parametrize("number", [2**64 - 1, -(2**63), 0])
def test_numbers_of_64_bits_pass(number: int) -> None:
    assert jsonfile.parse(b"%d" % number, "x") == number


def test_exactly_the_deepest_nesting_passes() -> None:
    assert jsonfile.parse(b"[" * 100 + b"]" * 100, "x")


def test_null_members_are_dropped_and_null_items_kept() -> None:
    assert jsonfile.parse(b'{"a": null, "b": [null, {"c": null}]}', "x") == {"b": [None, {}]}
    assert jsonfile.parse(b"null", "x") is None


def test_null_stays_beside_another_spelling_of_its_key() -> None:
    """Which is for config/keys.py to refuse: Go's decoder would take the value away again."""
    assert jsonfile.parse(b'{"A": 1, "a": null, "B": null, "b": null}', "x") == {"A": 1, "a": None}


def test_null_in_a_map_is_the_empty_value() -> None:
    """As Go decodes it: the device is moved, the annotation is there. Not what is next to the map, or below it."""
    linux = {
        "netDevices": {"eth0": None, "eth1": {"name": None}},
        "sysctl": {"net.ipv4.ip_forward": None},
        "resources": {"unified": None, "rdma": {"mlx5_0": None}, "memory": None},
    }
    raw = json.dumps({"annotations": {"a": None}, "linux": linux, "hooks": None})
    assert jsonfile.parse(raw.encode(), "x") == {
        "annotations": {"a": ""},
        "linux": {
            "netDevices": {"eth0": {}, "eth1": {}},
            "sysctl": {"net.ipv4.ip_forward": ""},
            "resources": {"rdma": {"mlx5_0": {}}},
        },
    }


def test_errors_of_other_python_versions_are_the_same() -> None:
    """Python 3.11's scanner fails with SystemError unless json is imported: a fresh interpreter tells."""
    script = "import sys; from pyoci import jsonfile\ntry: jsonfile.parse(b'{', 'x')\nexcept Exception as e: print(e)"
    done = subprocess.run([sys.executable, "-S", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("x: not JSON: expecting property name")


def test_reading_and_writing_import_neither_json_nor_re() -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); bare = set(sys.modules)\n"
        "from pyoci import jsonfile\n"
        "jsonfile.dumps_indent(jsonfile.parse(sys.argv[2].encode(), 'x'), 2)\n"
        "print(sorted(set(sys.modules) - bare))"
    )
    root = str(Path(jsonfile.__file__).parent.parent)
    command = [sys.executable, "-I", "-S", "-c", script, root, '{"a": [1, 2.5, "\\u00e9", null]}']
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (
        done.stdout.strip() == "['__future__', '_json', 'errno', 'pyoci', 'pyoci.errors', 'pyoci.jsonfile', 'pyoci.os']"
    )


def test_file_larger_than_the_limit(tmp_path: Path) -> None:
    file = tmp_path / "big.json"
    file.write_bytes(b'"' + b"x" * (jsonfile.MAX_BYTES - 2) + b'"')
    assert len(jsonfile.read(str(file), what="x")) == jsonfile.MAX_BYTES - 2
    file.write_bytes(b'"' + b"x" * (jsonfile.MAX_BYTES - 1) + b'"')
    with pytest.raises(ConfigError, match="larger than 16777216 bytes"):
        jsonfile.read(str(file), what="x")


def test_endless_and_sparse_files_end_quickly(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="larger than"):
        jsonfile.read("/dev/zero", what="x")
    sparse = tmp_path / "sparse.json"
    sparse.touch()
    os.truncate(sparse, 1 << 40)
    with pytest.raises(ConfigError, match="larger than"):
        jsonfile.read(str(sparse), what="x")


def test_pipe(tmp_path: Path) -> None:
    """`exec --process <(...)`: a pipe is read to its end; a FIFO that nobody writes to does not block."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(ConfigError, match="the file is empty"):
        jsonfile.read(str(fifo), what="x")
    reader, writer = os.pipe()
    os.write(writer, b'{"a":')
    with subprocess.Popen(
        [sys.executable, "-c", f"import os,time; time.sleep(.2); os.write({writer}, b'1}}')"], pass_fds=[writer]
    ):
        os.close(writer)
        assert jsonfile.read(f"/proc/self/fd/{reader}", what="x") == {"a": 1}
    os.close(reader)


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        jsonfile.read(str(tmp_path / "config.json"), what="config.json")
    assert caught.value.message == "JSON specification file config.json not found"
    with pytest.raises(FileNotFoundError):
        jsonfile.read(str(tmp_path / "state.json"), what="state.json")
    with pytest.raises(IsADirectoryError) as directory:
        jsonfile.read(str(tmp_path), what="state.json")
    assert directory.value.filename == str(tmp_path)
    with pytest.raises(ConfigError) as instead:
        jsonfile.read(str(tmp_path), what="config.json")
    assert instead.value.message == f"{tmp_path}: is a directory"
    assert instead.value.hint.startswith("remove it: config.json is a file in the bundle")


@given(values)
def test_dumps_writes_what_json_would(value: Any) -> None:
    assert jsonfile.dumps(value) == json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for indent in (2, 4):
        assert jsonfile.dumps_indent(value, indent) == json.dumps(value, ensure_ascii=False, indent=indent)


@given(values)
def test_what_is_written_is_read_back(value: Any) -> None:
    assert jsonfile.parse(jsonfile.dumps(value).encode(), "x") == without_null_members(value)


def test_layout_is_that_of_go() -> None:
    value = {
        "ociVersion": "1.3.0",
        "pid": 0,
        "annotations": {},
        "hooks": [],
        "args": ["a/b", "<é>"],
        "tuple": (True, None),
    }
    assert jsonfile.dumps(value) == (
        '{"ociVersion":"1.3.0","pid":0,"annotations":{},"hooks":[],"args":["a/b","<é>"],"tuple":[true,null]}'
    )
    assert jsonfile.dumps_indent({"a": {"b": [1, {}], "c": []}}, 4) == (
        '{\n    "a": {\n        "b": [\n            1,\n            {}\n        ],\n        "c": []\n    }\n}'
    )


def test_names_that_are_not_utf8_become_the_replacement_character() -> None:
    assert jsonfile.dumps({"bundle": os.fsdecode(b"/b\xff")}) == '{"bundle":"/b\ufffd"}'


@pytest.mark.parametrize("value", [{1: 2}, {"a": b"x"}, [object()], float("nan"), float("inf")])
def test_what_json_cannot_say(value: object) -> None:
    with pytest.raises(TypeError):
        jsonfile.dumps(value)


def test_write_replaces_whole_files(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    mask = os.umask(0)
    try:
        jsonfile.write(directory, "state.json", {"a": 1})
        old = os.open("state.json", os.O_RDONLY, dir_fd=directory)
        jsonfile.write(directory, "state.json", {"b": ["é"] * 100_000})
        assert os.read(old, 100) == b'{"a":1}', "a reader of the old file still sees all of it"
        os.close(old)
        assert jsonfile.read(str(tmp_path / "state.json"), what="x") == {"b": ["é"] * 100_000}
        assert os.stat(tmp_path / "state.json").st_mode & 0o7777 == 0o600
        assert os.listdir(tmp_path) == ["state.json"]
    finally:
        os.umask(mask)
        os.close(directory)


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    (tmp_path / "state.json").mkdir()  # rename(2) of a file over a directory fails
    with pytest.raises(IsADirectoryError):
        jsonfile.write(directory, "state.json", {})
    with pytest.raises(TypeError):
        jsonfile.write(directory, "other.json", {"a": object()})
    os.close(directory)
    assert os.listdir(tmp_path) == ["state.json"]


def test_what_is_written_of_what_was_read_can_be_read_again() -> None:
    """state.json keeps annotations twice, and hooks a level deeper than config.json has them."""
    large = jsonfile.parse(b'"' + b"x" * (jsonfile.MAX_BYTES - 2) + b'"', "config.json")
    deep = jsonfile.parse(b"[" * jsonfile.MAX_DEPTH + b"]" * jsonfile.MAX_DEPTH, "config.json")
    for whole in ([large, large, large], {"pyoci": {"hooks": {"poststop": deep}}}):
        written = jsonfile.dumps(whole).encode()
        assert jsonfile.parse(written, "state.json", own=True) == whole
        with pytest.raises(ConfigError):
            jsonfile.parse(written, "config.json")
