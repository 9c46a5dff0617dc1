"""Files are masked with the null device, or the create fails. CVE-2025-31133."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.security.harness import Arena, never_opened

pytestmark = pytest.mark.root

CORE_PATTERN = "/proc/sys/kernel/core_pattern"


def device(minor: int) -> Callable[[Path], None]:
    return lambda path: os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, minor))


def block(path: Path) -> None:
    os.mknod(path, stat.S_IFBLK | 0o666, os.makedev(1, 3))


# What the image has in place of /dev/null.
TRAPS: dict[str, Callable[[Path], object]] = {
    "link to core_pattern": lambda path: path.symlink_to(CORE_PATTERN),
    "link to a file": lambda path: path.symlink_to("/etc/shadow"),
    "link out": lambda path: path.symlink_to("../../canary/null"),
    "link to the null device": lambda path: path.symlink_to("real"),
    "file": lambda path: path.write_text(""),
    "fifo": os.mkfifo,
    "directory": Path.mkdir,
    "zero": device(5),
    "mem": device(1),
    "block device 1:3": block,
    "nothing": lambda path: None,
}
MASKED = ("/etc/shadow", "/proc/version", "/proc/uptime", "/tmp/secret", "/tmp/link")

# Every file is masked, or named. A mask is the null device, however the file is reached.
LOOK = "".join(f'test "$(stat -Lc %t:%T {name})" = 1:3 || echo "not masked: {name}";' for name in MASKED)
LOOK += f"(: >> {CORE_PATTERN}) 2> /tmp/err && echo writable; echo fine"


def masking(config: dict[str, Any]) -> None:
    config["linux"]["maskedPaths"] += [*MASKED, "/tmp", "/nothing", "/etc/shadow/below"]
    config["linux"]["maskedPaths"].remove("/tmp")


def secrets(rootfs: Path) -> None:
    for name in ("etc/shadow", "tmp/secret"):
        (rootfs / name).write_text("secret")
    (rootfs / "tmp/link").symlink_to("secret")


def without_dev(config: dict[str, Any]) -> None:
    config["mounts"] = [one for one in config["mounts"] if not one["destination"].startswith("/dev")]


def test_masks_are_real(any_arena: Arena) -> None:
    bundle = any_arena.bundle(LOOK, change=masking)
    secrets(bundle / "rootfs")
    done = any_arena.run(bundle)
    assert (done.stdout, done.stderr) == ("fine\n", "")


@pytest.mark.parametrize("way", ["image", "volume"])
def test_a_trap_in_place_of_the_null_device(any_arena: Arena, way: str) -> None:
    """/dev of the image, or a volume on /dev, that has something else there."""
    for name, make in TRAPS.items():
        volume = any_arena.directory / f"dev-{name}"

        def change(config: dict[str, Any], volume: Path = volume) -> None:
            without_dev(config)
            masking(config)
            if way == "volume":
                config["mounts"].append({"destination": "/dev", "source": str(volume), "options": ["rbind"]})

        bundle = any_arena.bundle(LOOK, change=change)
        secrets(bundle / "rootfs")
        volume.mkdir()
        dev = volume if way == "volume" else bundle / "rootfs/dev"
        device(3)(dev / "real")
        make(dev / "null")
        before = (bundle / "rootfs/etc/shadow").read_text()
        with never_opened(*([dev / "null"] if name in ("file", "fifo", "mem", "zero", "block device 1:3") else [])):
            done = any_arena.run(bundle)
        if done.returncode == 0:
            # Without a mount on it the runtime fills /dev itself, and may put the real one there.
            assert way == "image", name
            assert done.stdout == "fine\n", name
        else:
            assert any_arena.is_clean_failure(done), (name, done)
            # The runtime's own device does not fit on a directory: then it comes to no mask.
            assert "unable to mask" in done.stderr or (way, name) == ("image", "directory"), (name, done)
        assert (bundle / "rootfs/etc/shadow").read_text() == before


@pytest.mark.parametrize("trap", ["link to core_pattern", "link out", "zero"])
def test_a_race_for_the_null_device(arena: Arena, trap: str) -> None:
    """The null device and something else in turns, in a volume on /dev."""
    volume = arena.directory / "dev"
    volume.mkdir()
    device(3)(volume / "null")
    device(3)(volume / "real")
    TRAPS[trap](volume / "trap")
    many = [f"/tmp/file-{number}" for number in range(20)]

    def change(config: dict[str, Any]) -> None:
        without_dev(config)
        masking(config)
        config["linux"]["maskedPaths"] += many
        config["mounts"].append({"destination": "/dev", "source": str(volume), "options": ["rbind"]})

    check = "".join(f'test "$(stat -c %t:%T {name})" = 1:3 || echo "not masked: {name}";' for name in many)
    bundle = arena.bundle(check + LOOK, change=change)
    secrets(bundle / "rootfs")
    for name in many:
        (bundle / "rootfs" / name.lstrip("/")).write_text("secret")
    refused = 0
    with arena.swapping(volume / "null", volume / "trap"):
        for _ in range(arena.races):
            done = arena.run(bundle)
            if done.returncode:
                assert arena.is_clean_failure(done)
                assert "unable to mask" in done.stderr
                refused += 1
            else:
                assert done.stdout == "fine\n"
    assert refused, "the trap has never been seen"


def test_a_masked_name_that_leads_elsewhere(any_arena: Arena) -> None:
    """Links are followed inside the root: what they name there is masked, and nothing outside."""

    def change(config: dict[str, Any]) -> None:
        config["linux"]["maskedPaths"] = ["/tmp/up", "/tmp/out/file", "/tmp/out", "/tmp/dangling"]
        config["linux"]["readonlyPaths"] = ["/tmp/up2", "/tmp/out2", "/../../canary/dir"]

    bundle = any_arena.bundle("cat /tmp/up; ls /tmp/out/; mkdir /tmp/out2/new 2>/dev/null || echo fine", change=change)
    rootfs = bundle / "rootfs"
    for name, target in (("up", "../../../canary/file"), ("up2", "../../../canary/file"), ("dangling", "/no/where")):
        (rootfs / "tmp" / name).symlink_to(target)
    for name in ("out", "out2"):
        (rootfs / "tmp" / name).symlink_to(any_arena.canary if name == "out" else "/etc")
    (rootfs / "canary").mkdir()
    (rootfs / "canary/file").write_text("of the image")
    inside = rootfs / str(any_arena.canary).lstrip("/")
    inside.mkdir(parents=True)
    (inside / "file").write_text("of the image")
    done = any_arena.run(bundle)
    assert (done.stdout, done.stderr) == ("fine\n", "")
