"""/proc and /sys are what they seem, and what is written below /proc reaches nothing else.

CVE-2019-16884, CVE-2019-19921, CVE-2023-27561, CVE-2023-28642, CVE-2025-52881.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.container.box import until
from tests.security.harness import Arena

pytestmark = pytest.mark.root

NOT_PROC = "cannot be mounted because it is not of type proc"
INSIDE_PROC = "cannot be mounted because it is inside /proc"
NOT_ORDINARY = "must be mounted on ordinary directory"


def bind(source: object, destination: str) -> dict[str, Any]:
    return {"destination": destination, "source": str(source), "options": ["rbind"]}


def tmpfs(destination: str) -> dict[str, Any]:
    return {"destination": destination, "type": "tmpfs", "source": "decoy"}


def mounting(*mounts: dict[str, Any]) -> Any:
    """A change of config.json: these mounts after the usual ones."""
    return lambda config: config["mounts"].extend(mounts)


def refused(arena: Arena, bundle: Path, mount: dict[str, Any]) -> str:
    """What `run` says about a config.json with this mount at its end; it must fail."""
    original = (bundle / "config.json").read_text()
    config = json.loads(original)
    config["mounts"].append(mount)
    (bundle / "config.json").write_text(json.dumps(config))
    done = arena.run(bundle)
    assert arena.is_clean_failure(done), (mount, done)
    (bundle / "config.json").write_text(original)
    return done.stderr


def control(arena: Arena, bundle: Path, *mounts: dict[str, Any]) -> None:
    """The same bundle works, with the same mounts in other places."""
    config = json.loads((bundle / "config.json").read_text())
    config["mounts"] += mounts
    (bundle / "config.json").write_text(json.dumps(config))
    done = arena.run(bundle)
    assert (done.returncode, done.stderr) == (0, ""), done


@pytest.mark.parametrize("kind", ["tmpfs", "directory", "process", "part"])
def test_something_else_on_proc(any_arena: Arena, kind: str) -> None:
    """A volume over /proc would be where security labels are written to."""
    sources = {"directory": any_arena.canary / "dir", "process": "/proc/1", "part": "/proc/sys"}
    bundle = any_arena.bundle("true")
    (bundle / "rootfs/dir").mkdir()
    (bundle / "rootfs/link").symlink_to("/proc")
    (bundle / "rootfs/dir/link").symlink_to("../link")
    for destination in ("/proc", "/proc/", "proc", "//proc/.", "/tmp/../proc", "/link", "/dir/link"):
        said = refused(any_arena, bundle, tmpfs(destination) if kind == "tmpfs" else bind(sources[kind], destination))
        assert NOT_PROC in said or INSIDE_PROC in said
    control(any_arena, bundle, tmpfs("/procs") if kind == "tmpfs" else bind(sources[kind], "/procs"))


IN_PROC = (
    *("/proc/self/attr", "/proc/self/attr/current", "/proc/1/attr", "/proc/thread-self/attr/exec", "proc/self"),
    *("/proc/sys", "/proc/sys/kernel", "/proc/sys/kernel/shmmax", "/proc/../proc/self/attr", "/proc/version"),
    *("/proc/1/root/proc/self/attr", "/link/attr", "/link/../1", "/tmp/loop/self/attr", "/proc/self/fd"),
)


@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_something_inside_proc(any_arena: Arena, kind: str) -> None:
    bundle = any_arena.bundle("true")
    (bundle / "rootfs/link").symlink_to("/proc/self")
    (bundle / "rootfs/tmp/loop").symlink_to("../proc")
    for destination in IN_PROC:
        is_file = destination.endswith(("current", "exec", "shmmax", "version"))
        source = any_arena.canary / ("dir/file" if is_file else "dir")
        if kind == "tmpfs" and is_file:
            continue
        said = refused(any_arena, bundle, tmpfs(destination) if kind == "tmpfs" else bind(source, destination))
        assert INSIDE_PROC in said or "symbolic links" in said  # /proc/1/root is a magic one
    elsewhere = (tmpfs("/a"), tmpfs("/b")) if kind == "tmpfs" else (bind(source, "/a/b"), bind(source, "/tmp/c"))
    control(any_arena, bundle, *elsewhere)


def test_what_may_be_mounted_there(any_arena: Arena) -> None:
    """The root of a procfs on /proc, and the files of lxcfs."""
    (any_arena.directory / "cpuinfo").write_text("the container's")
    change = mounting(bind("/proc", "/proc"), bind(any_arena.directory / "cpuinfo", "/proc/cpuinfo"))
    done = any_arena.run(any_arena.bundle("cat /proc/cpuinfo", change=change))
    assert (done.stdout, done.stderr) == ("the container's", "")


DECOYS = ("sys/net/ipv4/ip_forward", "self/attr/exec", "self/attr/apparmor/exec", "1/oom_score_adj", "self/fd/3")


def decoys(proc: Path) -> list[Path]:
    """What looks like a procfs, of ordinary files."""
    files = [proc / name for name in DECOYS]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("decoy")
    return files


def test_a_sysctl_reaches_the_kernel(any_arena: Arena) -> None:
    """An image without a /proc mount, with files in the places of what is written: they stay as they are."""

    def change(config: dict[str, Any]) -> None:
        config["mounts"] = [one for one in config["mounts"] if one["destination"] != "/proc"]
        config["linux"].update(maskedPaths=[], readonlyPaths=[], sysctl={"net.ipv4.ip_forward": "1"})
        config["process"]["oomScoreAdj"] = 77

    bundle = any_arena.bundle("true", change=change)
    files = decoys(bundle / "rootfs/proc")
    pid = any_arena.create(bundle)
    assert {file.read_text() for file in files} == {"decoy"}
    assert Path(f"/proc/{pid}/oom_score_adj").read_text() == "77\n"
    command = ["nsenter", f"--target={pid}", "--net", "cat", "/proc/sys/net/ipv4/ip_forward"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "1\n"


def test_a_label_is_never_written_to_a_file(any_arena: Arena) -> None:
    """Where no security module takes the profile the create fails, however willingly the image's files would."""

    def change(config: dict[str, Any]) -> None:
        config["mounts"] = [one for one in config["mounts"] if one["destination"] != "/proc"]
        config["linux"].update(maskedPaths=[], readonlyPaths=[])
        config["process"]["apparmorProfile"] = "pyoci-test-that-is-not-loaded"

    bundle = any_arena.bundle("true", change=change)
    files = decoys(bundle / "rootfs/proc")
    assert any_arena.is_clean_failure(any_arena.run(bundle))
    assert {file.read_text() for file in files} == {"decoy"}
    config = json.loads((bundle / "config.json").read_text())
    del config["process"]["apparmorProfile"]
    (bundle / "config.json").write_text(json.dumps(config))
    control(any_arena, bundle)


