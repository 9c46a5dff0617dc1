"""Names that others chose stand in the kernel's files: of cgroups, of mount points, of a container's processes.

Whatever they are, commands work, and end nobody else's process.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.container.box import alive, until
from tests.security.harness import Arena

pytestmark = pytest.mark.root

ODD = ["usual", "a\rb", "a\x0bb", "a\x85b", "a\u2028b", "a\\b", "\udcff\udcfe"]
HERE = ("cpu", "freezer", "memory", "pids", "systemd", "unified", "")


@contextmanager
def cgroup(arena: Arena, odd: str) -> Iterator[None]:
    """Commands are in a cgroup with this name, in every hierarchy."""
    tops = [f"/sys/fs/cgroup/{name}" for name in HERE if os.path.exists(f"/sys/fs/cgroup/{name}/cgroup.procs")]
    made = [f"{top}/{arena.mark}-{odd}" for top in tops]
    for path in made:
        os.mkdir(path)
    script = 'while [ "$1" != -- ]; do echo 0 > "$1/cgroup.procs"; shift; done; shift; exec "$@"'
    arena.prefix = ("sh", "-ec", script, "sh", *made, "--")
    try:
        yield
    finally:
        arena.prefix = ()
        for path in made:
            os.rmdir(path)


@pytest.mark.parametrize("odd", ODD, ids=ascii)
def test_in_a_cgroup_with_an_odd_name(arena: Arena, odd: str) -> None:
    bundle = arena.bundle("sleep 60")
    with cgroup(arena, odd):
        pid = arena.create(bundle)
        for command in (("start", "c"), ("exec", "c", "/bin/true"), ("ps", "c"), ("pause", "c"), ("resume", "c")):
            done = arena(*command)
            assert (done.returncode, done.stderr) == (0, ""), command
        assert str(pid) in arena("ps", "c").stdout
        assert arena("kill", "c", "KILL").returncode == 0
        arena.wait("c", "stopped")
        assert arena("delete", "c").stderr == ""


@pytest.mark.parametrize("odd", ODD, ids=ascii)
def test_below_a_cgroup_with_an_odd_name(arena: Arena, odd: str) -> None:
    """state.json is UTF-8, and what does not fit into it could never be removed again."""
    bundle = arena.bundle("true", change=lambda config: config["linux"].update(cgroupsPath=f"{arena.mark}/inner"))
    with cgroup(arena, odd):
        done = arena.run(bundle)
        if odd.isprintable() or "\udcff" not in odd:
            assert (done.returncode, done.stderr) == (0, "")
        else:
            assert arena.is_clean_failure(done)
            assert "below one whose name is not UTF-8" in done.stderr and "/linux/cgroupsPath" in done.stderr
        for path in Path("/sys/fs/cgroup").glob(f"*/{arena.mark}-*/{arena.mark}"):
            path.rmdir()


@pytest.mark.parametrize("odd", [*ODD, "a b", "a\nb", "a\tb", "a - proc b"], ids=ascii)
def test_mounts_with_odd_names(arena: Arena, odd: str) -> None:
    """--no-pivot looks at every mount of the host for a procfs to cover."""
    place = f"{arena.directory}/{odd}"
    os.mkdir(place)
    scene = 'mount -t proc proc "$0"; exec "$@"'
    arena.prefix = ("unshare", "--mount", "--propagation", "private", "sh", "-ec", scene, place)
    done = arena("run", "--no-pivot", "--bundle", str(arena.bundle("echo inside")), "c")
    arena.prefix = ()
    assert (done.returncode, done.stdout, done.stderr) == (0, "inside\n", "")


@pytest.mark.parametrize(
    "name", ["usual", "\r1 (a) S 1", ") S 1 ", "(", "pyoci:init", "\u2028\udcff", "a\nTgid: 1"], ids=ascii
)
def test_a_process_1_with_an_odd_name(arena: Arena, name: str) -> None:
    """Its status, its start time and the signals for it are its own."""
    octal = "".join(f"\\{byte:03o}" for byte in os.fsencode(name))
    pid = arena.create(arena.bundle(f"printf '{octal}' > /proc/self/comm; while :; do sleep 1; done"))
    assert arena("start", "c").stderr == ""
    until(lambda: Path(f"/proc/{pid}/comm").read_bytes() == os.fsencode(name) + b"\n", "it has renamed itself")
    other = subprocess.Popen(["sleep", "60"])
    assert arena.status("c") == "running"
    assert arena("exec", "c", "/bin/true").stderr == ""
    assert arena("kill", "c", "KILL").stderr == ""
    arena.wait("c", "stopped")
    assert not alive(pid) and other.poll() is None
    other.kill()
    other.wait()
    assert arena("delete", "c").stderr == ""
