"""Seccomp listeners: the agent gets the descriptor and the container process state, and answers the program's calls."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pyoci.cli import spec
from pyoci.kernel import seccomp
from pyoci.kernel.constants import SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
from tests.container.box import SOON, Box, until
from tests.container.exec.test_merging import exits, only_needed
from tests.container.listener.agent import GETPPID, Agent, Answer, Change, Make, answered, filtered, read

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers of system calls are those of x86-64"),
]

__all__ = ["exits"]

OPENAT, EXECVE = 257, 59
WAIT_KILLABLE = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"

killable = pytest.mark.skipif(
    not seccomp.flags_supported(SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV),
    reason="Linux has WAIT_KILLABLE_RECV since 5.19",
)


@pytest.mark.parametrize(
    ("answer", "result", "error"),
    [
        (Answer(), 0, "0"),
        (Answer(error=errno.EXDEV), -1, "EXDEV"),
        (Answer(value=4711), 4711, "0"),
    ],
    ids=["continue", "error", "value"],
)
def test_answers(box: Box, agent: Make, answer: Answer, result: int, error: str) -> None:
    served = agent({GETPPID: answer})
    found = answered(box, box.bundle("try", "syscall", str(GETPPID), change=filtered(box, "getppid")))
    assert (found["result"], found["error"]) == (result, error)
    assert [number for _, number in served.calls] == [GETPPID]


def test_a_descriptor_for_an_answer(box: Box, agent: Make) -> None:
    agent({OPENAT: Answer(content=b"from outside\n")})
    bundle = box.bundle("read", "/there/is/no/such/file", change=filtered(box, "open", "openat"))
    done = box("run", "--bundle", str(bundle), "a", timeout=SOON)
    assert (done.returncode, done.stdout, done.stderr) == (0, "from outside\n", "")


def test_the_state(box: Box, agent: Make) -> None:
    """As the specification's example has it; `pid` is the process that is being notified about."""
    served = agent({GETPPID: Answer()})

    def more(config: dict[str, Any]) -> None:
        config["annotations"] = {"com.example.key": "välue"}

    change = filtered(
        box, "getppid", more=more, listenerMetadata="MKNOD=/dev/null,/dev/net/tun;BPF_MAP_TYPES=hash,array"
    )
    bundle = box.bundle("try", "syscall", str(GETPPID), ",", "sleep", change=change)
    assert box("create", "--bundle", str(bundle), "a").stderr == ""
    assert served.states == [], "the connection is made when there is something to send"
    assert box("start", "a").stderr == ""
    pid = box.state("a")["pid"]
    assert served.took(1)
    assert served.states == [
        {
            "ociVersion": "1.3.0",
            "fds": ["seccompFd"],
            "pid": pid,
            "metadata": "MKNOD=/dev/null,/dev/net/tun;BPF_MAP_TYPES=hash,array",
            "state": {
                "ociVersion": "1.3.0",
                "id": "a",
                "status": "created",
                "pid": pid,
                "bundle": str(bundle),
                "annotations": {"com.example.key": "välue"},
            },
        }
    ]
    assert served.names == ["anon_inode:seccomp notify"]
    until(lambda: served.calls == [(pid, GETPPID)], "the program has called")


def test_nothing_of_it_reaches_the_program(box: Box, agent: Make) -> None:
    """No descriptor, no child, no other process, no changed signal: a report with a listener is the one without."""
    agent({GETPPID: Answer()})

    def plain(config: dict[str, Any]) -> None:
        filtered(box)(config)
        config["linux"]["seccomp"]["syscalls"] = [{"names": ["getppid"], "action": "SCMP_ACT_LOG"}]

    reports = []
    for change in (plain, filtered(box, "getppid")):
        found = answered(box, box.bundle("report", change=change))
        found["fds"] = sorted(found["fds"])
        del found["status"]["SigQ"]  # of all processes of this user
        reports.append(found)
        children = box.bundle("read", "/proc/self/task/1/children", change=change)
        assert box("run", "--bundle", str(children), "a").stdout == ""
    assert reports[0]["status"]["Seccomp_filters"] == "1"
    for key in ("fds", "signals", "status", "capabilities", "rlimits", "umask", "groups", "uid", "pid", "ppid"):
        assert key in reports[0] and reports[0][key] == reports[1][key], key


