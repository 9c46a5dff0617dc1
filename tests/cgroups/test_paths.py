"""Where a container's cgroup is planned: absolute, relative, and never outside."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.cgroups.hierarchies import Layout
from pyoci.cgroups.paths import plan
from pyoci.errors import ConfigError
from pyoci.pathname import clean

HYBRID = Layout(
    version="hybrid",
    mounts={"pids": "/sys/fs/cgroup/pids", "cpu": "/sys/fs/cgroup/cpu,cpuacct", "": "/sys/fs/cgroup/unified"},
    own={"pids": "/user/1", "cpu": "/", "": "/session"},
)
V2 = Layout(version="v2", mounts={"": "/sys/fs/cgroup"}, own={"": "/user.slice/session"})

components = st.lists(st.sampled_from(["", ".", "..", "a", "b.scope", "...", " "]), max_size=8)


def test_absolute() -> None:
    assert plan(HYBRID, "/libpod_parent/libpod-1", "id") == {
        "pids": "/sys/fs/cgroup/pids/libpod_parent/libpod-1",
        "cpu": "/sys/fs/cgroup/cpu,cpuacct/libpod_parent/libpod-1",
        "": "/sys/fs/cgroup/unified/libpod_parent/libpod-1",
    }


@pytest.mark.parametrize("path", [None, "", "id", "./x/../id"])
def test_relative_starts_at_the_own_cgroup_on_v1(path: str | None) -> None:
    assert plan(HYBRID, path, "id") == {
        "pids": "/sys/fs/cgroup/pids/user/1/id",
        "cpu": "/sys/fs/cgroup/cpu,cpuacct/id",
        "": "/sys/fs/cgroup/unified/session/id",
    }


@pytest.mark.parametrize("path", [None, "", "id", "../id", "../../../id"])
def test_relative_starts_at_the_parent_on_v2(path: str | None) -> None:
    assert plan(V2, path, "id") == {"": "/sys/fs/cgroup/user.slice/id"}


def test_relative_in_the_root_of_v2() -> None:
    layout = Layout(version="v2", mounts={"": "/sys/fs/cgroup"}, own={"": "/"})
    assert plan(layout, "a/b", "id") == {"": "/sys/fs/cgroup/a/b"}


@pytest.mark.parametrize("path", ["/", "..", ".", "/..", "a/..", "//"])
def test_the_root_is_refused(path: str) -> None:
    for layout in (HYBRID, V2):
        with pytest.raises(ConfigError) as caught:
            plan(layout, path, "id")
        assert caught.value.pointer == "/linux/cgroupsPath"


@given(components, st.booleans())
def test_a_planned_path_is_below_its_mount(parts: list[str], absolute: bool) -> None:
    path = "/" * absolute + "/".join(parts)
    for layout in (HYBRID, V2):
        try:
            directories = plan(layout, path, "id")
        except ConfigError:
            assert clean(path) == "/"
            continue
        for controller, directory in directories.items():
            assert directory.startswith(f"{layout.mounts[controller]}/")
            assert directory.endswith(clean(path or "id"))
