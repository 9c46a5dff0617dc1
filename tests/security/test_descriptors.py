"""Which files of the host a container can reach by descriptor: those that the caller meant.

CVE-2024-21626, CVE-2016-9962.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import reporter as reporter_program
from tests.container.box import Done
from tests.security.harness import CANARY, Arena, helper

pytestmark = pytest.mark.root

O_PATH, O_CLOEXEC = 0o10000000, 0o2000000
LAST = 202


@contextmanager
def inherited(path: Path, last: int = LAST) -> Iterator[dict[str, Any]]:
    """Options for a command that inherits `path` as every descriptor from 3 to `last`.

    Made right before the command is executed, so that nobody else inherits them.
    """
    opened = os.open(path, os.O_RDONLY)
    high = os.dup(opened)

    def duplicate() -> None:
        for number in range(3, last + 1):
            if number not in (opened, high):
                os.dup2(high, number)
        for number in (opened, high):
            os.set_inheritable(number, True)

    try:
        yield {"preexec_fn": duplicate, "close_fds": False}
    finally:
        os.close(opened)
        os.close(high)


def descriptors(pid: int) -> dict[int, tuple[str, int]]:
    """Number -> what it is and its flags."""
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        lines = Path(f"/proc/{pid}/fdinfo/{name}").read_text().splitlines()
        flags = next(int(line.split()[1], 8) for line in lines if line.startswith("flags:"))
        found[int(name)] = (os.readlink(f"/proc/{pid}/fd/{name}"), flags)
    return found


@pytest.mark.parametrize("preserve", [0, 2])
def test_the_process_that_waits(any_arena: Arena, preserve: int) -> None:
    """0 to 2, those preserved, the fifo, and a procfs of its own pid namespace that has nothing but processes."""
    bundle = any_arena.bundle("true")
    with inherited(any_arena.canary) as options:
        done = any_arena("create", "--preserve-fds", str(preserve), "--bundle", str(bundle), "c", **options)
    assert (done.returncode, done.stderr) == (0, "")
    pid = any_arena.state("c")["pid"]
    found = descriptors(pid)
    fifo, proc = 3 + preserve, 4 + preserve
    assert sorted(found) == [*range(5 + preserve)]
    assert [found[number][0] for number in range(3, fifo)] == [str(any_arena.canary)] * preserve
    assert found[fifo][0] == str(any_arena.root / "c/exec.fifo")
    for number in (fifo, proc):
        assert found[number][1] & (O_PATH | O_CLOEXEC) == O_PATH | O_CLOEXEC
    opened = os.open(f"/proc/{pid}/fd/{proc}", os.O_RDONLY)
    try:
        assert sorted(os.listdir(opened)) == ["1", "self", "thread-self"]  # not /proc/sys, not the host's processes
        mount = next(line for line in Path(f"/proc/self/fdinfo/{opened}").read_text().split("\n") if "mnt_id" in line)
        for mounted in ("/proc/self/mountinfo", f"/proc/{pid}/mountinfo"):
            assert mount.split()[1] not in [line.split()[0] for line in Path(mounted).read_text().splitlines()]
    finally:
        os.close(opened)


def test_where_no_private_procfs_can_be_had(arena: Arena) -> None:
    """Where /proc is partly covered a user namespace gets no new one: the mounted one is held, by O_PATH."""
    arena.mode = "nested"
    cover = (
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        'mount -t tmpfs x /proc/fs && exec "$@"',
        "sh",
    )
    arena.prefix = (*cover, str(helper("nest")))

    def change(config: dict[str, Any]) -> None:
        config["mounts"] = [one for one in config["mounts"] if one["destination"] not in ("/proc", "/sys")]
        config["linux"].update(maskedPaths=[], readonlyPaths=[])

    pid = arena.create(arena.bundle("/reporter", "sleep", change=change))
    found = descriptors(pid)
    assert sorted(found) == [0, 1, 2, 3, 4]
    assert [found[number][1] & (O_PATH | O_CLOEXEC) for number in (3, 4)] == [O_PATH | O_CLOEXEC] * 2
    assert arena("start", "c").returncode == 0
    assert sorted(descriptors(pid)) == [0, 1, 2]


def test_the_process_that_waits_has_no_source_file(any_arena: Arena) -> None:
    """Modules that are open would be a way to them, and through ".." to everything."""
    pid = any_arena.create(any_arena.bundle("true"))
    names = [name for name, _ in descriptors(pid).values()]
    assert [name for name in names if name.endswith((".py", ".pyc", ".so", ".pack"))] == []
    for kind in ("cwd", "root"):
        # Inside the container: the same directory as its own /.
        assert os.stat(f"/proc/{pid}/{kind}").st_ino == os.stat(any_arena.directory / "bundle-0/rootfs").st_ino


@pytest.mark.parametrize("preserve", [0, 2])
def test_the_program(any_arena: Arena, preserve: int) -> None:
    """Two hundred directories of the host are open in the caller; the program gets those it was promised."""
    bundle = any_arena.bundle("/reporter", "report")
    with inherited(any_arena.canary) as options:
        done = any_arena("run", "--preserve-fds", str(preserve), "--bundle", str(bundle), "c", **options)
    assert (done.returncode, done.stderr) == (0, "")
    (report,) = reporter_program.parse(done.stdout.encode())
    assert sorted(int(number) for number in report["fds"]) == [*range(3 + preserve)]


HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


def test_hooks(arena: Arena) -> None:
    """A hook gets three descriptors, whichever side it runs on."""
    listing = {
        "path": "/bin/sh",
        "args": ["sh", "-c", "ls /proc/self/fd > /tmp/listing; test $(wc -l < /tmp/listing) = 4"],
    }
    host = {**listing, "args": ["sh", "-c", "test $(ls /proc/self/fd | wc -l) = 4"]}

    def change(config: dict[str, Any]) -> None:
        config["process"]["cwd"] = "/tmp"
        config["hooks"] = {kind: [listing if kind == "startContainer" else host] for kind in HOOKS}

    bundle = arena.bundle("true", change=change)
    with inherited(arena.canary) as options:
        done = arena.run(bundle, **options)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_process_whose_hook_runs(arena: Arena) -> None:
    """createContainer hooks run in it before it becomes anything: nothing of the runtime's is open in it even then."""
    gate = arena.gate()
    bundle = arena.bundle("true", change=lambda config: config.update(hooks={"createContainer": [gate.hook]}))
    creating = arena.begin("create", "--bundle", str(bundle), "c")
    gate.wait()
    pid = json.loads((arena.root / "c/state.json").read_text())["init_process_pid"]
    names = {name for name, _ in descriptors(pid).values()}
    gate.open()
    assert creating.end().returncode == 0
    assert str(arena.root / "c/exec.fifo") in names  # it is the right process
    assert names & {str(one) for one in (bundle, arena.root, arena.root / "c")} == set()


