"""What is mounted in a container stays there, and what comes in from the host is what rootfsPropagation lets in.

The host of these tests is a mount namespace of their own, with shared mounts in it: the machine's is never touched.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.security.harness import Arena, everything

pytestmark = pytest.mark.root


class Host:
    """A mount namespace in which `shared` is a shared tmpfs; commands of the arena run in it."""

    def __init__(self, arena: Arena) -> None:
        self.shared = arena.directory / "shared"
        self.shared.mkdir(exist_ok=True)
        script = f"mount -t tmpfs shared {self.shared} && mount --make-shared {self.shared} && echo && exec sleep 1000"
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
        self.keeper = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.keeper.stdout is not None
        assert self.keeper.stdout.readline() == b"\n"
        self.prefix = ("nsenter", f"--target={self.keeper.pid}", "--mount")
        arena.prefix = (*self.prefix, *arena.prefix)

    def run(self, *command: object) -> None:
        subprocess.run([*self.prefix, *map(str, command)], check=True)

    def mounts(self) -> list[str]:
        return Path(f"/proc/{self.keeper.pid}/mountinfo").read_text().splitlines()

    def close(self) -> None:
        self.keeper.kill()
        self.keeper.communicate()


@contextmanager
def host(arena: Arena) -> Iterator[Host]:
    made = Host(arena)
    try:
        yield made
    finally:
        arena.clean()  # while it can still be reached
        made.close()
        arena.prefix = arena.prefix[len(made.prefix) :]


def field(mounts: list[str], point: str) -> str:
    """The optional fields of the last mount on `point`: "shared:1 master:2"."""
    lines = [line.split() for line in mounts]
    fields = [line for line in lines if line[4] == point][-1]
    return " ".join(fields[6 : fields.index("-")])


def kinds(text: str) -> list[str]:
    return [one.partition(":")[0] for one in text.split()]


BINDS = {
    # options of the bind mount -> whether a mount made below it in the container appears on the host
    ("bind",): False,
    ("rbind",): False,
    ("rbind", "ro"): False,
    ("rbind", "private"): False,
    ("rbind", "rprivate"): False,
    ("rbind", "slave"): False,
    ("rbind", "rslave"): False,
    ("rbind", "runbindable"): False,
    ("rbind", "shared"): True,
    ("rbind", "rshared"): True,
}


@pytest.mark.parametrize("options", BINDS, ids=",".join)
@pytest.mark.parametrize("submount", ["", "/sub"])
def test_a_mount_inside_a_bind_of_a_shared_mount(any_arena: Arena, options: tuple[str, ...], submount: str) -> None:
    """A bind is a slave unless it asks to be shared; `submount` is a shared mount below the source."""
    if options == ("bind",):
        submount = ""  # is not part of it; and in a user namespace the kernel refuses to show what it covers
    with host(any_arena) as outside:
        outside.run("mkdir", outside.shared / "target", outside.shared / "sub")
        if submount:
            outside.run("mount", "-t", "tmpfs", "sub", outside.shared / "sub")
        outside.run("mkdir", outside.shared / "sub/target")

        def change(config: dict[str, Any]) -> None:
            everything(config)
            config["mounts"].append(
                {"destination": "/mnt", "source": str(outside.shared), "options": list(options)},
            )

        before = outside.mounts()
        script = f"mount -t tmpfs mark /mnt{submount}/target && grep -c ' - tmpfs mark ' /proc/self/mountinfo"
        done = any_arena.run(any_arena.bundle(script, change=change))
        assert done.stdout == "1\n", done
        made = [line for line in outside.mounts() if line not in before]
        assert [line for line in before if line not in outside.mounts()] == []
        # In a user namespace of its own the runtime has slaves of the host's mounts to begin with.
        assert len(made) == (BINDS[options] and any_arena.mode != "nested"), made


@pytest.mark.parametrize("value", ["shared", "rshared"])
def test_a_shared_root_shares_its_binds(arena: Arena, value: str) -> None:
    """As with runc: unless they say otherwise themselves."""
    for number, (options, shared) in enumerate({("rbind",): True, ("rbind", "rslave"): False}.items()):
        with host(arena) as outside:

            def change(config: dict[str, Any], source: Path = outside.shared, options: Any = options) -> None:
                everything(config)
                config["linux"]["rootfsPropagation"] = value
                config["mounts"].append({"destination": "/mnt", "source": str(source), "options": list(options)})

            outside.run("mkdir", outside.shared / "target")
            before = outside.mounts()
            done = arena.run(arena.bundle("mount -t tmpfs mark /mnt/target", change=change), f"c{number}")
            assert (done.returncode, done.stderr) == (0, "")
            assert len(outside.mounts()) - len(before) == shared


def test_nothing_of_a_container_reaches_the_host(any_arena: Arena) -> None:
    """The rootfs itself, everything in it, and what the runtime mounts: on a shared mount of the host."""
    with host(any_arena) as outside:
        bundle = any_arena.bundle(
            "mount -t tmpfs mark /tmp && mount -t tmpfs mark /etc && echo fine", change=everything
        )
        outside.run("cp", "-a", bundle, outside.shared / "bundle")
        outside.run("mkdir", outside.shared / "bundle/rootfs/below")
        outside.run("mount", "-t", "tmpfs", "below", outside.shared / "bundle/rootfs/below")
        before = outside.mounts()
        done = any_arena.run(outside.shared / "bundle")
        assert (done.stdout, done.stderr) == ("fine\n", "")
        assert outside.mounts() == before


VALUES = {
    # rootfsPropagation -> kind of /, whether mounts below it are of that kind too, whether host mounts come in
    None: ([], False, False),
    "private": ([], False, False),
    "rprivate": ([], False, False),
    "slave": (["master"], False, True),
    "rslave": (["master"], False, True),
    "shared": (["shared"], False, False),
    "rshared": (["shared"], True, False),
    "unbindable": (["unbindable"], False, False),
    "runbindable": (["unbindable"], True, False),
}


@pytest.mark.parametrize("value", VALUES, ids=str)
def test_rootfs_propagation(any_arena: Arena, value: str | None) -> None:
    """What / becomes; and a mount that the host makes below the rootfs later is seen inside for slaves only."""
    kind, recursive, comes_in = VALUES[value]
    if any_arena.mode == "nested" and comes_in:
        kind = ["master"]
    with host(any_arena) as outside:

        def change(config: dict[str, Any]) -> None:
            everything(config)
            if value is not None:
                config["linux"]["rootfsPropagation"] = value

        bundle = any_arena.bundle("sleep", "1000", change=change)
        outside.run("cp", "-a", bundle, outside.shared / "bundle")
        outside.run("mkdir", outside.shared / "bundle/rootfs/later")
        before = outside.mounts()
        done = any_arena("run", "--detach", "--bundle", str(outside.shared / "bundle"), "c")
        assert (done.returncode, done.stderr) == (0, "")
        assert outside.mounts() == before
        pid = any_arena.state("c")["pid"]
        outside.run("mount", "-t", "tmpfs", "later", outside.shared / "bundle/rootfs/later")
        inside = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
        assert kinds(field(inside, "/")) == kind
        assert any(" - tmpfs later " in line for line in inside) == comes_in
        if kind and not comes_in:
            assert (kinds(field(inside, "/dev")) == kind) == recursive
        if kind == ["shared"]:
            groups = {one for line in outside.mounts() for one in line.split() if one.startswith("shared:")}
            assert field(inside, "/") not in groups, "the container's root is a peer of the host's mount"


def test_no_pivot_needs_propagation(arena: Arena) -> None:
    """A private root moved over / would have been unmounted from under the host's peers."""
    for value in ("private", "rprivate"):

        def change(config: dict[str, Any], value: str = value) -> None:
            config["linux"]["rootfsPropagation"] = value

        done = arena("run", "--no-pivot", "--bundle", str(arena.bundle("true", change=change)), "c")
        assert arena.is_clean_failure(done)
        assert "rootfsPropagation" in done.stderr
