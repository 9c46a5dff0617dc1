"""Mappings of user namespaces and of mounts."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pyoci import config, environment
from pyoci.cli import spec
from pyoci.config.namespaces import IdMapping
from pyoci.errors import Error, StepError
from pyoci.kernel import procfs
from pyoci.steps.host import idmap
from pyoci.steps.host.context import HostContext
from pyoci.steps.host.idmap import OpenIdMapping, WriteIdMappings
from pyoci.steps.host.sources import OpenSource
from pyoci.steps.init.binds import BindMount
from pyoci.steps.init.context import InitContext
from tests.container.box import Box
from tests.isolation import CLONE_NEWUSER, in_namespace, user_namespace
from tests.steps.look import Config, Look, changes, parse
from tests.steps.scene import at_root, carry_out, context, mount

pytestmark = pytest.mark.root


def mappings(*rows: tuple[int, int, int]) -> tuple[IdMapping, ...]:
    return tuple(IdMapping(pointer="/m", container_id=a, host_id=b, size=c) for a, b, c in rows)


def write(step: WriteIdMappings, uid: int = 0) -> dict[str, str]:
    """The maps of a process in a new user namespace, written by a runtime of this uid."""

    def runtime() -> dict[str, str]:
        if uid:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        ready, go = os.pipe(), os.pipe()
        pid = os.fork()
        if pid == 0:
            from pyoci.kernel import namespace
            from pyoci.kernel.prctl import set_dumpable

            set_dumpable(True)
            namespace.unshare(CLONE_NEWUSER)
            os.write(ready[1], b"x")
            os.read(go[0], 1)
            os._exit(0)
        os.read(ready[0], 1)
        try:
            made = HostContext(None, None, InitContext(None))  # type: ignore[arg-type]
            made.proc = os.open("/proc", os.O_PATH)
            made.pid = pid
            carry_out(made, step)
            names = ("uid_map", "gid_map", "setgroups")
            return {name: " ".join(Path(f"/proc/{pid}/{name}").read_text().split()) for name in names}
        finally:
            os.write(go[1], b"x")
            os.waitpid(pid, 0)

    return in_namespace(runtime, 0)


def step(uids: tuple[IdMapping, ...], gids: tuple[IdMapping, ...], **more: Any) -> WriteIdMappings:
    members: dict[str, Any] = {"deny_setgroups": False, "helpers": False} | more
    return WriteIdMappings(uid_mappings=uids, gid_mappings=gids, **members)


def test_several_ranges() -> None:
    found = write(step(mappings((0, 100000, 10), (10, 5, 1), (1000, 300000, 500)), mappings((0, 7, 1))))
    assert found == {"uid_map": "0 100000 10 10 5 1 1000 300000 500", "gid_map": "0 7 1", "setgroups": "allow"}


def test_as_many_as_the_kernel_takes() -> None:
    """340 lines and less than a page of text, in one write(2)."""
    rows = mappings(*((number * 2, number * 2, 1) for number in range(340)))
    assert write(step(rows, mappings((0, 0, 1))))["uid_map"].count(" ") == 340 * 3 - 1


def test_an_unprivileged_runtime_maps_itself() -> None:
    own = mappings((0, 1000, 1))
    found = write(step(own, own, deny_setgroups=True, helpers=True), uid=1000)
    assert found == {"uid_map": "0 1000 1", "gid_map": "0 1000 1", "setgroups": "deny"}


def test_without_the_helpers_an_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    more = mappings((0, 1000, 1), (1, 100000, 65536))
    with pytest.raises(Error, match="newuidmap is not installed") as caught:
        write(step(more, more, helpers=True), uid=1000)
    assert caught.value.pointer == "/linux/uidMappings"
    assert "uidmap" in caught.value.hint


def helper(directory: Path, name: str, code: str) -> None:
    directory.chmod(0o755)
    (directory / name).write_text(f"#!/bin/sh\n{code}\n")
    (directory / name).chmod(0o755)


def test_what_the_helpers_are_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The pid and three numbers per range, nothing of our environment but PATH, and no descriptor."""
    log = tmp_path / "log"
    log.mkdir()
    log.chmod(0o777)
    for name in ("newuidmap", "newgidmap"):
        helper(tmp_path, name, f'shift; echo "$@" >{log}/{name}; /usr/bin/env >{log}/env; ls /proc/$$/fd >{log}/fd')
    monkeypatch.setenv("PATH", str(tmp_path) + ":/usr/bin:/bin")
    monkeypatch.setenv("SECRET", "x")
    found = write(step(mappings((0, 1000, 1), (1, 100000, 65536)), mappings((0, 0, 5)), helpers=True), uid=1000)
    assert found["uid_map"] == ""  # these helpers only write down what they got
    assert (log / "newuidmap").read_text() == "0 1000 1 1 100000 65536\n"
    assert (log / "newgidmap").read_text() == "0 0 5\n"
    assert "SECRET" not in (log / "env").read_text()
    assert {int(name) for name in (log / "fd").read_text().split()} <= {0, 1, 2, 10, 11}  # 10, 11: the shell's own


