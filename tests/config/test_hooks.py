"""hooks, read."""

from __future__ import annotations

import pytest

from pyoci.config.hooks import Hook, Hooks, read_hooks
from pyoci.config.node import Node
from pyoci.errors import ConfigError

KEYS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
NAMES = ("prestart", "create_runtime", "create_container", "start_container", "poststart", "poststop")


def test_absent() -> None:
    assert read_hooks(None) == Hooks()
    assert Hooks().all() == ()


@pytest.mark.parametrize(("key", "name"), list(zip(KEYS, NAMES, strict=True)))
def test_each_moment(key: str, name: str) -> None:
    value = {key: [{"path": "/a"}, {"path": "/b", "args": ["b", "c"], "env": ["A=1"], "timeout": 5}]}
    hooks = read_hooks(Node(value, "/hooks"))
    expected = (
        Hook(pointer=f"/hooks/{key}/0", path="/a", args=(), env=None, timeout=None),
        Hook(pointer=f"/hooks/{key}/1", path="/b", args=("b", "c"), env=("A=1",), timeout=5),
    )
    assert {moment: getattr(hooks, moment) for moment in NAMES} == {
        moment: (expected if moment == name else ()) for moment in NAMES
    }
    assert hooks.all() == expected


def test_no_environment_differs_from_an_empty_one() -> None:
    for env, expected in (({}, None), ({"env": None}, None), ({"env": []}, ())):
        assert read_hooks(Node({"poststop": [{"path": "/a", **env}]}, "/hooks")).poststop[0].env == expected


def test_path_is_required() -> None:
    with pytest.raises(ConfigError) as caught:
        read_hooks(Node({"poststop": [{"path": "/a"}, {}]}, "/hooks"))
    assert caught.value.pointer == "/hooks/poststop/1"
