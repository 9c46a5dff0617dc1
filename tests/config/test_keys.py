"""Keys that are not the specification's: in another case they are taken as by Go's decoder, others are told."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci import jsonfile
from pyoci.config import keys, loader
from pyoci.config.schema import schema
from pyoci.config.schema.table import CONFIG
from pyoci.errors import ConfigError
from tests.config.corpus import CONFIGS

Raw = dict[str, Any]
MINIMAL: Raw = {"ociVersion": "1.3.0", "root": {"path": "rootfs"}}


def settled(raw: Any) -> tuple[Any, list[tuple[str, str]]]:
    """The value, and pointer and name of every remark."""
    result, remarks = keys.settled(raw, CONFIG)
    return result, [(remark.pointer, remark.name if remark.taken else remark.hint) for remark in remarks]


@pytest.mark.parametrize("name", CONFIGS)
def test_what_engines_write_stays_as_it_is(name: str) -> None:
    assert settled(CONFIGS[name]) == (CONFIGS[name], [])
    assert schema.look(CONFIGS[name], CONFIG)[0] is CONFIGS[name], "and is not even copied"


@pytest.mark.parametrize(
    ("raw", "right", "pointer", "name"),
    [
        ({"Process": {"CWD": "/"}}, {"process": {"cwd": "/"}}, "/Process", "process"),
        ({"linux": {"resources": {"CPU": {}}}}, {"linux": {"resources": {"cpu": {}}}}, "/linux/resources/CPU", "cpu"),
        (
            {"linux": {"resources": {"hugepageLimits": [{"pagesize": "2MB"}]}}},
            {"linux": {"resources": {"hugepageLimits": [{"pageSize": "2MB"}]}}},
            "/linux/resources/hugepageLimits/0/pagesize",
            "pageSize",
        ),
        ({"proce\u017f\u017f": {}}, {"process": {}}, "/proce\u017f\u017f", "process"),
        ({"hoo\u212as": {}}, {"hooks": {}}, "/hoo\u212as", "hooks"),
        (
            {"linux": {"netDevices": {"ETH0": {"NAME": "x"}}}},
            {"linux": {"netDevices": {"ETH0": {"name": "x"}}}},
            "/linux/netDevices/ETH0/NAME",
            "name",
        ),
    ],
)
def test_keys_in_another_case_are_taken(raw: Raw, right: Raw, pointer: str, name: str) -> None:
    before = json.dumps(raw)
    result, remarks = settled(raw)
    assert result == right and (pointer, name) in remarks
    assert json.dumps(raw) == before, "what was read is not changed"


@pytest.mark.parametrize(
    "raw",
    [
        {"annotations": {"A": "1", "a": "2", "ociversion": "x"}},
        {"linux": {"sysctl": {"net.X": "1", "net.x": "1"}}},
        {"linux": {"resources": {"unified": {"Memory.max": "1"}, "rdma": {"MLX": {}, "mlx": {}}}}},
        {"linux": {"timeOffsets": {"Monotonic": {"secs": 1}}}},
        {"windows": {"credentialSpec": {"ANY": 1, "any": 2}}},
    ],
)
def test_names_of_somebody_else_are_left_alone(raw: Raw) -> None:
    assert settled(raw) == (raw, [])


@pytest.mark.parametrize(
    ("raw", "pointer"),
    [
        ({"process": {"cwd": "/"}, "Process": {"cwd": "/"}}, "/Process"),
        ({"Process": {}, "PROCESS": {}}, "/PROCESS"),
        ({"linux": {"resources": {"CPU": {"shares": 2}, "cpu": {"shares": 3}}}}, "/linux/resources/CPU"),
    ],
)
def test_two_spellings_are_a_key_given_twice(raw: Raw, pointer: str) -> None:
    with pytest.raises(ConfigError) as caught:
        keys.settled(raw, CONFIG)
    assert caught.value.pointer == pointer
    assert caught.value.message.startswith(f"config.json#{pointer}: the key is given twice: it is ")
    name = pointer.rpartition("/")[2].lower()
    assert caught.value.hint == f"keep one of them, spelled {name!r}: readers differ in which one counts"


@pytest.mark.parametrize("text", ['{"cpu": null, "CPU": {"shares": 2}}', '{"CPU": {"shares": 2}, "cpu": null}'])
def test_null_is_a_spelling_too(text: str) -> None:
    """Go's decoder takes the limit away again if null comes last."""
    raw = jsonfile.parse(f'{{"ociVersion": "1.3.0", "linux": {{"resources": {text}}}}}'.encode(), "config.json")
    with pytest.raises(ConfigError, match="the key is given twice"):
        loader.check(raw)


