"""Containers of a root that is one in a user namespace only, or in a container that is allowed everything."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyoci.kernel import capability
from pyoci.kernel.capability_names import NAMES
from tests.container.box import Box, Done
from tests.container.rootless.users import (
    NOBODY,
    Config,
    Rootless,
    enter,
    live_in_a_cgroup,
    live_without_cgroups,
    without_user,
)
from tests.isolation import user_namespace
from tests.steps.look import changes, parse

pytestmark = pytest.mark.root

FIRST = 100000  # the first of 65536 ids
DENIED = f"setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups unshare --user --map-root-user"
INSIDE = "nsenter --user={} --setuid 0 --setgid 0 unshare --mount"


@pytest.fixture
def ranges(box: Box) -> Iterator[Rootless]:
    """Root of a user namespace with 65536 ids, as podman makes it from /etc/subuid. The namespace stays, so that
    several commands are in the same one."""
    namespace = user_namespace(f"0 {FIRST} 65536\n")
    box.directory.chmod(0o755)
    made = Rootless(box, uid=FIRST, inside=INSIDE.format(f"/proc/{os.getpid()}/fd/{namespace}"))
    yield made
    made.close()
    os.close(namespace)


@pytest.fixture
def single(box: Box) -> Iterator[Rootless]:
    """Root of a user namespace that an unprivileged user made: one id, setgroups forbidden for good. Each command
    has one of its own."""
    made = Rootless(box, inside=DENIED)
    yield made
    made.close()


def run(user: Rootless, *changed: Any, args: tuple[str, ...] = ("report",)) -> Done:
    return user.box("run", "--bundle", str(user.bundle(*args, change=changes(*changed), mapped=0)), "c")


def seen(done: Done, warning: str = "") -> dict[str, Any]:
    assert done.returncode == 0, done
    assert (warning in done.stderr) if warning else (done.stderr == ""), done.stderr
    [report] = parse(done)
    return dict(report)


def groups(*numbers: int) -> Any:
    return lambda config: config["process"]["user"].update(additionalGids=list(numbers))


def test_in_the_same_user_namespace(ranges: Rootless) -> None:
    """As podman asks for it: no user namespace of the container's own."""
    report = seen(run(ranges, without_user, groups(5)))
    assert [line.split() for line in report["uid_map"]] == [["0", str(FIRST), "65536"]]
    assert (report["uid"], report["groups"], report["setgroups"]) == ([0, 0, 0], [5], "allow")


def test_in_one_more_user_namespace(ranges: Rootless) -> None:
    """Root may map every id that it has, without the helpers, and setgroups stays allowed."""

    def change(config: Config) -> None:
        rows = [{"containerID": 0, "hostID": 1000, "size": 1000}]
        config["linux"].update(uidMappings=rows, gidMappings=rows)
        config["process"]["user"].update(uid=7, gid=8, additionalGids=[9])

    bundle = ranges.bundle("report", change=change, owner=FIRST + 1000)
    report = seen(ranges.box("run", "--bundle", str(bundle), "c"))
    assert [line.split() for line in report["uid_map"]] == [["0", "1000", "1000"]]
    assert (report["uid"], report["gid"], report["groups"]) == ([7] * 3, [8] * 3, [9])


@pytest.mark.parametrize(
    ("own", "below"), [(True, True), (True, False), (False, True)], ids=["below", "in-the-same", "the-container-s"]
)
def test_mapped_mounts(ranges: Rootless, own: bool, below: bool) -> None:
    """Of a file system that was mounted in there, with and without a user namespace of the container's own. The host's
    ids are those of the runtime's namespace."""
    box = ranges.box
    place = box.directory / "volume"
    place.mkdir()
    make = f'mount -t tmpfs v {place}; touch {place}/file; chown 5:6 {place}/file; exec "$@"'
    box.prefix = (*box.prefix, "sh", "-ec", make, "sh")
    rows = [{"containerID": 0, "hostID": 1000, "size": 900}]

    def change(config: Config) -> None:
        mount = {"destination": "/volume", "source": str(place), "type": "bind", "options": ["bind", "idmap"]}
        config["mounts"].append(mount | ({"uidMappings": rows, "gidMappings": rows} if own else {}))
        config["linux"].update(uidMappings=rows, gidMappings=rows)
        if not below:
            without_user(config)

    bundle = ranges.bundle("report", "/volume/file", change=change, owner=FIRST + (1000 if below else 0))
    report = seen(box("run", "--bundle", str(bundle), "c"))
    file = report["files"]["/volume/file"]
    assert (file["uid"], file["gid"]) == ((5, 6) if below else (1005, 1006))