KINDS = {"proc": "proc", "sys": "sysfs"}
LINKS = ("bad", "/etc", "/", "../../canary/dir", "../../canary", "{canary}/dir", "/proc/self/cwd", "/dev/null", "")


@pytest.mark.parametrize("name", KINDS)
def test_a_link_in_place_of_a_kernel_filesystem(any_arena: Arena, name: str) -> None:
    """An empty target: an ordinary file."""
    bundle = any_arena.bundle("true")
    place = bundle / "rootfs" / name
    place.rmdir()
    for target in LINKS:
        if target:
            place.symlink_to(target.format(canary=any_arena.canary))
        else:
            place.write_text("")
        done = any_arena.run(bundle)
        assert any_arena.is_clean_failure(done)
        assert f'filesystem \\"{KINDS[name]}\\" {NOT_ORDINARY}' in done.stderr
        place.unlink()
    control(any_arena, bundle)  # where it is made
    assert place.is_dir()


@pytest.mark.parametrize("name", KINDS)
def test_a_link_on_the_way_to_a_kernel_filesystem(any_arena: Arena, name: str) -> None:
    bundle = any_arena.bundle("true")
    (bundle / "rootfs/etc/b").mkdir()
    (bundle / "rootfs/a").symlink_to("/etc")
    for place in ("/a/", "/a/b/", "/a/../a/"):
        mount = {"destination": place + name, "type": KINDS[name], "source": KINDS[name]}
        assert NOT_ORDINARY in refused(any_arena, bundle, mount)
    control(any_arena, bundle, {"destination": f"/etc/b/{name}", "type": KINDS[name], "source": KINDS[name]})


