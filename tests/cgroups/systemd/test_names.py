"""cgroupsPath as the systemd driver reads it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.cgroups.hierarchies import Layout
from pyoci.cgroups.systemd import names
from pyoci.errors import ConfigError

V2 = Layout(version="v2", mounts={"": "/sys/fs/cgroup"}, own={"": "/user.slice/user-7.slice/user@7.service/a.scope"})
PARTS = st.lists(st.text("abz09_.", min_size=1), min_size=1, max_size=5)
ADDRESSES = ("unix:path=/x",)


def unit(path: str | None, user: bool = False) -> names.Unit:
    return names.unit(path, "web", user, ADDRESSES)


@given(PARTS)
def test_each_slice_is_in_the_one_that_its_name_names(parts: list[str]) -> None:
    name = "-".join(parts)
    path = names.expand_slice(f"{name}.slice").split("/")[1:]
    assert len(path) == len(parts)
    assert path[-1] == f"{name}.slice"
    for above, below in pairwise(path):
        assert below.startswith(above.removesuffix(".slice") + "-")


def test_slices() -> None:
    assert names.expand_slice("a-b-c.slice") == "/a.slice/a-b.slice/a-b-c.slice"
    assert names.expand_slice("-.slice") == ""


@pytest.mark.parametrize("name", ["", "a", ".slice", "a--b.slice", "-a.slice", "a-.slice", "a/b.slice", "--.slice"])
def test_what_is_no_slice(name: str) -> None:
    with pytest.raises(ConfigError, match=f"^invalid slice name: {name}$") as caught:
        names.expand_slice(name)
    assert caught.value.pointer == "/linux/cgroupsPath"


def test_the_root_of_all_slices_is_nobody_s_own() -> None:
    with pytest.raises(ConfigError, match=r"^cgroupsPath 'a.slice:x:-.slice' names no cgroup of its own$"):
        unit("a.slice:x:-.slice")


@pytest.mark.parametrize(
    ("path", "user", "name", "slice", "group"),
    [
        (None, False, "runc-web.scope", "system.slice", "/system.slice/runc-web.scope"),
        ("", True, "runc-web.scope", "user.slice", "/user.slice/runc-web.scope"),
        ("a-b.slice:docker:1", False, "docker-1.scope", "a-b.slice", "/a.slice/a-b.slice/docker-1.scope"),
        (":docker:1", False, "docker-1.scope", "system.slice", "/system.slice/docker-1.scope"),
        (":docker:1", True, "docker-1.scope", "user.slice", "/user.slice/docker-1.scope"),
        ("a.slice::1", False, "-1.scope", "a.slice", "/a.slice/-1.scope"),
        ("-.slice:p:1", False, "p-1.scope", "-.slice", "/p-1.scope"),
        ("a.slice:p:a-b.slice", False, "a-b.slice", "a.slice", "/a.slice/a-b.slice"),
    ],
)
def test_units(path: str | None, user: bool, name: str, slice: str, group: str) -> None:
    found = unit(path, user)
    assert found == names.Unit(name=name, slice=slice, user=user, buses=ADDRESSES)
    assert names.control_group(found, "") == group
    assert names.control_group(found, "/m") == f"/m{group}"


@pytest.mark.parametrize("path", ["/a/b", "a.slice:b", "a:b:c:d", "web"])
def test_the_form_must_be_right(path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        unit(path)
    assert caught.value.message == (
        f'expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, got "{path}" instead'
    )
    assert caught.value.pointer == "/linux/cgroupsPath"


def test_names_that_lead_elsewhere() -> None:
    with pytest.raises(ConfigError, match="invalid unit name"):
        unit("a.slice:b/..:c")
    with pytest.raises(ConfigError, match="invalid slice name"):
        unit("a.slice:b:../c.slice")
    with pytest.raises(ConfigError, match="invalid slice name"):
        unit("../a.slice:b:c")


def test_where_it_will_be() -> None:
    assert names.planned(V2, unit(None), 0) == {"": "/sys/fs/cgroup/system.slice/runc-web.scope"}
    manager = "/sys/fs/cgroup/user.slice/user-7.slice/user@7.service"
    assert names.planned(V2, unit(None, user=True), 1000) == {"": f"{manager}/user.slice/runc-web.scope"}
    v1 = Layout(version="v1", mounts={"cpu": "/sys/fs/cgroup/cpu", "name=systemd": "/c/systemd"}, own={})
    assert names.planned(v1, unit(None), 0) == {
        "cpu": "/sys/fs/cgroup/cpu/system.slice/runc-web.scope",
        "name=systemd": "/c/systemd/system.slice/runc-web.scope",
    }


def test_a_users_systemd() -> None:
    usual = "/user.slice/user-5.slice/user@5.service"
    assert names.user_manager("/", 5) == usual
    assert names.user_manager(f"{usual}/app.slice/a.scope", 6) == usual
    assert names.user_manager("/user.slice/user-5.slice/session-1.scope", 5) == usual
    assert names.user_manager("/lane/user@5.service", 5) == "/lane/user@5.service"


def test_units_that_systemd_has_forgotten(tmp_path: Path) -> None:
    unit = names.unit(None, "web", False, (f"unix:path={tmp_path}/systemd/private", "unix:path=/x"))
    assert not names.is_forgotten(unit), "nobody can tell"
    (tmp_path / "systemd/transient").mkdir(parents=True)
    assert names.is_forgotten(unit)
    (tmp_path / "systemd/transient/runc-web.scope").touch()
    assert not names.is_forgotten(unit)
    assert not names.is_forgotten(names.unit(None, "web", False, ("unix:path=/x",)))
    assert not names.is_forgotten(names.unit(None, "web", False, ()))


def test_addresses() -> None:
    private, bus = "unix:path=/run/systemd/private", "unix:path=/run/dbus/system_bus_socket"
    assert names.addresses(False, {"XDG_RUNTIME_DIR": "/r"}, 0, False) == (private, bus)
    assert names.addresses(False, {"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/x"}, 0, False) == (private, "unix:path=/x")
    own = ("unix:path=/r/systemd/private", "unix:path=/r/bus")
    assert names.addresses(True, {"XDG_RUNTIME_DIR": "/r"}, 5, False) == own
    same = {"XDG_RUNTIME_DIR": "/r", "DBUS_SESSION_BUS_ADDRESS": "unix:path=/r/bus,guid=1"}
    assert names.addresses(True, same, 5, False) == own
    other = {"XDG_RUNTIME_DIR": "/r", "DBUS_SESSION_BUS_ADDRESS": "unix:path=/o;unix:path=/p"}
    assert names.addresses(True, other, 5, False) == ("unix:path=/o", "unix:path=/p")
    assert names.addresses(True, {}, 5, False)[0] == "unix:path=/run/user/5/systemd/private"
    assert names.addresses(True, {}, 0, True) == ()  # uid 0 of a user namespace: whoever that is