@pytest.mark.parametrize(
    ("first", "size", "text", "hint"),
    [
        (65536, 1, "the program's user is mapped to 65536, an id that does not exist here", "/proc/self/uid_map"),
        (65000, 1000, "map uids 0 65000 1000", f"the runtime's own namespace, which has 0 {FIRST} 65536"),
    ],
    ids=["none", "too-many"],
)
def test_ids_that_the_runtime_has_not(ranges: Rootless, first: int, size: int, text: str, hint: str) -> None:
    def change(config: Config) -> None:
        rows = [{"containerID": 0, "hostID": first, "size": size}]
        config["linux"].update(uidMappings=rows, gidMappings=rows)

    done = ranges.box("run", "--bundle", str(ranges.bundle("report", change=change)), "c")
    said = done.stderr.splitlines()
    assert done.returncode == 1 and text in said[0], said
    assert "  pointer: /linux/uidMappings" in said and hint in said[-1]
    assert os.listdir(ranges.box.root) == []


@pytest.mark.parametrize("two_stages", [False, True])
@pytest.mark.parametrize("kind", ["user", "pid"])
def test_no_more_namespaces(ranges: Rootless, kind: str, two_stages: bool) -> None:
    """The error says which limits there are."""
    box = ranges.box
    box.prefix = (*box.prefix, "sh", "-ec", f'echo 0 >/proc/sys/user/max_{kind}_namespaces; exec "$@"', "sh")

    def change(config: Config) -> None:
        if two_stages:
            config["linux"]["namespaces"].append({"type": "time"})
            config["linux"]["timeOffsets"] = {"boottime": {"secs": 1}}

    done = run(ranges, change)
    said = done.stderr.splitlines()
    assert done.returncode == 1 and "no space left on device" in said[0]
    assert said[-1].startswith("  hint: a limit is reached") and "/proc/sys/user/max_" in said[-1]


def test_setgroups_is_forbidden(single: Rootless) -> None:
    """The caller's groups cannot be dropped, which is no error, as with runc."""
    report = seen(run(single, without_user))
    assert (report["setgroups"], report["uid"]) == ("deny", [0, 0, 0])
    assert [line.split() for line in report["uid_map"]] == [["0", str(NOBODY), "1"]]


def test_setgroups_is_forbidden_below_as_well(single: Rootless) -> None:
    report = seen(run(single))
    assert (report["setgroups"], [line.split() for line in report["uid_map"]]) == ("deny", [["0", "0", "1"]])


def test_groups_that_cannot_be_had_are_ignored(single: Rootless) -> None:
    """podman asks for those of the image's user, whatever can be had."""
    report = seen(
        run(single, without_user, groups(0, 5)),
        "ignoring additionalGids: setgroups is denied in this user namespace",
    )
    assert 5 not in report["groups"]


LIVES = [
    pytest.param(view, ids, below, id=f"{view}-{ids}{'-below' if below else ''}")
    for view in ("host", "v2", "delegated")
    for ids in ("ranges", "one")
    for below in (False, True)
]
LIVES += [
    pytest.param(view, ids, below, marks=pytest.mark.guest, id=f"guest-{view}-{ids}{'-below' if below else ''}")
    for view, ids, below in (("host", "ranges", True), ("host", "one", False), ("delegated", "ranges", False))
]