LOOK = """
test "$(stat -f -c %t /proc)" = 9fa0 || exec echo "no procfs"
test -e /proc/kcore && test "$(stat -c %t:%T /proc/kcore)" != 1:3 && exec echo "not masked"
echo x > /proc/sys/kernel/shmmax && exec echo "not read-only"
echo fine
"""


@pytest.mark.parametrize("link", ["../../canary/dir", "/etc", "directory"])
def test_a_race_for_proc(any_arena: Arena, link: str) -> None:
    """/proc of the image is a directory and something else in turns: procfs is on it, with its masks, or it failed."""
    bundle = any_arena.bundle(LOOK)
    rootfs = bundle / "rootfs"
    if link == "directory":
        (rootfs / "other").mkdir()
    else:
        (rootfs / "other").symlink_to(link)
    seen: dict[str, int] = {}
    with any_arena.swapping(rootfs / "proc", rootfs / "other"):
        for _ in range(any_arena.races):
            done = any_arena.run(bundle)
            assert not done.returncode or "Traceback" not in done.stderr
            result = done.stdout.strip()
            seen[result] = seen.get(result, 0) + 1
    assert seen.get("not masked", 0) == seen.get("not read-only", 0) == 0, seen
    assert "fine" in seen, seen


@contextmanager
def canary_process() -> Iterator[Path]:
    """A process of the host whose files in /proc nobody may write to."""
    process = subprocess.Popen(["sleep", "1000"])
    directory = Path(f"/proc/{process.pid}")
    until(lambda: (directory / "comm").read_text() == "sleep\n", "the process is sleep(1)")
    try:
        yield directory
        assert (directory / "comm").read_text() == "sleep\n"
        assert (directory / "oom_score_adj").read_text() == Path("/proc/self/oom_score_adj").read_text()
    finally:
        process.kill()
        process.wait()


BINDS = 20


@pytest.mark.parametrize("link", ["/proc/self", "/proc/1", "/proc/sys/net/ipv4"])
def test_a_race_for_what_is_written(arena: Arena, link: str) -> None:
    """The volume's `a` is a directory with the right names, or a link into procfs, in turns.

    A bind mount that lands there would have the runtime, or the container, write to a file of the canary process.
    """
    volume = arena.directory / "volume"
    (volume / "a").mkdir(parents=True)
    (volume / "l").symlink_to(link)
    name = "ip_forward" if "net" in link else "oom_score_adj"
    (volume / "a" / name).write_text("")

    def change(config: dict[str, Any], binds: int = BINDS) -> None:
        config["process"]["oomScoreAdj"] = 99
        config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}
        config["mounts"].append(bind(volume, "/vol"))
        config["mounts"] += [bind(canary / "oom_score_adj", f"/vol/a/{name}")] * binds

    script = "cat /proc/sys/net/ipv4/ip_forward /proc/self/oom_score_adj; grep -c oom_score_adj /proc/self/mountinfo"
    seen: dict[str, int] = {}
    with canary_process() as canary:
        bundle = arena.bundle(script, change=change)
        # A second one in the same place would lie on a file of procfs by then.
        assert arena.run(arena.bundle(script, change=lambda config: change(config, 1))).stdout == "1\n99\n1\n"
        with arena.swapping(volume / "a", volume / "l"):
            for _ in range(arena.races):
                done = arena.run(bundle)
                if done.returncode:
                    assert INSIDE_PROC in done.stderr, done.stderr
                result = done.stdout if done.returncode == 0 else "refused"
                seen[result] = seen.get(result, 0) + 1
    # Never 20 mounts in the volume and some of them in /proc: that would be a result with other numbers.
    assert set(seen) <= {f"1\n99\n{BINDS}\n", "refused"}, seen
