"""The cost of a config.json grows with its size and not with the square of it: reading, checks, errors and the plan."""

from __future__ import annotations

import time
from typing import Any

import pytest

from pyoci import config, jsonfile
from pyoci.config import loader, refusal, report
from pyoci.config.rules import rules
from pyoci.errors import Error
from pyoci.plan import create
from tests import cost
from tests.config.hostile import SHAPES
from tests.plan import configs


def as_create(text: str) -> None:
    """Everything that create does before it touches anything, as far as it comes."""
    try:
        raw = jsonfile.parse(text.encode(), "config.json")
        loader.check(raw)
        read = config.read(raw)
        list(rules.violations(read))
        create.make(read, configs.around(raw))
    except Error:
        pass


def as_validate(text: str) -> None:
    try:
        raw = jsonfile.parse(text.encode(), "config.json")
    except Error:
        return
    report.judged(raw)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(("work", "number"), [(as_create, 100), (as_validate, 50)])
def test_four_times_the_size_is_about_four_times_the_cost(work: Any, number: int, name: str) -> None:
    texts = {size: SHAPES[name](size) for size in (number, 4 * number)}
    work(texts[number])  # what is made once is made by now
    assert cost.growth(lambda size: lambda: work(texts[size]), number) < 6


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        # Each took minutes, in C code that no count of instructions sees.
        ('{"a":1' + "".join(f',"k{i}":1' for i in range(150_000)) + ',"k149999":1}', "/k149999"),
        ('{"' + "k" * 2_000_000 + '":[' + ",".join(['"\\u0041"'] * 200_000) + '],"z":"\\ud800"}', "/z"),
    ],
)
def test_repeated_and_long_keys_are_found_at_once(text: str, pointer: str) -> None:
    start = time.process_time()
    with pytest.raises(Error) as caught:
        jsonfile.parse(text.encode(), "config.json")
    assert caught.value.pointer == pointer and time.process_time() - start < 30


def test_a_long_key_is_not_repeated_for_every_violation_beside_it() -> None:
    raw = {"ociVersion": 1, "k" * 2_000_000: [1] * 200_000}
    start = time.process_time()
    assert [found.pointer for found in report.schema_violations(raw)] == ["/ociVersion"]
    assert time.process_time() - start < 30


def test_the_error_of_a_large_file_tells_the_first_violation_only() -> None:
    raw: dict[str, Any] = {"ociVersion": "1.3.0", "mounts": [{}] * (refusal.MANY + 1)}
    with pytest.raises(Error) as caught:
        loader.check(raw)
    assert str(caught.value) == "config.json#/mounts/0: 'destination' is missing"
    assert caught.value.hint == "`pyoci validate` tells the rest"
