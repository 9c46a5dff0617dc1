"""/dev of the image is a link. Nothing is made, removed or mounted where it leads outside of the root.

CVE-2026-41579. The canary tree holds the names that a runtime replaces: ptmx, console, fd, null, tty, pts, shm.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.security.harness import Arena

pytestmark = pytest.mark.root

# Where nothing can be: a loop, and what is a procfs. With a mount on /dev itself, which would hide the root, the root.
REFUSED = ("dev", "/proc")
REFUSED_WITH_A_MOUNT = ("/", "..")
LINKS = ("{canary}", "../../canary", "../../../../../../../../..{canary}", "/", "..", "tmp", "/proc", "/nowhere", "dev")


def on_dev(*kept: str) -> Any:
    def change(config: dict[str, Any]) -> None:
        config["mounts"] = [
            one for one in config["mounts"] if not one["destination"].startswith("/dev") or one["destination"] in kept
        ]

    return change


@pytest.mark.parametrize("command", ["run", "create"])
@pytest.mark.parametrize(
    "mounts", [(), ("/dev",), ("/dev/pts", "/dev/shm"), ("/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")]
)
def test_a_link_in_place_of_dev(any_arena: Arena, command: str, mounts: tuple[str, ...]) -> None:
    """The fixture compares the canary tree; here: it works where the link leads to something, or fails cleanly."""
    for number, link in enumerate(LINKS):
        bundle = any_arena.bundle("true", change=on_dev(*mounts))
        (bundle / "rootfs/dev").rmdir()
        (bundle / "rootfs/dev").symlink_to(link.format(canary=any_arena.canary))
        done = any_arena(command, "--bundle", str(bundle), f"c{number}")
        if link in REFUSED or ("/dev" in mounts and link in REFUSED_WITH_A_MOUNT):
            assert any_arena.is_clean_failure(done), (link, done)
        else:
            assert (done.returncode, done.stderr) == (0, ""), (link, done)
        assert (bundle / "rootfs/dev").is_symlink()
        if command == "create" and done.returncode == 0:
            assert any_arena("delete", "--force", f"c{number}").returncode == 0


def test_what_is_in_dev(any_arena: Arena) -> None:
    """The control: without a mount and without a link the devices and links are made in the image's directory."""
    script = "stat -c %t:%T /dev/null /dev/tty; readlink /dev/fd; readlink /dev/stdin; readlink /dev/ptmx"
    for mounts in ((), ("/dev",)):
        done = any_arena.run(any_arena.bundle(script, change=on_dev(*mounts)))
        assert (done.stdout, done.stderr) == ("1:3\n5:0\n/proc/self/fd\n/proc/self/fd/0\npts/ptmx\n", "")


@pytest.mark.parametrize("link", ["../../canary", "{canary}"])
def test_a_race_for_dev(any_arena: Arena, link: str) -> None:
    """/dev is a directory and a link in turns, while devices, links and mounts are made below it."""
    bundle = any_arena.bundle("true", change=on_dev("/dev/pts", "/dev/shm"))
    rootfs = bundle / "rootfs"
    for name in ("pts", "shm"):
        (rootfs / "dev" / name).mkdir()
    (rootfs / "l").symlink_to(link.format(canary=any_arena.canary))
    worked = 0
    with any_arena.swapping(rootfs / "dev", rootfs / "l"):
        for _ in range(any_arena.races):
            done = any_arena.run(bundle)
            assert done.returncode == 0 or any_arena.is_clean_failure(done), done
            worked += not done.returncode
    assert worked
