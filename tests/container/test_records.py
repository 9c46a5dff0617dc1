"""What create writes down, with which modes, and what delete may conclude from it."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from pyoci.container import create, delete, state
from tests.container.box import Box, until
from tests.container.test_life_cycle import refused
from tests.container.test_together import hook

pytestmark = pytest.mark.root


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(("umask", "pid_file"), [(0o022, 0o644), (0o077, 0o600), (0, 0o666)])
def test_the_umask_is_the_callers(box: Box, umask: int, pid_file: int) -> None:
    """For the pid file and for hooks; but whatever it is, nobody else may write where containers are kept."""
    box.root = box.directory / "x/y/root"
    log = box.directory / "umask"
    kinds = {"createRuntime": f"umask > {log}"}
    bundle = box.bundle(
        "exit", "0", change=hook("createRuntime", {"path": "/bin/sh", "args": ["sh", "-c", kinds["createRuntime"]]})
    )
    done = box("create", "--bundle", str(bundle), "--pid-file", str(box.directory / "pid"), "a", umask=umask)
    assert done.returncode == 0, done.stderr
    assert mode(box.directory / "pid") == pid_file
    assert int(log.read_text(), 8) == umask
    assert [mode(box.directory / name) for name in ("x", "x/y", "x/y/root", "x/y/root/a")] == [
        0o755,
        0o755,
        0o700,
        0o700,
    ]
    assert mode(box.root / "a/exec.fifo") == 0o640
    assert box("delete", "--force", "a").returncode == 0


def test_a_root_that_a_group_may_write_to_is_refused(box: Box) -> None:
    box.root.chmod(0o770)
    refused(box("create", "--bundle", str(box.bundle("exit", "0")), "a"), "may be changed by others")
    box.root.chmod(0o700)


def test_cgroups_that_create_had_not_made_yet_keep_their_processes(box: Box) -> None:
    """A create was killed before it had made its cgroups: what is in them is somebody else's."""
    bundle = box.bundle("sleep")
    assert box("create", "--bundle", str(bundle), "a").returncode == 0
    file = box.root / "a/state.json"
    record: dict[str, Any] = json.loads(file.read_text())
    pid = record["init_process_pid"]
    record["init_process_pid"] = record["init_process_start"] = 0
    record["pyoci"].update(creating=True, cgroups_made=False, runtime_pid=0, private_pid=False)
    (box.root / "b").mkdir(mode=0o711)
    (box.root / "b").chmod(0o711)
    (box.root / "b/state.json").write_text(json.dumps(record | {"id": "b"}))
    assert box("delete", "--force", "b").returncode == 0
    assert not (box.root / "b").exists()
    assert box.status("a") == "created" and Path(f"/proc/{pid}").exists()
    assert box("delete", "--force", "a").returncode == 0


def test_an_undo_spares_the_next_container_of_the_name(tmp_path: Path) -> None:
    """create's undo comes after a delete and another create: the name is not its own any more."""
    (tmp_path / "a").mkdir()
    root = os.open(tmp_path, os.O_PATH)
    first = os.open(tmp_path / "a", os.O_RDONLY)
    (tmp_path / "a").rmdir()
    (tmp_path / "a").mkdir()
    (tmp_path / "a/state.json").touch()
    create._remove_directory(root, "a", first)
    assert (tmp_path / "a/state.json").exists()
    create._remove_directory(root, "a", os.open(tmp_path / "a", os.O_RDONLY))
    assert not (tmp_path / "a").exists()


def test_a_run_that_fails_spares_the_next_container_of_the_name(box: Box) -> None:
    """Who removes the container that it has made may be late as well: what decides is when it was made."""
    assert box("create", "--bundle", str(box.bundle("sleep")), "a").returncode == 0
    container = state.load(str(box.root), "a")
    delete.remove(container.replace(created="2001-01-01T00:00:00Z"))
    assert box.status("a") == "created"
    delete.remove(container)
    assert not (box.root / "a").exists()


def test_a_failed_create_ends_what_its_hooks_have_left(either_box: Box) -> None:
    """Without a pid namespace of its own the end of the first process ends nobody else."""
    box = either_box

    def change(config: dict[str, Any]) -> None:
        config["linux"]["namespaces"] = [one for one in config["linux"]["namespaces"] if one["type"] != "pid"]
        left = {"path": "/bin/sh", "args": ["sh", "-c", "setsid sleep 777 > /dev/null 2>&1 < /dev/null & exit 0"]}
        hook("createContainer", left, {"path": "/bin/false"})(config)

    begin = time.monotonic()
    refused(
        box("create", "--bundle", str(box.bundle("sleep", change=change)), "a"),
        "createContainer hook #1: exit status 1",
    )
    assert time.monotonic() - begin < 15
    assert os.listdir(box.root) == []


@pytest.mark.parametrize("length", [240, 255])
def test_the_longest_names(box: Box, length: int) -> None:
    id = "a" * length
    assert box("create", "--bundle", str(box.bundle("sleep")), id).returncode == 0
    assert box("delete", "--force", id).returncode == 0
    assert os.listdir(box.root) == []


def test_a_name_no_directory_can_have(box: Box) -> None:
    refused(box("create", "--bundle", str(box.bundle("sleep")), "a" * 256), "invalid container ID format")


def test_annotations_come_back_as_they_were(box: Box) -> None:
    annotations = {"bundle": "/evil", "a=b": "c", "d": "e=f"}
    bundle = box.bundle("sleep", change=lambda config: config.update(annotations=annotations))
    assert box("create", "--bundle", str(bundle), "a").returncode == 0
    found = box.state("a")
    assert (found["annotations"], found["bundle"]) == (annotations, str(bundle))
    assert box("delete", "--force", "a").returncode == 0


