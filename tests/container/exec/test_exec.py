"""exec: what its process has of the container, of `process` and of the caller; exit statuses; states."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.container.box import Box, alive, until
from tests.container.exec.started import common, process_file, refused, report_of_init, seen, started
from tests.container.test_life_cycle import in_state

pytestmark = pytest.mark.root


def user_namespace(config: dict[str, Any]) -> None:
    config["linux"]["namespaces"].append({"type": "user"})
    for kind in ("uidMappings", "gidMappings"):
        config["linux"][kind] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    config["mounts"] = [one for one in config["mounts"] if one["type"] != "cgroup"]


def every_namespace(config: dict[str, Any]) -> None:
    user_namespace(config)
    config["linux"]["namespaces"] += [{"type": "cgroup"}, {"type": "time"}]
    config["linux"]["timeOffsets"] = {"monotonic": {"secs": 1000}}


def only_mounts(config: dict[str, Any]) -> None:
    config["linux"]["namespaces"] = [{"type": "mount"}]
    config.pop("hostname")
    config["mounts"] = [one for one in config["mounts"] if one["type"] not in ("sysfs", "cgroup")]


def no_mounts(config: dict[str, Any]) -> None:
    """The container's root is a chroot(2)."""
    config["linux"]["namespaces"] = [{"type": "pid"}, {"type": "uts"}]
    config.update(mounts=[])
    config["linux"].update(maskedPaths=[], readonlyPaths=[])


def a_user(config: dict[str, Any]) -> None:
    config["process"]["user"] = {"uid": 1000, "gid": 1001, "additionalGids": [5, 6], "umask": 0o27}
    config["process"]["oomScoreAdj"] = 77
    config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 99, "hard": 111}]
    config["process"]["env"] += ["A=b", "B="]
    config["process"]["cwd"] = "/dev"


def filtered(config: dict[str, Any]) -> None:
    config["process"]["noNewPrivileges"] = False
    config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99}],
    }


def unprivileged_and_filtered(config: dict[str, Any]) -> None:
    a_user(config)
    filtered(config)
    config["process"]["noNewPrivileges"] = True


SHAPES = {
    function.__name__: function
    for function in (
        user_namespace,
        every_namespace,
        only_mounts,
        no_mounts,
        a_user,
        filtered,
        unprivileged_and_filtered,
    )
}


def plain(config: dict[str, Any]) -> None:
    """As `spec` writes it."""


@pytest.mark.parametrize("shape", [plain, *SHAPES.values()], ids=lambda shape: str(shape.__name__))
def test_the_process_is_as_the_first_one(either_box: Box, shape: Any) -> None:
    """Its namespaces, cgroups, capabilities, filter, limits, keyring, environment: all as of the container's own."""
    bundle = started(either_box, shape)
    init, found = report_of_init(bundle), seen(either_box)
    if shape is no_mounts:  # mountinfo shows all mounts of the host, among them those of other tests
        init["mountinfo"] = found["mountinfo"] = []
    assert common(found) == common(init)
    assert set(found["fds"]) == {"0", "1", "2"}
    assert found["sid"] == found["pid"]


def test_without_pivot_root(box: Box) -> None:
    bundle = started(box, None, "--no-pivot")
    assert common(seen(box)) == common(report_of_init(bundle))


def test_in_a_container_that_waits_for_start(either_box: Box) -> None:
    in_state(either_box, "created")
    assert seen(either_box, id="a")["ppid"] == 0
    assert either_box.status("a") == "created"
    assert either_box("start", "a").stderr == ""


# exit statuses


