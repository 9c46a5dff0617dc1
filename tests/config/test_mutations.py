"""Real configs, damaged at random: both validators agree on every one, and reading never fails but by an Error."""

from __future__ import annotations

import copy
import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pyoci import config, jsonfile
from pyoci.config import report
from pyoci.config.rules import rules
from pyoci.config.schema import schema
from pyoci.config.schema.table import CONFIG
from pyoci.errors import ConfigError, Error
from tests.config.corpus import CONFIGS, FILES

EXAMPLES = 2400
STRINGS = [
    "",
    "/",
    "..",
    "../../x",
    "/a\n",
    "\x7f\x1b[0m",
    "\u202e\u2028é😀",
    "%n{}",
    "a=b",
    "=",
    ",",
    "0-99999999999",
    "-1",
    "CAP_SYS_ADMIN",
    "RLIMIT_AS",
    "rro",
    "user",
    "x" * 5000,
]
NUMBERS = [
    0,
    1,
    -1,
    100,
    2**31 - 1,
    2**31,
    2**32 - 2,
    2**32 - 1,
    2**32,
    2**63 - 1,
    2**63,
    2**64 - 1,
    -(2**63),
    1.0,
    1e300,
]
OTHERS: list[Any] = [None, True, False, [], {}, [[]], [None], [{}], {"": None}, {"a": {}}]
VALUES: list[Any] = [*STRINGS, *NUMBERS, *OTHERS]
ALPHABET = '{}[]",:\\ \n0123456789eE+-.truefalsnN/u\x00\xff'


def places(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Every member and item in `value` as holder and key."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        found.append((value, key))
        if isinstance(value[key], (dict, list)):
            places(value[key], found)
    return found


def mutate(raw: dict[str, Any], data: st.DataObject) -> str:
    """Change one place of `raw`; the name of what was done."""
    spots = places(raw, [])
    if not spots:
        return "nothing"
    holder, key = spots[data.draw(st.integers(0, len(spots) - 1))]
    ways = [replace, remove, wrap, tweak, move, repeat, rename]
    way = ways[data.draw(st.integers(0, len(ways) - 1))]
    way(holder, key, spots, data)
    return way.__name__


def replace(holder: Any, key: Any, spots: list[tuple[Any, Any]], data: st.DataObject) -> None:
    holder[key] = copy.deepcopy(data.draw(st.sampled_from(VALUES)))


def remove(holder: Any, key: Any, spots: list[tuple[Any, Any]], data: st.DataObject) -> None:
    del holder[key]


def wrap(holder: Any, key: Any, spots: list[tuple[Any, Any]], data: st.DataObject) -> None:
    holder[key] = [holder[key]] if data.draw(st.booleans()) else {"type": holder[key]}


def tweak(holder: Any, key: Any, spots: list[tuple[Any, Any]], data: st.DataObject) -> None:
    """Another value of the same type: what the schema lets through and the rules must judge."""
    old, choice = holder[key], data.draw(st.integers(0, 5))
    if isinstance(old, bool):
        holder[key] = not old
    elif isinstance(old, int):
        holder[key] = (old + 1, old - 1, -old, old * 2**32, old + 2**32, old // 2)[choice]
    elif isinstance(old, str):
        holder[key] = (old + "\n", old[1:], old.upper(), old + "/..", old * 2, "/" + old)[choice]
    else:
        replace(holder, key, spots, data)


def move(holder: Any, key: Any, spots: list[tuple[Any, Any]], data: st.DataObject) -> None:
    """A value from elsewhere in the same file."""
    other, name = spots[data.draw(st.integers(0, len(spots) - 1))]
    holder[key] = copy.deepcopy(other[name])


def repeat(holder: Any, key: Any, spots: list[tuple[Any, Any]], data: st.DataObject) -> None:
    if isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    else:
        holder[f"{key}2"] = copy.deepcopy(holder[key])


def rename(holder: Any, key: Any, spots: list[tuple[Any, Any]], data: st.DataObject) -> None:
    if isinstance(holder, dict):
        holder[data.draw(st.sampled_from([key.upper(), key[:-1], "", "a/b~c", "type", "options"]))] = holder.pop(key)
    else:
        holder.reverse()


def lighten(raw: dict[str, Any]) -> None:
    """Without most of the seccomp profile, whose hundreds of names would attract most of the mutations."""
    rules = raw["linux"].get("seccomp", {}).get("syscalls", [])
    del rules[3:]
    for rule in rules:
        del rule["names"][2:]


def judge(text: bytes) -> str:
    """What became of the file; fails the test if anything but an Error is raised or the validators differ."""
    try:
        raw = jsonfile.parse(text, "config.json")
    except ConfigError:
        return "not JSON"
    fault = schema.walk(raw, CONFIG)
    found = [(violation.pointer, violation.reason) for violation in report.schema_violations(raw)]
    assert fault == (found[0] if found else None)
    if isinstance(raw, dict):
        report.judged(raw)
    if fault is not None:
        return "against the schema"
    try:
        container = config.read(raw)
    except Error:
        return "refused by the reader"
    broken = list(rules.violations(container))
    assert all(isinstance(error, ConfigError) for error in broken)
    return "against the rules" if broken else "accepted"


def test_mutations_of_real_configs(capsys: pytest.CaptureFixture[str]) -> None:
    fates: Counter[str] = Counter()
    kinds: Counter[str] = Counter()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(st.sampled_from(sorted(CONFIGS)), st.integers(1, 3), st.data())
    def run(name: str, times: int, data: st.DataObject) -> None:
        raw = copy.deepcopy(CONFIGS[name])
        if data.draw(st.integers(0, 3)):
            lighten(raw)
        for _ in range(times):
            kinds[mutate(raw, data)] += 1
        fates[judge(json.dumps(raw, ensure_ascii=False).encode())] += 1

    run()
    with capsys.disabled():
        print(f"\n{sum(fates.values())} mutated configs: {dict(fates)}; mutations: {dict(kinds)}")
    assert sum(fates.values()) >= 2000
    assert min(fates["against the schema"], fates["against the rules"], fates["accepted"]) > 100


def test_mutations_of_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    fates: Counter[str] = Counter()
    texts = [path.read_bytes() for path in FILES]

    @settings(
        max_examples=600, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink]
    )
    @given(st.sampled_from(texts), st.floats(0, 1, exclude_max=True), st.integers(0, 3), st.text(ALPHABET, max_size=3))
    def run(text: bytes, where: float, cut: int, insert: str) -> None:
        index = int(where * len(text))
        fates[judge(text[:index] + insert.encode("latin-1") + text[index + cut :])] += 1

    run()
    with capsys.disabled():
        print(f"\n{sum(fates.values())} configs with other bytes: {dict(fates)}")
    assert fates["not JSON"] > 100