@pytest.mark.parametrize("no_new_privileges", [True, False])
@pytest.mark.parametrize("uid", [0, 1000])
def test_every_call_of_the_launch(box: Box, agent: Make, no_new_privileges: bool, uid: int) -> None:
    """execve itself and what a sender would need may all be notified: the program starts when the agent says so."""
    names = ("execve", "sendmsg", "wait4", "futex", "mmap", "close", "rt_sigaction", "munmap", "brk", "read", "poll")
    served = agent(dict.fromkeys((EXECVE, 46, 61, 202, 9, 3, 13, 11, 12, 0, 7), Answer()), late=True)

    def more(config: dict[str, Any]) -> None:
        config["process"]["noNewPrivileges"] = no_new_privileges
        config["process"]["user"] = {"uid": uid, "gid": uid}

    bundle = box.bundle("exit", "7", change=filtered(box, *names, more=more))
    running = box.begin("run", "--bundle", str(bundle), "a")
    until(lambda: served.states, "the agent has the listener")
    assert box.state("a")["status"] == "created", "the execve waits"
    served.go.set()
    done = running.end(SOON)
    assert (done.returncode, done.stderr) == (7, "")
    assert EXECVE in [number for _, number in served.calls]


def test_an_execve_that_the_agent_forbids(box: Box, agent: Make) -> None:
    agent({EXECVE: Answer(error=errno.EACCES)})
    done = box("run", "--bundle", str(box.bundle("exit", "7", change=filtered(box, "execve"))), "a", timeout=SOON)
    assert done.returncode != 0
    assert "permission denied" in done.stderr and done.stdout == ""


def new_user(config: dict[str, Any]) -> None:
    config["linux"]["namespaces"].append({"type": "user"})
    mapping = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    config["linux"].update(uidMappings=mapping, gidMappings=mapping)


def two_stages(config: dict[str, Any]) -> None:
    config["linux"]["namespaces"].append({"type": "time"})
    config["linux"]["timeOffsets"] = {"boottime": {"secs": 100}}


def host_pids(config: dict[str, Any]) -> None:
    config["linux"]["namespaces"] = [one for one in config["linux"]["namespaces"] if one["type"] != "pid"]


def shared_user(config: dict[str, Any]) -> None:
    new_user(config)
    two_stages(config)


SHAPES: list[Change] = [new_user, two_stages, host_pids, shared_user]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_way_to_be_born(either_box: Box, tmp_path: Path, shape: Change) -> None:
    """The agent's socket is closed to all but root: it is the runtime that connects, not the container's root."""
    agent = Agent(tmp_path / "agent", {GETPPID: Answer(value=5)})
    agent.path.chmod(0o600)
    try:
        bundle = either_box.bundle(
            "try", "syscall", str(GETPPID), change=filtered(either_box, "getppid", "execve", more=shape)
        )
        for path in (bundle / "rootfs", bundle / "rootfs/reporter"):
            os.chown(path, 100000, 100000)
        agent.answers[EXECVE] = Answer()
        assert answered(either_box, bundle)["result"] == 5
        assert agent.took(1)
    finally:
        agent.close()


