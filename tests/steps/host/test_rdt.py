"""The steps of linux.intelRdt, in the tree of tests/rdt/tree.py."""

from __future__ import annotations

import os
from collections.abc import Callable
from errno import EINVAL
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci import config, jsonfile
from pyoci.cli import spec
from pyoci.config.linux import IntelRdt
from pyoci.container import state
from pyoci.container.create import create
from pyoci.container.delete import delete
from pyoci.container.options import CreateOptions
from pyoci.errors import Error, StepError
from pyoci.kernel import constants, resctrl, textfile
from pyoci.plan import create as plan
from pyoci.plan.inputs import ExecInputs
from pyoci.rdt import group as rdt_group
from pyoci.steps.host.context import HostContext, run
from pyoci.steps.host.rdt import JoinRdtGroup, MakeRdtGroup
from pyoci.steps.init.context import InitContext
from pyoci.undo import Undo
from tests.container.box import Box
from tests.isolation import in_namespace
from tests.plan.configs import around, entering, read
from tests.rdt.tree import SCHEMATA, fill, mount
from tests.steps.look import process

__all__ = ["mount"]


def carry_out(id: str = "web", **members: Any) -> tuple[rdt_group.Group, HostContext]:
    """Both steps, for a process 4711."""
    wanted = config.read({"linux": {"intelRdt": members}}).linux.intel_rdt
    assert wanted is not None
    group = rdt_group.group(wanted, id)
    made = HostContext(None, Undo(), InitContext(None))  # type: ignore[arg-type]
    made.pid = 4711
    with made.undo:
        paths = (group.path, group.monitor) if group.monitor else (group.path,)
        run((MakeRdtGroup(rdt=wanted, group=group), JoinRdtGroup(paths=paths)), made)
    return group, made


def test_a_group_of_the_containers_own(mount: Path) -> None:
    """Named after it, with the lines in the specification's order; delete removes it."""
    group, _ = carry_out(l3CacheSchema="L3:0=7f0;1=1f", memBwSchema="MB:0=20;1=70", schemata=["L2:0=f", "L2:1=3"])
    assert (mount / "web/schemata").read_text() == "L3:0=7f0;1=1f\nMB:0=20;1=70\nL2:0=f\nL2:1=3\n"
    assert (mount / "web/tasks").read_text() == "4711"
    assert group.removed() == (f"{mount}/web",)


def test_without_schemata_none_are_written(mount: Path) -> None:
    carry_out()
    assert (mount / "web/schemata").read_text() == SCHEMATA
    assert (mount / "web/tasks").read_text() == "4711"


def test_a_group_that_was_there_stays(mount: Path) -> None:
    """It has the container's name, but somebody else made it."""
    fill(f"{mount}/web")
    group, _ = carry_out(memBwSchema="MB:0=20")
    assert (mount / "web/schemata").read_text() == "MB:0=20\n"
    assert group.removed() == ()


def test_a_class_of_service_that_is_new(mount: Path) -> None:
    group, _ = carry_out(closID="gold", l3CacheSchema="L3:0=f")
    assert (mount / "gold/schemata").read_text() == "L3:0=f\n"
    assert group.removed() == (), "others may come to share it"


@pytest.mark.parametrize("schema", [{"l3CacheSchema": "L3:0=0fff;1=FFF"}, {"schemata": ["MB:1=100"]}, {}])
def test_a_class_of_service_that_exists(mount: Path, schema: dict[str, Any]) -> None:
    """Its schemata are those that are wanted, in another spelling; nothing is written."""
    fill(f"{mount}/gold")
    carry_out(closID="gold", **schema)
    assert (mount / "gold/schemata").read_text() == SCHEMATA
    assert (mount / "gold/tasks").read_text() == "4711"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("L3:0=ff;1=fff", "L3:0=ff is wanted, fff is there"),
        ("L3:2=fff", "L3:2=fff is wanted, nothing is there"),
        ("L2:0=f", "L2:0=f is wanted, nothing is there"),
    ],
)
def test_a_class_of_service_with_other_schemata(mount: Path, line: str, said: str) -> None:
    """config-linux.md: an error, not a change for those who are in it."""
    fill(f"{mount}/gold")
    with pytest.raises(StepError, match="do not match") as caught:
        carry_out(closID="gold", schemata=[line])
    assert said in caught.value.message
    assert (mount / "gold/tasks").read_text() == ""