@pytest.mark.parametrize(("view", "ids", "below"), LIVES)
def test_life(box: Box, view: str, ids: str, below: bool) -> None:
    """Every command, of a root of a user namespace: containers in the same one, and in one more below."""
    first, outer = {"ranges": (FIRST, f"0 {FIRST} 65536"), "one": (NOBODY, f"0 {NOBODY} 1")}[ids]
    namespace = user_namespace(outer, first, ids == "ranges")
    box.directory.chmod(0o755)
    user = Rootless(box, view, uid=first, inside=enter(namespace, first))
    shift = 1000 if below and ids == "ranges" else 0
    count = {(False, "ranges"): 65536, (True, "ranges"): 1000}.get((below, ids), 1)

    def change(config: Config) -> None:
        if not below:
            without_user(config)
            return
        rows = [{"containerID": 0, "hostID": shift, "size": count}]
        config["linux"].update(uidMappings=rows, gidMappings=rows)

    bundle = user.bundle("sleep", change=change, owner=first + shift, mapped=0)
    try:
        if view == "delegated":
            live_in_a_cgroup(user, bundle)
        else:
            inside = ["0", str(shift) if below else str(first), str(count)]
            live_without_cgroups(user, bundle, [["0", str(first + shift), str(count)]], [inside])
    finally:
        user.close()
        os.close(namespace)


def test_ids_of_exec(ranges: Rootless) -> None:
    """The commands share the pid namespace, too: all of them see the same processes."""
    box = ranges.box
    bundle = ranges.bundle("sleep", change=without_user, mapped=0)
    assert box("run", "--detach", "--bundle", str(bundle), "c").stderr == ""
    [report] = parse(box("exec", "--user", "7:8", "--additional-gids", "9", "c", "/reporter", "report"))
    assert (report["uid"], report["gid"], report["groups"]) == ([7] * 3, [8] * 3, [9])


@pytest.mark.parametrize("flags", [[], ["SCHED_FLAG_RESET_ON_FORK"]], ids=["inherited", "reset-on-fork"])
def test_the_scheduler_of_exec(ranges: Rootless, flags: list[str]) -> None:
    """Of another user's process, too: the runtime, which may not schedule it, need not."""

    def change(config: Config) -> None:
        without_user(config)
        config["process"]["scheduler"] = {"policy": "SCHED_BATCH", "nice": 7, "flags": flags}
        config["process"]["user"].update(uid=5, gid=6)
        config["linux"]["seccomp"] = {
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["sched_setattr"], "action": "SCMP_ACT_ERRNO"}],
        }

    box = ranges.box
    assert box("run", "--detach", "--bundle", str(ranges.bundle("sleep", change=change, mapped=0)), "c").stderr == ""
    for user in ("0", "7"):
        found = seen(box("exec", "--user", user, "c", "/reporter", "report"))
        assert (found["uid"][0], found["sched_attr"]["policy"], found["sched_attr"]["nice"]) == (int(user), 3, 7)
        assert found["sched_attr"]["flags"] == len(flags)


@pytest.mark.parametrize(("user", "place"), [("somebody", "runtime"), ("root", "/run/pyoci")])
def test_the_default_root(ranges: Rootless, user: str, place: str) -> None:
    """A root that is one in a user namespace only is a user, unless it says that it is root."""
    runtime = ranges.box.directory / "runtime"
    runtime.mkdir()
    ranges.give(runtime)
    box = ranges.box
    bundle = ranges.bundle("exit", "0", change=without_user, mapped=0)
    environment = {**os.environ, "USER": user, "XDG_RUNTIME_DIR": str(runtime)}
    command = [*box.prefix, box.pyoci, "run", "--bundle", str(bundle), "c"]
    done = run_command(command, environment)
    if user == "root":
        assert "--root" in done.stderr and place in done.stderr
        assert not (runtime / "pyoci").exists()
    else:
        assert (done.returncode, done.stderr) == (0, "")
        assert oct((runtime / "pyoci").stat().st_mode) == "0o41700"


def run_command(command: list[str], environment: dict[str, str]) -> Done:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)


# -- a privileged container ------------------------------------------------------------------------------------------

BOUND = ("/usr", "/bin", "/lib", "/lib64", "/etc")