def test_what_a_helper_says_is_the_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    helper(tmp_path, "newuidmap", "echo 'range [0-5) not allowed' >&2; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Error, match=r"newuidmap: range \[0-5\) not allowed") as caught:
        write(step(mappings((0, 5, 5)), mappings((0, 5, 5)), helpers=True), uid=1000)
    assert "/etc/subuid" in caught.value.hint


def test_helpers_are_not_looked_for_in_relative_directories(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    helper(tmp_path, "newuidmap", "exit 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", ".:")
    assert environment.find_program("newuidmap") == ""


def test_root_does_not_ask_helpers() -> None:
    """A failure is the kernel's word: id 4294967295 does not exist."""
    with pytest.raises(StepError):
        write(step(mappings((0, 4294967295, 1)), mappings((0, 0, 1))))


@pytest.mark.tree
def test_newuidmap_maps_what_subuid_allows(tmp_path: Path) -> None:
    """The real helpers, setuid or with file capabilities, of the package uidmap."""
    if "PYOCI_LANE" not in os.environ:
        pytest.skip("writes to /etc: tests/lanes/tree pytest -m tree tests/steps/host/test_idmap.py")
    with open("/etc/subuid", "a") as one, open("/etc/subgid", "a") as other:
        one.write("nobody:200000:65536\n")
        other.write("nobody:200000:65536\n")
    rows = mappings((0, 65534, 1), (1, 200000, 65536))
    found = write(step(rows, rows, helpers=True), uid=65534)
    assert found == {"uid_map": "0 65534 1 1 200000 65536", "gid_map": "0 65534 1 1 200000 65536", "setgroups": "allow"}
    with pytest.raises(Error, match="newuidmap"):
        write(step(mappings((0, 65534, 1), (1, 500000, 5)), rows, helpers=True), uid=65534)
    assert subprocess.run(["id", "-u", "nobody"], capture_output=True, text=True, check=True).stdout == "65534\n"


# -- mounts ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "mapped").mkdir()
    (tmp_path / "source/below").mkdir(parents=True)
    (tmp_path / "source/file").touch()
    os.chown(tmp_path / "source/file", 5, 6)
    return tmp_path / "source"


def owners(made: InitContext, source: Path, option: str, **rows: Any) -> list[tuple[int, int]]:
    wanted = mount("/data", "none", str(source), f"rbind,{option}", **rows)
    opened = OpenIdMapping(
        pointer=f"{wanted.pointer}/uidMappings", uid_mappings=wanted.uid_mappings, gid_mappings=wanted.gid_mappings
    )
    carry_out(made, opened, OpenSource(mount=wanted, source=str(source)), BindMount(mount=wanted))
    found = []
    for name in ("file", "below/other"):
        status = os.stat(source.parent / "mapped/data" / name)
        found.append((status.st_uid, status.st_gid))
    return found


ROWS = {
    "uidMappings": [{"containerID": 0, "hostID": 2000, "size": 10}],
    "gidMappings": [{"containerID": 0, "hostID": 3000, "size": 5}, {"containerID": 6, "hostID": 4000, "size": 2}],
}


@pytest.mark.parametrize(("option", "below"), [("idmap", (7, 7)), ("ridmap", (2007, 4001))])
def test_mapped_mounts(source: Path, option: str, below: tuple[int, int]) -> None:
    """idmap maps the top mount only, ridmap what is mounted below it, too."""
    from pyoci.kernel import mount as kernel

    def prepare() -> None:
        target = os.open(source / "below", os.O_PATH)
        kernel.attach(kernel.new_filesystem("tmpfs"), target)
        (source / "below/other").touch()
        os.chown(source / "below/other", 7, 7)

    found = at_root(source.parent / "mapped", lambda made: owners(made, source, option, **ROWS), prepare=prepare)
    assert found == [(2005, 4000), below]


def test_mappings_of_a_user_namespace_that_is_joined(box: Box) -> None:
    """By the descriptor that it is joined by: under its name may be another one by now."""
    namespace = user_namespace("0 100000 65536\n")
    path = f"/proc/{os.getpid()}/fd/{namespace}"
    source = box.directory / "mapped"
    source.mkdir()
    os.chown(source, 5, 6)

    def change(config: Config) -> None:
        config["linux"]["namespaces"].append({"type": "user", "path": path})
        mount = {"destination": "/data", "source": str(source), "type": "bind", "options": ["bind", "idmap"]}
        config["mounts"] = [one for one in config["mounts"] if one["type"] != "cgroup"] + [mount]
        os.chown(max(box.directory.glob("bundle-*")) / "rootfs", 100000, 100000)

    bundle = box.bundle("report", "/data", change=change)
    done = box("run", "--bundle", str(bundle), "c")
    planned = box("plan", "--bundle", str(bundle)).stdout
    os.close(namespace)
    assert planned.count(path) == 2, "opened once, and joined"
    assert done.returncode == 0, done.stderr
    [seen] = parse(done)
    assert (seen["files"]["/data"]["uid"], seen["files"]["/data"]["gid"]) == (5, 6)


def test_the_process_that_holds_the_mappings_is_gone() -> None:
    def body() -> tuple[str, bool]:
        made = context()
        before = len(os.listdir(f"/proc/{os.getpid()}/fd"))
        carry_out(made, OpenIdMapping(pointer="/m", uid_mappings=mappings((0, 5, 1)), gid_mappings=mappings((0, 5, 1))))
        try:
            os.waitpid(-1, os.WNOHANG)
            children = True
        except ChildProcessError:
            children = False
        kind = os.readlink(f"/proc/self/fd/{made.descriptors['/m']}").partition(":")[0]
        assert len(os.listdir(f"/proc/{os.getpid()}/fd")) == before + 1
        return kind, children

    assert in_namespace(body, 0) == ("user", False)


def test_mappings_that_the_kernel_refuses() -> None:
    def body() -> None:
        carry_out(context(), OpenIdMapping(pointer="/m", uid_mappings=mappings((0, 5, 1), (0, 6, 1)), gid_mappings=()))

    with pytest.raises(StepError) as caught:
        in_namespace(body, 0)
    assert caught.value.pointer == "/m"


def test_a_container_with_two_ranges_and_a_volume_mapped_as_it_is(box: Box, look: Look, source: Path) -> None:
    """idmap without mappings of its own takes the container's: the owner is the same inside and on the disk."""
    rows = [{"containerID": 0, "hostID": 100000, "size": 1000}, {"containerID": 1000, "hostID": 300000, "size": 9000}]
    os.chown(source / "file", 1500, 3)

    def change(config: Config) -> None:
        linux = config["linux"]
        linux["namespaces"].append({"type": "user"})
        linux["uidMappings"] = linux["gidMappings"] = rows
        config["mounts"] = [one for one in config["mounts"] if one["type"] != "cgroup"]
        config["mounts"].append({"destination": "/data", "source": str(source), "options": ["bind", "idmap"]})
        config["process"]["user"] = {"uid": 1500, "gid": 3, "additionalGids": [2000]}
        for bundle in box.directory.glob("bundle-*"):
            os.chown(bundle / "rootfs", 100000, 100000)

    seen = look(changes(change), "/data/file", "/")
    assert (seen["files"]["/data/file"]["uid"], seen["files"]["/data/file"]["gid"]) == (1500, 3)
    assert (seen["uid"], seen["gid"], seen["groups"]) == ([1500] * 3, [3] * 3, [2000])
    assert [line.split() for line in seen["uid_map"]] == [["0", "100000", "1000"], ["1000", "300000", "9000"]]


def test_text() -> None:
    assert idmap.text(mappings((0, 1, 2), (3, 4, 5)), "\n") == "0 1 2\n3 4 5"
    assert config.read({}).linux.uid_mappings == ()
    assert procfs.root_is_procfs(os.open("/proc", os.O_PATH))


NOBODY = 65534


@pytest.mark.parametrize("offsets", [False, True])
def test_a_container_of_an_unprivileged_user(box: Box, offsets: bool) -> None:
    """In one stage and in two: its own id is mapped, and its oom_score_adj written before the process hides."""

    def change(config: Config) -> None:
        config.update(spec.rootless(config, NOBODY, NOBODY))
        del config["linux"]["cgroupsPath"]
        config["process"]["oomScoreAdj"] = 500
        if offsets:
            config["linux"]["namespaces"].append({"type": "time"})
            config["linux"]["timeOffsets"] = {"monotonic": {"secs": 1}}

    bundle = box.bundle("report", change=change)
    for path in (box.root, bundle, bundle / "rootfs"):
        os.chown(path, NOBODY, NOBODY)
    with box.as_user(NOBODY):
        done = box("run", "--bundle", str(bundle), "rootless")
    assert (done.returncode, done.stderr) == (0, ""), done
    [found] = parse(done)
    assert [line.split() for line in found["uid_map"]] == [["0", str(NOBODY), "1"]]
    assert (found["uid"], found["setgroups"], found["oom_score_adj"]) == ([0, 0, 0], "deny", "500")