def test_a_dead_create_whose_process_lives_is_not_forgotten(box: Box) -> None:
    """Whatever state.json says of its runtime: delete ends the recorded process."""
    assert box("create", "--bundle", str(box.bundle("sleep")), "a").returncode == 0
    file = box.root / "a/state.json"
    record: dict[str, Any] = json.loads(file.read_text())
    record["pyoci"].update(creating=True, runtime_pid=0)
    file.write_text(json.dumps(record))
    assert box.status("a") == "stopped"
    assert box("delete", "--force", "a").returncode == 0
    assert not state.is_alive(record["init_process_pid"], record["init_process_start"])


def test_run_reaps_the_orphans_it_has_adopted(box: Box) -> None:
    """It is their subreaper, and no shell is there to wait for them."""

    def change(config: dict[str, Any]) -> None:
        config["linux"]["namespaces"] = [one for one in config["linux"]["namespaces"] if one["type"] != "pid"]
        config["process"]["args"] = [
            "/bin/busybox",
            "sh",
            "-c",
            "for i in 1 2 3; do (busybox sleep 0.1 &) ; done; busybox sleep 60",
        ]
        config["process"]["env"] = ["PATH=/bin"]

    bundle = box.bundle(change=change)
    (bundle / "rootfs/bin").mkdir()
    (bundle / "rootfs/bin/busybox").write_bytes(Path("/bin/busybox").read_bytes())
    (bundle / "rootfs/bin/busybox").chmod(0o755)
    running = box.begin("run", "--bundle", str(bundle), "a")
    until(lambda: (box.root / "a/state.json").exists() and box.status("a") == "running", "it runs")

    def children() -> list[str]:
        listed = subprocess.run(
            ["ps", "-o", "stat=", "--ppid", str(running.pid)], capture_output=True, text=True, check=False
        )
        return listed.stdout.split()

    time.sleep(0.5)
    until(lambda: len(children()) == 1 and not children()[0].startswith("Z"), f"one child, not {children()}")
    assert box("kill", "a", "KILL").returncode == 0
    assert box.end(running).returncode == 137


def test_a_pinned_caller_does_not_pin_the_container(box: Box) -> None:
    bundle = box.bundle("read", "/proc/self/status")
    cpus = sorted(os.sched_getaffinity(0))
    done = subprocess.run(
        ["taskset", "-c", str(cpus[0]), *box.command("run", "--bundle", str(bundle), "a")],
        capture_output=True,
        text=True,
    )
    assert f"Cpus_allowed_list:\t{cpus[0]}-{cpus[-1]}" in done.stdout, done


def test_more_bind_mounts_than_open_files(box: Box) -> None:
    """The caller's soft limit is not the container's size; and the program has the caller's again."""

    def change(config: dict[str, Any]) -> None:
        del config["process"]["rlimits"]
        config["mounts"] += [
            {"destination": f"/mnt/{number}", "type": "bind", "source": "/etc/hostname", "options": ["bind"]}
            for number in range(300)
        ]
        config["root"]["readonly"] = False

    bundle = box.bundle("read", "/proc/self/limits", change=change)
    limit = 'ulimit -Sn 256; exec "$@"'
    done = subprocess.run(
        ["sh", "-c", limit, "sh", *box.command("run", "--bundle", str(bundle), "a")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "Max open files            256 " in done.stdout


def nested(levels: int) -> object:
    return [nested(levels - 1)] if levels else []


@pytest.mark.parametrize("what", ["large", "deep"])
def test_whatever_config_json_may_be_the_container_can_be_removed(box: Box, what: str) -> None:
    """Its annotations stand in state.json twice, a hook a level deeper than there."""

    def change(config: dict[str, Any]) -> None:
        if what == "large":
            config["annotations"] = {f"org.example.{number}": "x" * (3 << 20) for number in range(5)}
        else:
            hook = {"path": "/bin/true", "org.example.more": nested(95)}
            config["hooks"] = {"poststop": [hook], "poststart": [hook]}

    bundle = box.bundle("sleep", change=change)
    assert box("create", "--bundle", str(bundle), "a").stderr == ""
    assert box("start", "a").stderr == ""
    assert box("exec", "a", "/reporter", "exit", "7").returncode == 7
    assert box.status("a") == "running" and "running" in box("list").stdout
    assert box("kill", "a", "KILL").stderr == ""
    box.wait("a", "stopped")
    assert box("delete", "a").stderr == ""
    assert not (box.root / "a").exists()


@pytest.mark.parametrize(
    ("flags", "pointer"), [(("--log",), "--log"), (("create", "--trace"), "--trace")], ids=["log", "trace"]
)
def test_a_fifo_that_nobody_reads_stops_no_command(box: Box, flags: tuple[str, ...], pointer: str) -> None:
    os.mkfifo(box.directory / "fifo")
    bundle = str(box.bundle("exit", "0"))
    command = (*flags, str(box.directory / "fifo"), *(() if flags[0] == "create" else ("create",)))
    done = box(*command, "--bundle", bundle, "a", timeout=20)
    refused(done, "no such device or address")
    assert "nobody reads from this FIFO" in done.stderr and f"pointer: {pointer}" in done.stderr
    reader = os.open(box.directory / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    assert box(*command, "--bundle", bundle, "a", timeout=20).stderr == ""
    os.close(reader)