def privileged(box: Box, private: bool, *command: str) -> Path:
    """A bundle of root's that may do everything, with the installation and the box's directory in it; `private`: and
    with a cgroup namespace."""
    prefix = Path(os.environ.get("PYOCI", box.pyoci)).resolve().parents[1]

    def change(config: Config) -> None:
        every = [name for number, name in enumerate(NAMES) if capability.get()[1] >> number & 1]
        sets = dict.fromkeys(("bounding", "effective", "permitted"), every)
        config["process"].update(args=list(command), capabilities=sets, noNewPrivileges=False)
        config["root"]["readonly"] = False
        config["linux"].update(maskedPaths=[], readonlyPaths=[])
        config["linux"]["resources"] = {"devices": [{"allow": True, "access": "rwm"}]}
        if private:
            config["linux"]["namespaces"].append({"type": "cgroup"})
        for mount in config["mounts"]:
            mount["options"] = [one for one in mount.get("options", []) if one != "ro"]
        for path in (*BOUND, str(prefix), str(box.directory)):
            if os.path.isdir(path):
                options = ["rbind"] if path == str(box.directory) else ["rbind", "ro"]
                config["mounts"].append({"destination": path, "source": path, "type": "none", "options": options})

    return box.bundle(change=change)


def has_pids(box: Box) -> bool:
    """Whether the cgroups that its containers see can limit processes."""
    controllers = Path("/sys/fs/cgroup/cgroup.controllers")
    if controllers.exists():
        return "pids" in controllers.read_text().split()
    return box.view == "host" and os.path.isdir("/sys/fs/cgroup/pids")


@pytest.mark.parametrize("private", [False, True], ids=["", "cgroup namespace"])
@pytest.mark.parametrize(
    "either_box",
    [
        *("host", "v2"),
        pytest.param("host", marks=pytest.mark.booted, id="booted"),
        pytest.param("host", marks=pytest.mark.guest, id="guest"),
    ],
    indirect=True,
)
def test_in_a_privileged_container(either_box: Box, private: bool) -> None:
    """Cgroups beside or below its own, device nodes made, a read-only /sys and a network namespace: as on the host."""
    box = either_box

    def change(config: Config) -> None:
        config["linux"].pop("cgroupsPath")
        config["linux"]["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
        if has_pids(box):
            config["linux"]["resources"]["pids"] = {"limit": 10}
        config["linux"]["devices"] = [{"path": "/dev/mine", "type": "c", "major": 1, "minor": 3}]

    inner = box.bundle("report", "/dev/mine", "/dev/null", change=change)
    (box.directory / "inner").mkdir()
    words = ("--root", str(box.directory / "inner"), "run", "--bundle", str(inner), "inner")
    outer = privileged(box, private, box.pyoci, *words)
    done = box("run", "--bundle", str(outer), "outer")
    report = seen(done)
    mine = report["files"]["/dev/mine"]
    assert (mine["type"], mine["major"], mine["minor"], mine["uid"]) == ("char", 1, 3, 0)
    assert report["files"]["/dev/null"]["inode"] != os.stat("/dev/null").st_ino
    lines = report["cgroup"]
    assert any(line.endswith("/inner") for line in lines), lines
    assert all(line.endswith("/inner") for line in lines if f"/{box.mark}/" in line), lines


@pytest.mark.guest
def test_memory_in_a_privileged_container(box: Box) -> None:
    """With a cgroup namespace the runtime is in the root of what it sees, which hands memory on to nobody until it has
    no processes any more."""

    def change(config: Config) -> None:
        config["linux"].pop("cgroupsPath")
        config["linux"]["resources"] = {"memory": {"limit": 64 << 20}}

    inner = box.bundle("report", change=change)
    for name in ("first", "second"):
        (box.directory / name).mkdir()
    words = f"{box.pyoci} --root {box.directory}/$0 run --bundle {inner} inner"
    done = box("run", "--bundle", str(privileged(box, True, "sh", "-c", words, "first")), "outer")
    assert done.returncode == 1
    assert "with domain controllers -- it is in an invalid state" in done.stderr
    assert "hint: there are processes in /sys/fs/cgroup; move them" in done.stderr
    leaf = "mkdir /sys/fs/cgroup/leaf; echo 0 >/sys/fs/cgroup/leaf/cgroup.procs;"
    done = box("run", "--bundle", str(privileged(box, True, "sh", "-c", f"{leaf} exec {words}", "second")), "outer")
    report = seen(done)
    assert [line for line in report["cgroup"] if line.endswith("/inner")], report["cgroup"]
