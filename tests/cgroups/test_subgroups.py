"""exec --cgroup: below the container's cgroups and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.cgroups.subgroups import parse, place
from pyoci.errors import Error

V2 = {"": "/sys/fs/cgroup/pods/web"}
V1 = {
    "cpu": "/sys/fs/cgroup/cpu,cpuacct/web",
    "cpuacct": "/sys/fs/cgroup/cpu,cpuacct/web",
    "pids": "/sys/fs/cgroup/pids/web",
    "name=systemd": "/sys/fs/cgroup/systemd/web",
}
parts = st.lists(st.sampled_from(["..", ".", "", "a", "web", "web-evil", "sys"]), max_size=7)


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ((), {}),
        (("sub",), {"": "sub"}),
        (("cpu:a", "pids:b"), {"cpu": "a", "pids": "b"}),
        (("cpu,pids:a:b",), {"cpu": "a:b", "pids": "a:b"}),
        (("name=systemd:a",), {"name=systemd": "a"}),
        (("cpu:",), {"cpu": ""}),
    ],
)
def test_parse(arguments: tuple[str, ...], found: dict[str, str]) -> None:
    assert parse(arguments) == found


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((":x",), "invalid --cgroup argument: :x (empty <controller> prefix)"),
        (("cpu,:x",), "invalid --cgroup argument: cpu,:x (empty <controller> prefix)"),
        (("a", "b"), "invalid --cgroup argument: a (missing <controller>: prefix)"),
        (("cpu:a", "b"), "invalid --cgroup argument: b (missing <controller>: prefix)"),
        (("cpu:a", "pids,cpu:a"), "invalid --cgroup argument(s): controller cpu specified multiple times"),
    ],
)
def test_refused_in_runc_s_words(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(Error) as caught:
        parse(arguments)
    assert caught.value.message == message


@given(parts, st.booleans(), st.sampled_from([V2, V1]))
def test_never_outside(path: list[str], absolute: bool, paths: dict[str, str]) -> None:
    """Checked by components: ../web-evil shares the container's prefix."""
    sub = "/" * absolute + "/".join(path)
    try:
        placed = place(paths, {"": sub})
    except Error as error:
        assert error.message == f"bad sub cgroup path: {sub}"
        assert ".." in path
        return
    for controller, directory in placed.items():
        assert f"{directory}/".startswith(f"{paths[controller]}/")
        assert ".." not in directory.split("/")


@pytest.mark.parametrize("sub", ["../web-evil", "..", "/../web-evil", "a/../../web-evil", "../../pods/web/../other"])
def test_the_traps(sub: str) -> None:
    for paths, wanted in ((V2, {"": sub}), (V1, {"": sub}), (V1, {"pids": sub})):
        with pytest.raises(Error) as caught:
            place(paths, wanted)
        assert caught.value.message == f"bad sub cgroup path: {sub}"


def test_controllers() -> None:
    """The others stay where the container is; controllers of one hierarchy go together."""
    assert place(V1, {"pids": "a"}) == {**V1, "pids": f"{V1['pids']}/a"}
    assert place(V1, {"cpu": "/a/"}) == {**V1, "cpu": f"{V1['cpu']}/a", "cpuacct": f"{V1['cpu']}/a"}
    assert place(V1, {"cpu": "a", "cpuacct": "a"})["cpu"] == f"{V1['cpu']}/a"
    for wanted in ({"cpu": "a", "cpuacct": "b"}, {"memory": "a"}):
        with pytest.raises(Error):
            place(V1, wanted)
    with pytest.raises(Error) as caught:
        place(V2, {"memory": "a"})
    assert caught.value.message == "unknown controller memory in SubCgroupPaths"


@given(st.sampled_from([V1, V2]))
def test_nothing_wanted_is_the_container_s_own(paths: dict[str, str]) -> None:
    assert place(paths, {}) == paths == place(paths, {"": ""})