def test_null_in_a_map_under_another_case() -> None:
    raw = jsonfile.parse(b'{"Annotations": {"a": null}, "linux": {"NetDevices": {"eth0": null}}}', "config.json")
    assert settled(raw)[0] == {"annotations": {"a": ""}, "linux": {"netDevices": {"eth0": {}}}}


@pytest.mark.parametrize(
    ("raw", "pointer", "hint"),
    [
        ({"processs": {}}, "/processs", "did you mean 'process'?"),
        ({"linux": {"rootPropagation": "x"}}, "/linux/rootPropagation", "did you mean 'rootfsPropagation'?"),
        ({"mounts": [{}, {"option": []}]}, "/mounts/1/option", "did you mean 'options'?"),
        ({"linux": {"resources": {"memory": {"limt": 1}}}}, "/linux/resources/memory/limt", "did you mean 'limit'?"),
        ({"linux": {"seccomp": {"syscall": []}}}, "/linux/seccomp/syscall", "did you mean 'syscalls'?"),
        ({"process": {"user": {"a/b~": 1}}}, "/process/user/a~1b~0", ""),
        ({"zzz": 1}, "/zzz", ""),
        ({"x-mounts": 1}, "/x-mounts", ""),
        ({"x-own": {"ociversion": 1}}, "/x-own", ""),
    ],
)
def test_unknown_keys_are_told_with_a_guess(raw: Raw, pointer: str, hint: str) -> None:
    assert settled(raw) == (raw, [(pointer, hint)])


def test_the_walk_sees_unknown_keys_everywhere_and_known_ones_nowhere() -> None:
    unknown: list[str] = []
    raw = {**MINIMAL, "a": 1, "process": {"cwd": "/", "b": {}}, "mounts": [{"destination": "/", "c": 1}]}
    raw |= {"annotations": {"d": "e"}, "linux": {"sysctl": {"f": "g"}, "resources": {"rdma": {"h": {"i": 1}}}}}
    assert schema.walk(raw, CONFIG, unknown) is None
    assert unknown == ["a", "b", "c", "i"]


def test_what_is_missing_may_stand_there_misspelled() -> None:
    with pytest.raises(ConfigError) as caught:
        loader.check({"ociVersoin": "1.3.0"})
    assert caught.value.message == "config.json#: 'ociVersion' is missing"
    assert caught.value.hint == "config.json has 'ociVersoin': did you mean 'ociVersion'?"
    with pytest.raises(ConfigError) as caught:
        loader.check({**MINIMAL, "mounts": [{"destinaton": "/a"}]})
    assert caught.value.hint == "config.json has 'destinaton': did you mean 'destination'?"
    _, remarks, _ = schema.look({**MINIMAL, "proces": {}, "Hostname": "h"}, CONFIG)
    assert schema.slip(remarks, "/process") == "config.json has 'proces': did you mean 'process'?"
    assert schema.slip(remarks, "/hostname") == "", "that one was taken"
    assert schema.slip(remarks, "/root") == ""
    _, remarks, _ = schema.look({**MINIMAL, "hostname": "h", "hostnam": "h"}, CONFIG)
    assert remarks and schema.slip(remarks, "/hostname") == "", "it is not missing"


def test_letters_that_go_takes_for_another() -> None:
    """encoding/json folds by unicode.SimpleFold: of all characters but A to Z only two are an ASCII letter then."""
    found = {
        chr(code) for code in range(sys.maxunicode + 1) if jsonfile.fold(chr(code)) in "abcdefghijklmnopqrstuvwxyz"
    }
    letters = {chr(code) for code in (*range(65, 91), *range(97, 123))}
    assert found == letters | {"\u017f", "\u212a"}


@given(st.sampled_from(sorted(CONFIG[1])), st.data())
def test_any_mixture_of_cases_is_the_same_key(name: str, data: st.DataObject) -> None:
    others = {"s": "\u017f", "k": "\u212a"}
    typed = "".join(
        data.draw(st.sampled_from([letter.lower(), letter.upper(), others.get(letter.lower(), letter)]))
        for letter in name
    )
    assert settled({typed: 5})[0] == {name: 5}
