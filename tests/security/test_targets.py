"""Where mounts go: static and raced links in the root file system and in shared volumes.

CVE-2021-30465, CVE-2024-45310 and their kind. `a` is the attacked name. A link may lead anywhere inside the root: there
the mount must be, or the create has failed; outside nothing is made and nothing is mounted.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.security.harness import CANARY, Arena

pytestmark = pytest.mark.root

LINKS = {
    "absolute": "{canary}",
    "relative": "../../canary",
    "many levels up": "../../../../../../../../../../../../..{canary}",
    "through a directory": "tmp/../../../canary",
    "to itself": "a",
    "to a link": "tmp/second",
    "dangling inside": "/nowhere/at/all",
    "into procfs": "/proc/self/root",
    "to a descriptor": "/proc/self/fd/3",
    "to the working directory": "/proc/self/cwd",
    "to the first process": "/proc/1/root{canary}",
}
EACH = 10  # mounts of every kind: each of them is one more try in a race, and costs little
MARKS = 4 * EACH


def attack(arena: Arena, config: dict[str, Any], top: str) -> None:
    """Mounts below `top`/a: each with a source that shows in mountinfo. dirN exists (prepare()), the others do not."""
    (arena.directory / "source").mkdir(exist_ok=True)
    (arena.directory / "source-file").write_text("")
    for number in range(EACH):
        config["mounts"] += [
            {"destination": f"{top}/a/dir{number}", "type": "tmpfs", "source": "mark"},
            {"destination": f"{top}/a/new{number}/deep/er", "type": "tmpfs", "source": "mark"},
            {"destination": f"{top}/a/bound{number}", "source": str(arena.directory / "source"), "options": ["bind"]},
            {
                "destination": f"{top}/a/made{number}",
                "source": str(arena.directory / "source-file"),
                "options": ["bind"],
            },
        ]


def prepare(directory: Path) -> None:
    """The targets that exist, in the directory and, where a link leads, in the canary tree."""
    for number in range(EACH):
        (directory / f"dir{number}").mkdir(parents=True)


# Counts our mounts and looks for the canary's content wherever one could be.
LOOK = (
    "grep -c -e ' mark ' -e '/source ' -e '/source-file ' /proc/self/mountinfo;"
    f"grep -rl \"{CANARY}\" /a /l /vol /tmp 2>/dev/null | grep -v '^/proc' && echo ESCAPED; true"
)


# What becomes of a descriptor's link before there is a procfs in the image: an ordinary name.
REFUSED = ("to itself", "into procfs", "to the working directory", "to the first process")


def test_a_link_in_the_root(any_arena: Arena) -> None:
    for name, link in LINKS.items():
        bundle = any_arena.bundle(LOOK, change=lambda config: attack(any_arena, config, ""))
        rootfs = bundle / "rootfs"
        (rootfs / "a").symlink_to(link.format(canary=any_arena.canary))
        (rootfs / "tmp/second").symlink_to(f"../../../{any_arena.canary.name}")
        done = any_arena.run(bundle)
        if name in REFUSED:
            assert any_arena.is_clean_failure(done), (name, done)
        else:
            assert (done.stdout, done.stderr) == (f"{MARKS}\n", ""), (name, done)


UPWARDS = (
    *("/../../canary/dir", "/tmp/../../../canary/dir", "../../canary/dir"),
    *("/tmp/l", "/tmp/l/", "/tmp/l/.", "//tmp//l//"),
)


@pytest.mark.parametrize("kind", ["tmpfs", "directory", "file"])
def test_a_destination_that_leads_up(any_arena: Arena, kind: str) -> None:
    """ ".." stops at the root; a link at the end is followed inside the root, with and without a trailing slash."""
    source = any_arena.directory / "source"
    if kind == "file":
        source.write_text("")
    else:
        source.mkdir()
    script = f"grep -c '/source ' /proc/self/mountinfo; grep -rl \"{CANARY}\" /tmp /canary && echo ESCAPED; true"
    for destination in UPWARDS:
        mount: dict[str, Any] = {"destination": destination, "source": str(source), "options": ["bind"]}
        if kind == "tmpfs":
            mount = {"destination": destination, "source": "/source", "type": "tmpfs"}
        bundle = any_arena.bundle(script)
        config = json.loads((bundle / "config.json").read_text())
        config["mounts"].append(mount)
        (bundle / "config.json").write_text(json.dumps(config))
        (bundle / "rootfs/tmp/l").symlink_to("../../../canary/dir")
        done = any_arena.run(bundle)
        assert (done.stdout, done.stderr) == ("1\n", ""), (destination, done)


def race(arena: Arena, bundle: Path, first: Path, second: Path) -> list[int]:
    """Runs while two names are swapped; how many mounts each that succeeded has."""
    seen = []
    with arena.swapping(first, second):
        for _ in range(arena.races):
            done = arena.run(bundle)
            assert "ESCAPED" not in done.stdout
            if done.returncode:
                assert arena.is_clean_failure(done), done
                # What nobody asked for: a target elsewhere was found, and just not used.
                assert "of rootfs" not in done.stderr, done.stderr
            else:
                seen.append(int(done.stdout))
    return seen


@pytest.mark.parametrize("link", ["relative", "absolute"])
def test_a_race_in_the_root(any_arena: Arena, link: str) -> None:
    """What is a directory when it is looked up is a link when it is mounted on, and the other way round."""
    bundle = any_arena.bundle(LOOK, change=lambda config: attack(any_arena, config, ""))
    rootfs = bundle / "rootfs"
    prepare(rootfs / "a")
    (rootfs / "l").symlink_to(LINKS[link].format(canary=any_arena.canary))
    seen = race(any_arena, bundle, rootfs / "a", rootfs / "l")
    assert len(seen) > any_arena.races // 10, "it hardly ever worked: that was no race but a breakage"
    assert set(seen) == {MARKS}, "a mount went somewhere else"


@pytest.mark.parametrize("link", ["relative", "absolute"])
def test_a_race_in_a_volume(arena: Arena, link: str) -> None:
    """The same in a directory of the host that two containers share: the other one may swap names at any time."""
    volume = arena.directory / "volume"
    prepare(volume / "a")
    (volume / "l").symlink_to("../canary" if link == "relative" else arena.canary)

    def change(config: dict[str, Any]) -> None:
        config["mounts"].append({"destination": "/vol", "source": str(volume), "options": ["rbind"]})
        attack(arena, config, "/vol")

    bundle = arena.bundle(LOOK, change=change)
    seen = race(arena, bundle, volume / "a", volume / "l")
    assert len(seen) > arena.races // 10, "it hardly ever worked: that was no race but a breakage"
    assert set(seen) == {MARKS}, "a mount went somewhere else"