@killable
@pytest.mark.parametrize("flags", [[WAIT_KILLABLE], [], ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG"]])
def test_flags(box: Box, agent: Make, flags: list[str]) -> None:
    """WAIT_KILLABLE_RECV since Linux 5.19; TSYNC is accepted and without a meaning for one thread."""
    agent({GETPPID: Answer(value=1)})
    bundle = box.bundle("try", "syscall", str(GETPPID), change=filtered(box, "getppid", flags=flags))
    assert answered(box, bundle)["result"] == 1


@killable
@pytest.mark.parametrize("flags", [[WAIT_KILLABLE], []])
def test_wait_killable(box: Box, agent: Make, flags: list[str]) -> None:
    """A signal interrupts a call that the agent has received, but with the flag only a fatal one does."""
    served = agent()
    bundle = box.bundle("try", "syscall", str(GETPPID), ",", "trap", "3", change=filtered(box, "getppid", flags=flags))
    running = box.begin("run", "--bundle", str(bundle), "a")
    until(lambda: served.pending, "the agent was notified")
    running.signal(signal.SIGTERM)
    if flags:
        pid = served.calls[0][0]
        until(lambda: f"{1 << signal.SIGTERM - 1:016x}" in read(f"/proc/{pid}/status"), "the signal is pending")
        assert running.is_running()
        served.reply(*served.pending[0], Answer(value=5))
    done = running.end(SOON)
    assert (done.returncode, done.stderr) == (3, "")
    assert json.loads(done.stdout)["result"] == (5 if flags else -1)


@killable
def test_wait_killable_ends_by_kill(box: Box, agent: Make) -> None:
    served = agent()
    bundle = box.bundle("try", "syscall", str(GETPPID), change=filtered(box, "getppid", flags=[WAIT_KILLABLE]))
    running = box.begin("run", "--bundle", str(bundle), "a")
    until(lambda: served.pending, "the agent was notified")
    assert box("kill", "a", "KILL").stderr == ""
    assert running.end(SOON).returncode == 128 + signal.SIGKILL


def test_two_containers_of_one_agent(box: Box, agent: Make) -> None:
    """Each is a connection of its own."""
    served = agent({GETPPID: Answer(value=5)})
    for id in ("a", "b"):
        bundle = box.bundle("try", "syscall", str(GETPPID), ",", "sleep", change=filtered(box, "getppid"))
        assert box("create", "--bundle", str(bundle), id).stderr == ""
    for id in ("b", "a"):
        assert box("start", id, timeout=SOON).stderr == ""
    assert served.took(2)
    assert [one["state"]["id"] for one in served.states] == ["b", "a"]
    assert {one["pid"] for one in served.states} == {box.state(id)["pid"] for id in ("a", "b")}
    until(lambda: len(served.calls) == 2, "both have called")


def test_no_rule_no_agent(box: Box) -> None:
    """listenerPath without SCMP_ACT_NOTIFY means nothing, nor does its flag."""
    bundle = box.bundle("exit", "3", change=filtered(box, syscalls=[], flags=[WAIT_KILLABLE]))
    assert box("run", "--bundle", str(bundle), "a").returncode == 3


def test_a_long_path_and_a_relative_one(box: Box, agent: Make) -> None:
    """A relative path starts at the bundle; a socket's name may be longer than struct sockaddr_un takes."""
    long = box.directory / ("d" * 120)
    long.mkdir()
    served = agent({GETPPID: Answer(value=5)})
    (long / "agent").symlink_to(served.path)
    for path in (str(long / "agent"), "../agent"):
        change = filtered(box, "getppid", listenerPath=path)
        assert answered(box, box.bundle("try", "syscall", str(GETPPID), change=change))["result"] == 5


@pytest.mark.parametrize("no_new_privileges", [True, False])
@pytest.mark.parametrize("names", [("getppid",), ("getppid", "execve")], ids=["early", "late"])
def test_exec(box: Box, agent: Make, names: tuple[str, ...], no_new_privileges: bool) -> None:
    """Its process has a listener of its own, sent with the container's state. Unless exec itself makes calls that the
    agent is to answer, stage 1 loads the filter, and there is no helper."""
    served = agent({GETPPID: Answer(value=5), EXECVE: Answer()})

    def more(config: dict[str, Any]) -> None:
        config["process"]["noNewPrivileges"] = no_new_privileges

    bundle = box.bundle("sleep", change=filtered(box, *names, more=more, listenerMetadata="m"))
    assert box("run", "--detach", "--bundle", str(bundle), "a").stderr == ""
    pid_file = box.directory / "pid"
    call = ("/reporter", "try", "syscall", str(GETPPID))
    done = box("exec", "--pid-file", str(pid_file), "a", *call, timeout=SOON)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["result"] == 5
    pid = int(pid_file.read_text())
    first, second = served.states
    assert (second["pid"], second["metadata"]) == (pid, "m")
    assert second["state"] == {**first["state"], "status": "running"}
    assert (pid, GETPPID) in served.calls
    assert box("exec", "--detach", "a", "/reporter", "exit", "0", timeout=SOON).stderr == ""
    report = json.loads(box("exec", "a", "/reporter", "report", timeout=SOON).stdout)
    assert sorted(report["fds"]) == ["0", "1", "2"]


def processes_open(pid: int) -> list[int]:
    """The processes that a process has pidfds of; -1 for one that has ended."""
    texts = [read(f"/proc/{pid}/fdinfo/{name}") for name in os.listdir(f"/proc/{pid}/fd")]
    return [int(line[4:]) for text in texts for line in text.splitlines() if line.startswith("Pid:")]


def test_exec_has_no_pidfd_of_the_helper(box: Box, agent: Make) -> None:
    """The helper is a process of the host, and stays there. Whoever may trace in the container could take the pidfd
    from the new process before its program begins, and end the helper or get into it."""
    served = agent({EXECVE: Answer()})
    change = filtered(box, "getppid", "execve")
    assert box("run", "--detach", "--bundle", str(box.bundle("sleep", change=change)), "a").stderr == ""
    assert served.took(1)
    del served.answers[EXECVE]
    running = box.begin("exec", "a", "/reporter", "exit", "3")
    until(lambda: served.pending, "the process of exec is about to begin its program")
    pid, number = served.calls[-1]
    named = processes_open(pid)
    served.reply(*served.pending[0], Answer())
    done = box.end(running)
    assert (number, done.returncode, done.stderr) == (EXECVE, 3, "")
    assert len(named) == 2 and pid in named, f"{named}: itself and stage 1, which made it, but not the helper"


def test_exec_under_a_filter_that_allows_it_and_no_more(box: Box, agent: Make, exits: Path) -> None:
    """Under which stage 1 has sent the listener."""
    served = agent({GETPPID: Answer(value=5)})

    def change(config: dict[str, Any]) -> None:
        only_needed(config)
        config["mounts"].append({"destination": "/program", "source": str(exits), "options": ["bind"]})
        seccomp = config["linux"]["seccomp"]
        seccomp["syscalls"].append({"names": ["getppid"], "action": "SCMP_ACT_NOTIFY"})
        seccomp["listenerPath"] = str(box.directory / "agent")

    assert box("create", "--bundle", str(box.bundle("sleep", change=change)), "c").stderr == ""
    for flags in ((), ("--user", "1000:1000"), ("--tty",)):
        done = box("exec", *flags, "c", "/program", timeout=SOON)
        assert (done.returncode, done.stderr) == (7, "")
    assert served.took(3)


def test_exec_whose_agent_ends(box: Box) -> None:
    """Nobody else has kept the listener: the call fails, and does not wait for ever."""
    agent = Agent(box.directory / "agent", {GETPPID: Answer(value=5)})
    assert box("create", "--bundle", str(box.bundle("sleep", change=filtered(box, "getppid"))), "a").stderr == ""
    command = box.command("exec", "a", "/reporter", "echo", ",", "try", "syscall", str(GETPPID))
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        until(lambda: len(agent.states) == 1, "the agent has the listener")
        agent.close()
        output, _ = process.communicate(b"", timeout=SOON)
    finally:
        process.kill()
    assert json.loads(output)["error"] == "ENOSYS"


def test_exec_without_an_agent(box: Box) -> None:
    agent = Agent(box.directory / "agent")
    assert (
        box("run", "--detach", "--bundle", str(box.bundle("sleep", change=filtered(box, "getppid"))), "a").stderr == ""
    )
    agent.close()
    done = box("exec", "a", "/reporter", "exit", "0", timeout=SOON)
    assert done.returncode == 255
    assert "failed to connect with seccomp agent" in done.stderr


@pytest.mark.parametrize("no_new_privileges", [True, False])
@pytest.mark.parametrize("more", [(), ("execve",)], ids=["early", "late"])
def test_an_ordinary_user(box: Box, more: tuple[str, ...], no_new_privileges: bool) -> None:
    """Without a privilege on the host: in a user namespace the filter is loaded, and the agent is the user's own."""
    user = 54321
    os.chown(box.directory, user, user)
    os.chown(box.root, user, user)
    agent = Agent(box.directory / "agent", {GETPPID: Answer(value=5), EXECVE: Answer()})
    os.chown(agent.path, user, user)
    agent.path.chmod(0o600)

    def rootless(config: dict[str, Any]) -> None:
        config.update(spec.rootless(config, user, user))
        del config["linux"]["cgroupsPath"]
        config["process"]["noNewPrivileges"] = no_new_privileges

    bundle = box.bundle("try", "syscall", str(GETPPID), change=filtered(box, "getppid", "execve", more=rootless))
    sleeper = box.bundle("sleep", change=filtered(box, "getppid", *more, more=rootless))
    for path in (bundle, bundle / "rootfs", sleeper, sleeper / "rootfs"):
        os.chown(path, user, user)
    try:
        with box.as_user(user):
            done = box("run", "--bundle", str(bundle), "a", timeout=SOON)
            assert (done.returncode, done.stderr) == (0, "")
            assert json.loads(done.stdout)["result"] == 5
            assert box("run", "--detach", "--bundle", str(sleeper), "b", timeout=SOON).returncode == 0
            done = box("exec", "b", "/reporter", "try", "syscall", str(GETPPID), timeout=SOON)
            assert (done.returncode, done.stderr.count("level=error")) == (0, 0), done.stderr
            assert json.loads(done.stdout)["result"] == 5
            assert agent.took(3)
            assert box("delete", "--force", "b").returncode == 0
    finally:
        agent.close()
        os.chown(box.root, 0, 0)