def test_a_class_of_service_that_somebody_else_makes_meanwhile(mount: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two containers of one class at once: it exists for the second, which compares and undoes nothing."""
    monkeypatch.setattr(resctrl, "make_group", lambda path: fill(path) or os.mkdir(path))
    with pytest.raises(StepError, match="do not match"):
        carry_out(closID="gold", schemata=["L3:0=ff"])
    carry_out(closID="silver", schemata=["L3:0=fff"])
    assert [(mount / name / "schemata").read_text() for name in ("gold", "silver")] == [SCHEMATA] * 2


def test_a_class_of_service_that_has_to_exist(mount: Path) -> None:
    with pytest.raises(StepError, match=r"clos dir not accessible .must be pre-created when") as caught:
        carry_out(closID="gold")
    assert caught.value.pointer == "/linux/intelRdt"
    assert not (mount / "gold").exists()


def test_the_default_class(mount: Path) -> None:
    """closID "/": the root of the file system."""
    group, _ = carry_out(closID="/")
    assert (group.path, group.removed()) == (str(mount), ())
    assert (mount / "tasks").read_text() == "4711"


@pytest.mark.parametrize(("clos", "top"), [("", "web"), ("gold", "gold"), ("/", "")])
def test_monitoring(mount: Path, clos: str, top: str) -> None:
    """A group that counts, with the container's name, below its class; it always goes with the container."""
    if clos == "gold":
        fill(f"{mount}/gold")
    group, _ = carry_out(closID=clos, enableMonitoring=True)
    monitor = mount / top / "mon_groups/web"
    assert (monitor / "tasks").read_text() == (mount / top / "tasks").read_text() == "4711"
    assert group.monitor == str(monitor)
    assert group.removed() == ((str(mount / "web"),) if not clos else (str(monitor),))


# -- failures


def write_fails(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    real = resctrl.write

    def write(path: str, text: str) -> None:
        if path.endswith(name):
            raise OSError(EINVAL, os.strerror(EINVAL), path)
        real(path, text)

    monkeypatch.setattr(resctrl, "write", write)


@pytest.mark.parametrize(
    ("name", "said"),
    [("schemata", 'intelrdt: unable to write "L3:0=x\\n": '), ("web/tasks", "intelrdt: unable to add pid 4711: ")],
)
def test_what_the_kernel_refuses(mount: Path, name: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own words about it; and what was made is gone again."""
    (mount / "info/last_cmd_status").write_text("Non-hex character in the mask x\n")
    write_fails(monkeypatch, name)
    with pytest.raises(StepError) as caught:
        carry_out(l3CacheSchema="L3:0=x", enableMonitoring=True)
    assert caught.value.message.startswith(f"unable to apply Intel RDT configuration: {said}")
    assert caught.value.message.endswith("invalid argument, last_cmd_status: Non-hex character in the mask x")
    assert caught.value.errno == EINVAL
    assert sorted(os.listdir(mount)) == ["info", "mon_groups", "schemata", "tasks"]


def test_no_group_left(mount: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hardware has a few dozen at most."""

    def full(path: str) -> None:
        raise OSError(28, os.strerror(28), path)

    monkeypatch.setattr(resctrl, "make_group", full)
    with pytest.raises(StepError, match="no space left on device, last_cmd_status: ok"):
        carry_out()


@pytest.mark.parametrize(
    ("feature", "member", "said"),
    [
        ("L3", {"l3CacheSchema": "L3:0=f"}, "intelRdt.l3CacheSchema is specified in config, but Intel RDT/CAT is not"),
        ("MB", {"memBwSchema": "MB:0=10"}, "intelRdt.memBwSchema is specified in config, but Intel RDT/MBA is not"),
    ],
)
def test_hardware_with_the_other_half_only(mount: Path, feature: str, member: dict[str, str], said: str) -> None:
    (mount / "info" / feature).rmdir()
    with pytest.raises(StepError, match=said) as caught:
        carry_out(**member)
    assert caught.value.pointer == f"/linux/intelRdt/{next(iter(member))}"
    assert not (mount / "web").exists()


@pytest.mark.root
@pytest.mark.skipif(os.path.ismount(resctrl.PLACE), reason="this machine has resctrl")
def test_a_machine_without_resctrl(box: Box) -> None:
    bundle = box.bundle("report", change=lambda raw: raw["linux"].update(intelRdt={}))
    done = box("run", "--bundle", str(bundle), "a")
    assert done.returncode == 1
    assert "intelRdt is specified in config, but Intel RDT is not enabled" in done.stderr.splitlines()[0]
    assert "  pointer: /linux/intelRdt" in done.stderr.splitlines()
    assert not box.root.exists() or os.listdir(box.root) == []


# -- where it is mounted


def test_where_it_is_mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resctrl, "PLACE", str(tmp_path))
    monkeypatch.setattr(resctrl, "filesystem_type", lambda descriptor: constants.RDTGROUP_SUPER_MAGIC)
    assert resctrl.find() == str(tmp_path)
    monkeypatch.setattr(resctrl, "filesystem_type", lambda descriptor: 0)
    assert resctrl.find() == "", "mountinfo has none"
    monkeypatch.setattr(resctrl, "PLACE", "/nowhere/resctrl")
    assert resctrl.find() == ""


def test_another_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mountinfo = b"22 1 8:1 / / rw - ext4 /dev/a rw\n"
    mountinfo += b"36 25 0:31 / /mnt/re\\040source rw,relatime shared:20 - resctrl resctrl rw\n"
    monkeypatch.setattr(resctrl, "PLACE", str(tmp_path))
    monkeypatch.setattr(textfile, "read", lambda path: mountinfo)
    assert resctrl.find() == "/mnt/re source"


@given(st.dictionaries(st.integers(0, 9), st.integers(0, 0xFFFF), min_size=1), st.randoms())
def test_schemata_compare_by_value(values: dict[int, int], random: Any) -> None:
    """Whatever their order, zeros and blanks."""
    items = list(values.items())
    random.shuffle(items)
    other = "  L3 :" + ";".join(f"0{id}={value:08X}" for id, value in items)
    one = "L3:" + ";".join(f"{id}={value:x}" for id, value in values.items())
    assert resctrl.resources(one.encode()) == resctrl.resources(other.encode())
    id, value = items[0]
    assert resctrl.resources(one.encode()) != resctrl.resources(f"{other};{id}={value + 1:x}".encode())


# -- the life of a container


@pytest.mark.root
def test_a_container(mount: Path, box: Box) -> None:
    """In state.json by runc's names, the process in its groups before it runs, and nothing left after delete."""

    def change(raw: dict[str, Any]) -> None:
        raw["linux"]["intelRdt"] = {"schemata": ["L3:0=f"], "enableMonitoring": True}

    bundle = box.bundle("exit", "0", change=change)

    def body() -> dict[str, Any]:
        create(CreateOptions(root=str(box.root), id="a", bundle=str(bundle)))
        raw = jsonfile.read(f"{box.root}/a/state.json", what="state.json")
        container = state.load(str(box.root), "a")
        tasks = [(mount / name / "tasks").read_text() for name in ("a", "a/mon_groups/a")]
        delete(str(box.root), "a", force=True)
        return {"raw": raw, "pid": str(container.pid), "tasks": tasks, "left": sorted(os.listdir(mount))}

    found = in_namespace(body, 0)
    assert found["raw"]["intel_rdt_path"] == f"{mount}/a"
    assert found["raw"]["intel_rdt_mon_path"] == f"{mount}/a/mon_groups/a"
    assert found["tasks"] == [found["pid"]] * 2
    assert found["left"] == ["info", "mon_groups", "schemata", "tasks"]


@pytest.mark.root
def test_a_create_that_fails_later(mount: Path, box: Box) -> None:
    def change(raw: dict[str, Any]) -> None:
        process(args=["/no/such/program"])(raw)
        raw["linux"]["intelRdt"] = {"enableMonitoring": True}

    bundle = box.bundle("exit", "0", change=change)

    def body() -> None:
        create(CreateOptions(root=str(box.root), id="a", bundle=str(bundle)))

    with pytest.raises(Error, match="no such file or directory"):
        in_namespace(body, 0)
    assert sorted(os.listdir(mount)) == ["info", "mon_groups", "schemata", "tasks"]


def test_a_process_of_exec_joins_both() -> None:
    raw = {"process": {"args": ["true"], "cwd": "/"}}
    inputs: Callable[..., ExecInputs] = ExecInputs
    members: dict[str, Any] = {"id": "a", "joins": (), "set_groups": True, "chroot": False, "umask": 0, "cgroups": {}}
    for more, paths in (
        ({}, []),
        ({"rdt_path": "/r/a"}, [("/r/a",)]),
        ({"rdt_path": "/r/a", "rdt_monitor": "/r/a/mon_groups/a"}, [("/r/a", "/r/a/mon_groups/a")]),
    ):
        made = entering(config.read(raw), inputs(**members, **more))
        assert [step.paths for step in made.admit if isinstance(step, JoinRdtGroup)] == paths


def test_the_group_is_ready_before_the_process_and_joined_before_it_goes_on() -> None:
    raw = spec.example(v2=False)
    raw["linux"]["intelRdt"] = {"schemata": ["L3:0=f"]}
    where = around(raw, rdt=rdt_group.Group(mount="/r", path="/r/web", make=True))
    made = plan.make(read(raw), where)
    names = [step.describe() for step in (*made.prepare, *made.admit) if "resctrl" in step.describe()]
    assert names == ["make the resctrl group /r/web with L3:0=f", "enter the resctrl group /r/web"]
    assert rdt_group.schemata(IntelRdt(mem_bw_schema="MB:0=1", l3_cache_schema="L3:0=1")) == ["L3:0=1", "MB:0=1"]


# -- update