@pytest.mark.parametrize(
    ("program", "status"),
    [
        (("exit", "0"), 0),
        (("exit", "7"), 7),
        (("exit", "255"), 255),
        (("die", "9"), 137),
        (("die", "15"), 143),
        (("die", "11"), 139),
    ],
)
def test_the_status_is_the_program_s(box: Box, program: tuple[str, ...], status: int) -> None:
    started(box)
    done = box("exec", "c", "/reporter", *program)
    assert (done.returncode, done.stderr) == (status, "")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("c nope", 'unable to start container process: exec: "nope": executable file not found in $PATH'),
        ("c /nope", 'unable to start container process: exec: "/nope": stat /nope: no such file or directory'),
        ("c /dev", 'unable to start container process: exec: "/dev": is a directory'),
        ("c /dev/null", 'unable to start container process: exec: "/dev/null": permission denied'),
        ("--cwd /nope c /reporter", 'chdir to cwd ("/nope") set in config.json failed: no such file or directory'),
        ("--cwd dev c /reporter", "exec failed: Cwd must be an absolute path"),
        ("c", "exec failed: exec args cannot be empty"),
        ("nope /reporter", "exec failed: container does not exist"),
        ("-e A c /reporter", "invalid environment variable: missing '='"),
        ("-e =x c /reporter", "invalid environment variable: name cannot be empty"),
        ("-u x c /reporter", 'bad uid: strconv.Atoi: parsing "x": invalid syntax'),
        ("-u 0:x c /reporter", 'bad gid: strconv.Atoi: parsing "x": invalid syntax'),
        ("-t -d c /reporter", "cannot allocate tty if runc will detach without setting console socket"),
        ("--console-socket /x c /reporter", "cannot use console socket if runc will not detach or allocate tty"),
        ("--process /nope c", "exec failed: open /nope: no such file or directory"),
        (
            "--process-label a:b:c:d c /reporter",
            "selinux label is specified in config, but selinux is disabled or not supported",
        ),
        ("--apparmor p c /reporter", 'unable to apply apparmor profile "p": apparmor is not enabled'),
        ("--preserve-fds 1 c /reporter", "unable to stat preserved-fd 0 (of 1)"),
        ("--cgroup nope c /reporter", "nope: no such file or directory"),
        ("--cgroup ../x c /reporter", "bad sub cgroup path: ../x"),
        ("--pidfd-socket /nope c /reporter", "dial unix /nope: connect: no such file or directory"),
    ],
)
def test_what_did_not_run_is_255(box: Box, words: str, text: str) -> None:
    """With runc's words, on standard error and in the log; the fixture sees whatever would be left."""
    started(box)
    log = box.directory / "log"
    done = box("--log", str(log), "--log-format", "json", "exec", *words.split())
    assert (done.returncode, done.stdout) == (255, ""), done
    assert text in done.stderr.splitlines()[0].replace('\\"', '"')
    (line,) = log.read_text().splitlines()
    assert (json.loads(line)["level"], text in json.loads(line)["msg"]) == ("error", True)
    assert box.status("c") == "running"


def test_a_detached_one_that_did_not_run(box: Box) -> None:
    started(box)
    refused(box("exec", "-d", "--pid-file", str(box.directory / "pid"), "c", "nope"), 'exec: "nope"')
    assert not (box.directory / "pid").exists()


def test_without_its_pid_file_it_does_not_stay(box: Box) -> None:
    """It runs by the time the file is to be written, and is killed; the fixture would see it."""
    started(box)
    refused(box("exec", "-d", "--pid-file", "/nope/pid", "c", "/reporter", "sleep"), "open /nope/.pid: no such file")


# states


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ("missing", "container does not exist"),
        ("stopped", "cannot exec in a stopped container"),
        ("paused", "cannot exec in a paused container (use --ignore-paused to override)"),
    ],
)
def test_states_in_which_it_is_refused(either_box: Box, status: str, text: str) -> None:
    in_state(either_box, status)
    refused(either_box("exec", "a", "/reporter", "exit", "0"), text)


def test_ignore_paused_waits_for_the_container(either_box: Box) -> None:
    """As runc: the process is in the container's cgroups, so it goes on with the container."""
    box = either_box
    in_state(box, "paused")
    running = box.begin("exec", "--ignore-paused", "a", "/reporter", "exit", "5")
    with pytest.raises(subprocess.TimeoutExpired):
        running.process.wait(0.3)
    assert box("resume", "a").stderr == ""
    assert box.end(running).returncode == 5


# the caller


def test_detached(either_box: Box) -> None:
    """The pid file names a process that runs, in the container's cgroup, when exec has ended with 0."""
    box = either_box
    started(box)
    file = box.directory / "pid"
    done = box("exec", "--detach", "--pid-file", str(file), "c", "/reporter", "sleep")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pid = int(file.read_text())
    assert file.read_text() == str(pid)
    assert Path(f"/proc/{pid}/cmdline").read_bytes() == b"/reporter\0sleep\0"
    assert box.mark in Path(f"/proc/{pid}/cgroup").read_text()
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(pid), "it has ended")
    assert box.status("c") == "running"


