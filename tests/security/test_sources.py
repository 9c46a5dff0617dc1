"""Sources of bind mounts that lie below the container's root: the names are the image's, and its links stay inside.

runc looks such a source up on the host's root: a link of the image to /etc shows the host's. Here it is the image's own
/etc, whichever way the name in config.json leads to the root file system.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.security.harness import CANARY, Arena

pytestmark = pytest.mark.root

# Where the image's name `data` leads: on the host to the canary, and where in the image. "" is nowhere.
LINKS = {
    "absolute": ("{canary}", "{canary}"),
    "relative": ("../../canary", "/canary"),
    "many levels up": ("../../../../../../../../../../../..{canary}", "{canary}"),
    "through a directory": ("tmp/../../../canary", "/canary"),
    "to a link": ("tmp/second", "/canary"),
    "through procfs": ("/proc/self/root{canary}", ""),
    "through the working directory": ("/proc/self/cwd/../canary", ""),
}
LOOK = f'cat /seen/file; grep -rl "{CANARY}" /seen /etc /tmp 2>/dev/null && echo ESCAPED; true'


def ways(arena: Arena, bundle: Path) -> dict[str, str]:
    """Names of the root file system that config.json may use."""
    alias = arena.directory / f"alias-{bundle.name}"
    alias.symlink_to(bundle / "rootfs")
    above = arena.directory / f"above-{bundle.name}"
    above.symlink_to(bundle)
    return {
        "its own": str(bundle / "rootfs"),
        "relative": "rootfs",
        "with dots": f"{bundle}/x/../rootfs/.",
        "a link to it": str(alias),
        "a link above it": f"{above}/rootfs",
    }


def bind(rootfs: str, name: str, options: str) -> dict[str, Any]:
    return {"destination": "/seen", "source": f"{rootfs}/{name}", "options": [options, "rprivate"]}


@pytest.mark.parametrize("name", LINKS)
def test_a_link_of_the_image_leads_nowhere_outside(any_arena: Arena, name: str) -> None:
    bundle = any_arena.bundle(LOOK)
    rootfs = bundle / "rootfs"
    link(any_arena, rootfs, name)
    for number, root in enumerate(ways(any_arena, bundle).values()):
        change(bundle, bind(root, "data", "rbind"))
        done = any_arena.run(bundle, f"c{number}")
        assert any_arena.is_clean_failure(done), done  # there is nothing of that name in the image
        assert done.stdout == ""


def link(arena: Arena, rootfs: Path, name: str) -> str:
    """Put it into the image; where it leads there."""
    text, place = (one.format(canary=arena.canary) for one in LINKS[name])
    (rootfs / "data").symlink_to(text)
    (rootfs / "tmp/second").symlink_to(f"../../../{arena.canary.name}")
    return place


@pytest.mark.parametrize("name", LINKS)
def test_it_leads_to_what_the_image_has_there(arena: Arena, name: str) -> None:
    """The control: the same where the image has something of that name, which a mount has put there."""
    bundle = arena.bundle(LOOK)
    rootfs = bundle / "rootfs"
    place = link(arena, rootfs, name)
    given = arena.directory / "given"
    given.mkdir()
    (given / "file").write_text("the config's\n")
    for number, root in enumerate(ways(arena, bundle).values()):
        first = {"destination": place or str(arena.canary), "source": str(given), "options": ["bind"]}
        change(bundle, first, bind(root, "data", "rbind"))
        done = arena.run(bundle, f"c{number}")
        if place:
            assert (done.stdout, done.returncode) == ("the config's\n", 0), done
        else:  # links of procfs are followed by nobody
            assert arena.is_clean_failure(done), done


def test_a_name_that_is_swapped_all_the_time(any_arena: Arena) -> None:
    """An image on a shared volume, while somebody exchanges a directory and a link to the canary."""
    bundle = any_arena.bundle(LOOK)
    rootfs = bundle / "rootfs"
    (rootfs / "data").mkdir()
    (rootfs / "data/file").write_text("the image's\n")
    (rootfs / "other").symlink_to(any_arena.canary)
    change(bundle, bind(str(rootfs), "data", "rbind"))
    seen = 0
    with any_arena.swapping(rootfs / "data", rootfs / "other"):
        for number in range(20):
            done = any_arena.run(bundle, f"c{number}")
            assert "ESCAPED" not in done.stdout and CANARY not in done.stdout, done
            assert done.returncode == 0 or any_arena.is_clean_failure(done), done
            seen += done.stdout == "the image's\n"
    assert seen, "not once was it the directory"


def change(bundle: Path, *mounts: dict[str, Any]) -> None:
    """These mounts behind those of the example."""
    config = json.loads((bundle / "config.json").read_text())
    kept = [one for one in config["mounts"] if one["destination"].split("/")[1] in ("proc", "dev", "sys")]
    config["mounts"] = [*kept, *mounts]
    (bundle / "config.json").write_text(json.dumps(config))


HOSTILE = "nosuid,nodev,noexec"


@pytest.mark.parametrize("user", [True, False])
def test_programs_and_devices_of_a_mount_that_forbids_them(arena: Arena, user: bool) -> None:
    """["rbind", "ro"] of a volume that is mounted noexec and nodev on the host: a user namespace changes nothing
    about that. Without one the options of config.json are all that counts, as with other runtimes: the control.
    """
    volume = arena.directory / "volume"
    volume.mkdir()
    script = f"""mount -t tmpfs t {volume}; cp "$(which busybox)" {volume}/true; mknod -m 666 {volume}/zero c 1 5
    mount -o remount,bind,{HOSTILE} {volume}; exec "$@\""""
    arena.prefix = ("unshare", "--mount", "--propagation", "private", "sh", "-ec", script, "sh")
    look = "/seen/true 2>/dev/null && echo RUNS; head -c 1 /seen/zero | wc -c; grep ' /seen ' /proc/self/mountinfo"

    def edit(config: dict[str, Any]) -> None:
        config["mounts"].append({"destination": "/seen", "source": str(volume), "options": ["rbind", "ro"]})
        config["mounts"] = [one for one in config["mounts"] if one["destination"] != "/sys/fs/cgroup"]
        config["linux"]["resources"] = {"devices": [{"allow": True, "access": "rwm"}]}
        if user:
            config["linux"]["namespaces"].append({"type": "user"})
            for kind in ("uidMappings", "gidMappings"):
                config["linux"][kind] = [{"containerID": 0, "hostID": 0, "size": 65536}]

    done = arena.run(arena.bundle(look, change=edit))
    lines = done.stdout.splitlines()
    assert lines[-1].split()[5] == ("ro,nosuid,nodev,noexec,relatime" if user else "ro,relatime"), done
    assert lines[:-1] == (["0"] if user else ["RUNS", "1"])
