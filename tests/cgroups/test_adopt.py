"""The cgroup that systemd has made around a process, completed: what manager.adopt() adds."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pyoci.cgroups import manager, processes
from pyoci.cgroups.hierarchies import Layout, detect, parse_own
from pyoci.cgroups.systemd import names
from pyoci.undo import Undo

pytestmark = pytest.mark.root

InV2 = Callable[[Callable[[dict[str, str]], None]], None]


def own(pid: int) -> dict[frozenset[str], str]:
    return parse_own(Path(f"/proc/{pid}/cgroup").read_bytes())


def test_v1_in_every_hierarchy(v1: dict[str, str], planned: dict[str, str], sleeper: Callable[[], int]) -> None:
    """As after systemd's part on v1: the process is in some hierarchies, and goes to the others by adopt().

    systemd's own is left to systemd, in which the process already is.
    """
    pid = sleeper()
    paths = {controller: path for controller, path in planned.items() if controller}
    systemd = {controller: path for controller, path in paths.items() if controller in ("name=systemd", "cpu", "pids")}
    undo = Undo()
    manager.create(systemd, undo)
    for path in set(systemd.values()) - {paths.get("name=systemd")}:
        Path(path, "cgroup.procs").write_text(str(pid))
    before = own(pid).get(frozenset({"name=systemd"}))
    manager.adopt(paths, pid, undo)
    name = "/" + os.path.basename(paths["memory"])
    assert {key: path for key, path in own(pid).items() if key and key != {"name=systemd"}} == {
        key: name for key in own(pid) if key and key != {"name=systemd"} and key & paths.keys()
    }
    assert own(pid).get(frozenset({"name=systemd"})) == before
    if "cpuset" in paths:
        assert Path(paths["cpuset"], "cpuset.cpus").read_text().strip()
    processes.kill(paths)
    os.waitpid(pid, 0)
    undo.run()
    assert not any(os.path.exists(path) for path in paths.values())


def test_v2_has_the_controllers(in_v2: InV2, sleeper: Callable[[], int]) -> None:
    """A leaf that has a process, as systemd leaves it, below a parent that hands nothing on yet."""
    pid = sleeper()

    def body(paths: dict[str, str]) -> None:
        parent = paths[""]
        leaf = f"{parent}/leaf"
        os.makedirs(leaf)
        Path(leaf, "cgroup.procs").write_text(str(pid))
        undo = Undo()
        manager.adopt({"": leaf}, pid, undo)
        available = Path("/sys/fs/cgroup/cgroup.controllers").read_text().split()
        assert Path(leaf, "cgroup.controllers").read_text().split() == available
        assert Path(leaf, "cgroup.subtree_control").read_text().split() == []
        assert Path(leaf, "cgroup.procs").read_text().split() == [str(pid)]
        undo.run()
        assert os.path.isdir(leaf), "it is systemd's to remove"
        Path(f"/sys/fs/cgroup{detect().own['']}/cgroup.procs").write_text(str(pid))
        os.rmdir(leaf)
        os.rmdir(parent)

    in_v2(body)


def test_paths_of_a_unit_on_this_machine() -> None:
    """The same place below every hierarchy that is mounted here."""
    layout = detect()
    unit = names.unit("a-b.slice:p:n", "id", False, ())
    paths = names.planned(layout, unit, 0)
    assert paths.keys() == layout.mounts.keys()
    assert all(path.endswith("/a.slice/a-b.slice/p-n.scope") for path in paths.values())
    assert isinstance(layout, Layout)