def test_the_streams_are_the_caller_s(box: Box) -> None:
    """Standard input comes to its end, output and errors keep apart."""
    started(box)
    command = box.command("exec", "c", "/reporter", "echo")
    done = subprocess.run(command, input=b"a\nb\0c", capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"a\nb\0c", b"")
    done = subprocess.run(box.command("exec", "c", "/reporter", "read", "/nope"), capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (99, b"") and b"ENOENT" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_signals_are_forwarded(box: Box, number: int) -> None:
    started(box)
    running = box.begin("exec", "--pid-file", str(box.directory / "pid"), "c", "/reporter", "sleep")
    until((box.directory / "pid").exists, "it runs")
    running.signal(number)
    assert box.end(running).returncode == 128 + number
    assert box.status("c") == "running"


def test_a_program_that_catches_the_signal(box: Box) -> None:
    started(box)
    file = box.directory / "pid"
    running = box.begin("exec", "--pid-file", str(file), "c", "/reporter", "trap", "42")
    until(file.exists, "it runs")

    def catches() -> bool:
        lines = Path(f"/proc/{file.read_text()}/status").read_text().splitlines()
        (mask,) = [int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:")]
        return bool(mask >> signal.SIGTERM - 1 & 1)

    until(catches, "it catches the signal")
    running.signal(signal.SIGTERM)
    assert box.end(running).returncode == 42


def test_a_caller_that_is_killed_leaves_the_process(box: Box) -> None:
    """As runc: what runs in the container is the container's."""
    started(box)
    running = box.begin("exec", "--pid-file", str(box.directory / "pid"), "c", "/reporter", "sleep")
    until((box.directory / "pid").exists, "it runs")
    running.signal(signal.SIGKILL)
    box.end(running)
    pid = int((box.directory / "pid").read_text())
    assert alive(pid)
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(pid), "it has ended")


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_without_a_umask_of_the_container_it_is_the_caller_s(box: Box, umask: int) -> None:
    started(box)
    assert seen(box, umask=umask)["umask"] == umask


def test_a_pinned_caller_does_not_pin_the_process(box: Box) -> None:
    bundle = started(box)
    pinned = seen(box, preexec_fn=lambda: os.sched_setaffinity(0, {0}))
    assert pinned["affinity"] == report_of_init(bundle)["affinity"]


def test_many_at_once(box: Box) -> None:
    started(box)
    running = [box.begin("exec", "c", "/reporter", "exit", str(number)) for number in range(8)]
    assert [box.end(one).returncode for one in running] == list(range(8))


def test_a_process_from_a_file(box: Box) -> None:
    """--process as engines use it; flags beside it do not count."""
    started(box)
    file = process_file(box, env=["X=y"], cwd="/dev", user={"uid": 5, "gid": 6})
    found = seen(box, "--process", file, "--cwd", "/", "-e", "A=b", "-u", "7")
    assert (found["env"], found["cwd"], found["uid"], found["gid"]) == (
        ["X=y", "HOME=/"],
        "/dev",
        [5] * 3,
        [6] * 3,
    )


def test_without_privileges(box: Box) -> None:
    """An ordinary user enters a container of their own, once it is started."""
    bundle = box.own_bundle(1000)
    with box.as_user(1000):
        assert box("create", "--bundle", str(bundle), "c").stderr == ""
        refused(box("exec", "c", "/reporter"), "cannot look at the container's user namespace: permission denied")
        assert box("start", "c").stderr == ""
        found = seen(box)
        assert (found["uid"], found["uid_map"], found["groups"]) == ([0] * 3, ["         0       1000          1"], [])
        refused(box("exec", "-u", "5", "c", "/reporter"), "cannot setuid to unmapped uid 5 in user namespace")
        refused(box("exec", "--cgroup", "/", "c", "/reporter"), "the container has no cgroup of its own")
        refused(box("exec", "c", "nope"), "executable file not found in $PATH")
        box.clean()
    os.chown(box.root, 0, 0)
