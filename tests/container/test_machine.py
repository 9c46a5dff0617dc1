"""What validate says this machine does not have."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pyoci import config
from pyoci.container import machine
from pyoci.pathname import clean

KINDS = "nodev\tproc\nnodev\ttmpfs\nnodev\tfuse\n\text4\n"
HINT = "the source of a bind mount has to be on this host"


def lacks(tmp_path: Path, raw: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Pointers, reasons and hints, on a machine of two processors and one memory node."""
    for name, text in (("cpu", "0-1\n"), ("node", "0\n")):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "online").write_text(text)
    (tmp_path / "filesystems").write_text(KINDS)
    (tmp_path / "bundle").mkdir(exist_ok=True)
    read = config.read({"ociVersion": "1.3.0", "root": {"path": "rootfs"}, **raw})
    found = machine.lacks(read, str(tmp_path / "bundle"), str(tmp_path), str(tmp_path / "filesystems"))
    return [(one.pointer, one.reason, one.hint) for one in found]


def mounts(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"mounts": [{"destination": "/d", **entry} for entry in entries]}


@pytest.mark.parametrize(
    ("kind", "hint"),
    [
        ("tmpfss", "did you mean 'tmpfs'?"),
        ("tmpfs.x", "its module may have to be loaded"),
        ("xfs-of-mine", "its module may have to be loaded"),
        ("tmpfs", None),
        ("fuse.sshfs", None),
        ("cgroup", None),
        ("cgroup2", None),
    ],
)
def test_file_systems(tmp_path: Path, kind: str, hint: str | None) -> None:
    found = lacks(tmp_path, mounts({"type": "proc"}, {"type": kind}))
    assert found == ([] if hint is None else [("/mounts/1/type", f"/proc/filesystems has no {kind!r}", hint)])


def test_a_remount_and_a_bind_mount_make_no_file_system(tmp_path: Path) -> None:
    entries = {"type": "x", "options": ["remount", "bind"]}, {"type": "x", "source": "/", "options": ["bind"]}
    assert lacks(tmp_path, mounts(*entries)) == []


@pytest.mark.parametrize("written", ["/nowhere/at/all", "sub/gone"])
def test_sources(tmp_path: Path, written: str) -> None:
    sub = tmp_path / "bundle/sub"
    sub.mkdir(parents=True)
    there = {"source": "sub", "options": ["bind"]}, {"source": str(sub), "type": "rbind"}
    assert lacks(tmp_path, mounts(*there)) == []
    gone = f"there is no {sub}/gone" if written == "sub/gone" else "there is no /nowhere"
    assert lacks(tmp_path, mounts(*there, {"source": written, "type": "bind"})) == [("/mounts/2/source", gone, HINT)]


def test_a_source_that_is_a_link_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    link = tmp_path / "bundle/link"
    link.symlink_to("gone")
    found = lacks(tmp_path, mounts({"source": "link", "type": "bind"}))
    assert found == [("/mounts/0/source", f"{link} is a link to what is not there", HINT)]


def test_a_source_that_only_create_may_look_at(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert lacks(tmp_path, mounts({"source": f"{tmp_path}/file/x", "type": "bind"})) == []  # ENOTDIR, as for EACCES


@pytest.mark.parametrize(
    ("earlier", "source", "missing"),
    [
        ("/other", "rootfs/etc/x", "etc/x"),
        ("/etc", "rootfs/etc/x", ""),  # may be in what is mounted there
        ("/etc/x/y", "rootfs/etc/x", ""),  # made on the way there
        ("/", "rootfs/etc/x", ""),
        ("/other", "rootfs/var/run/x", ""),  # by a link of the image, perhaps to an earlier mount
        ("/other", "rootfs/etc", ""),
    ],
)
def test_sources_below_the_root(tmp_path: Path, earlier: str, source: str, missing: str) -> None:
    root = tmp_path / "bundle/rootfs"
    (root / "etc").mkdir(parents=True)
    (root / "var").mkdir()
    (root / "var/run").symlink_to("/other")
    first = {"destination": earlier, "type": "tmpfs"}
    found = lacks(tmp_path, mounts(first, {"source": source, "type": "bind"}))
    assert found == ([("/mounts/1/source", f"there is no {root}/{missing}", HINT)] if missing else [])


def test_without_a_root_file_system_nothing_is_said_of_what_would_be_in_it(tmp_path: Path) -> None:
    assert lacks(tmp_path, mounts({"source": "rootfs/etc", "type": "bind"})) == []


@pytest.mark.parametrize(
    ("cpu", "place", "reason", "hint"),
    [
        ({"cpus": "0,4000"}, "cpus", "this machine has the processors 0-1", "name some of those, not 0,4000"),
        ({"cpus": "0-2"}, "cpus", "this machine has the processors 0-1", "name some of those, not 0-2"),
        ({"mems": "1"}, "mems", "this machine has the memory nodes 0", "name some of those, not 1"),
        ({"cpus": "0-"}, "cpus", "'' is no number", 'write numbers and ranges, as in "0-3,7"'),
        ({"cpus": "0,1", "mems": "0"}, "", "", ""),
        ({}, "", "", ""),
    ],
)
def test_processors_and_memory_nodes(tmp_path: Path, cpu: dict[str, str], place: str, reason: str, hint: str) -> None:
    found = lacks(tmp_path, {"linux": {"resources": {"cpu": cpu}}})
    assert found == ([(f"/linux/resources/cpu/{place}", reason, hint)] if place else [])


def test_a_machine_that_does_not_say_what_it_has(tmp_path: Path) -> None:
    read = config.read(
        {
            "ociVersion": "1.3.0",
            "root": {"path": "/"},
            **mounts({"type": "tmpfss"}),
            "linux": {"resources": {"cpu": {"cpus": "9000"}}},
        }
    )
    assert list(machine.lacks(read, "/", f"{tmp_path}/none", f"{tmp_path}/none")) == []


def test_this_machine_has_what_it_has() -> None:
    kinds = [line.split("\t")[-1] for line in Path("/proc/filesystems").read_text().splitlines()]
    cpus = Path("/sys/devices/system/cpu/online").read_text().strip()
    read = config.read(
        {
            "ociVersion": "1.3.0",
            "root": {"path": "/"},
            **mounts(*({"type": kind} for kind in kinds), {"source": os.getcwd(), "type": "bind"}),
            "linux": {"resources": {"cpu": {"cpus": cpus}}},
        }
    )
    assert list(machine.lacks(read, clean(os.getcwd()))) == []