def ran_on_the_host(done: Done) -> bool:
    return '"fds"' in done.stdout  # a report


@pytest.mark.parametrize("way", ["directly", "by a link", "by a script"])
def test_a_program_named_by_descriptor(any_arena: Arena, way: str) -> None:
    """args[0] = /proc/self/fd/N, with a program of the host open as every N: it is never executed."""
    program = any_arena.directory / "program-of-the-host"
    shutil.copy(any_arena.reporter, program)
    numbers = [*range(3, 24), 100, LAST]
    bundle = any_arena.bundle("true")
    config = json.loads((bundle / "config.json").read_text())
    with inherited(program) as options:
        for number in numbers if way == "directly" else numbers[:8]:
            entry = bundle / "rootfs/entry"
            entry.unlink(missing_ok=True)
            name = f"/proc/self/fd/{number}"
            if way == "by a link":
                entry.symlink_to(name)
            elif way == "by a script":
                entry.write_text(f"#!{name} report\n")
                entry.chmod(0o755)
            config["process"]["args"] = [name if way == "directly" else "/entry", "report"]
            (bundle / "config.json").write_text(json.dumps(config))
            done = any_arena.run(bundle, **options)
            assert not ran_on_the_host(done), f"descriptor {number}: {done.stdout}"
            assert done.returncode != 0
            assert any_arena.is_clean_failure(done), done


def test_a_program_of_the_host_would_be_noticed(arena: Arena) -> None:
    """With --preserve-fds it is what the caller asked for, and so shows that the test above can fail."""
    program = arena.directory / "program-of-the-host"
    shutil.copy(arena.reporter, program)
    bundle = arena.bundle("/proc/self/fd/3", "report")
    with inherited(program) as options:
        done = arena("run", "--preserve-fds", "1", "--bundle", str(bundle), "c", **options)
    assert ran_on_the_host(done)


WAYS_OUT = ["/proc/self/cwd", "/proc/1/cwd", "/proc/1/root", "/proc/self/root/proc/1/cwd", "/proc/thread-self/cwd"]


def out_of_the_root(done: Done) -> bool:
    return CANARY in done.stdout or "unreachable" in done.stdout or not done.stdout.startswith("/")


@pytest.mark.parametrize("way", ["directly", "by a link"])
@pytest.mark.parametrize("preserve", [0, 4])
def test_a_working_directory_named_by_descriptor(any_arena: Arena, way: str, preserve: int) -> None:
    """process.cwd = /proc/self/fd/N, with a directory of the host open as every N and as our own."""
    bundle = any_arena.bundle("cat file dir/file ../canary/file; readlink /proc/self/cwd")
    config = json.loads((bundle / "config.json").read_text())
    numbers = [*range(3, 17), LAST] if way == "directly" and not preserve else range(3, 8)
    with inherited(any_arena.canary) as options:
        for name in [*(f"/proc/self/fd/{number}" for number in numbers), *WAYS_OUT]:
            link = bundle / "rootfs/link"
            link.unlink(missing_ok=True)
            link.symlink_to(name)
            config["process"]["cwd"] = name if way == "directly" else "/link"
            (bundle / "config.json").write_text(json.dumps(config))
            command = ("run", "--preserve-fds", str(preserve), "--bundle", str(bundle), "c")
            done = any_arena(*command, **options)
            if done.returncode:
                assert any_arena.is_clean_failure(done), done
            assert done.returncode or not out_of_the_root(done), f"{name}: {done.stdout}"
        config["process"]["cwd"] = "/proc/self/fd" if way == "directly" else "/link"
        link.unlink()
        link.symlink_to("/proc/self/fd")
        (bundle / "config.json").write_text(json.dumps(config))
        done = any_arena(*command, **options)  # the control: a directory of procfs as any other
        assert (done.returncode, done.stdout) == (0, "/proc/1/fd\n"), done
