"""startContainer hooks and seccomp listeners: what a hook calls is notified to the agent, as with the program."""

from __future__ import annotations

import errno
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from pyoci.cli import spec
from tests import reporter
from tests.container.box import SOON, Box, until
from tests.container.listener.agent import GETPPID, Agent, Answer, Change, Make, filtered
from tests.container.listener.test_failures import helper_of, not_started_without_agent
from tests.container.listener.test_listener import EXECVE, host_pids, new_user, two_stages

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers of system calls are those of x86-64"),
]

Hook = dict[str, Any]


def hook(*words: str, **fields: Any) -> Hook:
    return {"path": "/reporter", "args": ["/reporter", *words], **fields}


CALL = hook("try", "syscall", str(GETPPID))


def hooked(box: Box, *hooks: Hook, names: tuple[str, ...] = ("getppid",), more: Change | None = None) -> Change:
    """A change: the filter notifies of `names`, and the hooks run before the program."""

    def change(config: dict[str, Any]) -> None:
        config["hooks"] = {"startContainer": list(hooks)}
        config["root"]["readonly"] = False
        if more is not None:
            more(config)

    return filtered(box, *names, more=change)


def failed(box: Box, *hooks: Hook, more: Change | None = None) -> str:
    """The error of a container whose program must not run."""
    bundle = box.bundle("echo", "the program", change=hooked(box, *hooks, more=more))
    done = box("run", "--bundle", str(bundle), "a", timeout=SOON)
    assert (done.returncode, done.stdout) == (255, "")  # as with runc
    assert box("list", "--quiet").stdout == ""
    until(lambda: not helper_of(box), "the helper has ended")
    return done.stderr


def test_each_has_a_listener(box: Box, agent: Make) -> None:
    """Two hooks and the program: the states differ in the process that the listener is of."""
    served = agent({GETPPID: Answer(value=5)})
    program = ("try", "syscall", str(GETPPID), ",", "sleep")
    bundle = box.bundle(*program, change=hooked(box, CALL, CALL))
    assert box("create", "--bundle", str(bundle), "a").stderr == ""
    assert served.states == []
    assert box("start", "a", timeout=SOON).stderr == ""
    until(lambda: len(served.calls) == 3, "all have called")
    pid = box.state("a")["pid"]
    pids = [state.pop("pid") for state in served.states]
    assert pids[2] == pid and len(set(pids)) == 3
    assert [(pid, GETPPID) for pid in pids] == served.calls
    assert served.states[0] == served.states[1] == served.states[2]
    assert (served.states[0]["state"]["pid"], served.states[0]["state"]["status"]) == (pid, "created")
    assert served.names == ["anon_inode:seccomp notify"] * 3


def test_the_answer_is_the_hooks(box: Box, agent: Make) -> None:
    """The hook fails, and says what it was answered."""
    agent({GETPPID: Answer(error=errno.EXDEV)})
    error = failed(box, hook("try", "syscall", str(GETPPID), ",", "exit", "4"))
    assert "error running startContainer hook #0: exit status 4" in error
    assert "EXDEV" in error


@pytest.mark.parametrize("no_new_privileges", [True, False])
def test_a_hook_is_born_as_any_other(box: Box, agent: Make, no_new_privileges: bool) -> None:
    """Whether its very execve is notified or nothing is, the hook finds the same around it."""
    agent(dict.fromkeys((GETPPID, EXECVE), Answer()))
    box.prefix = ("sh", "-c", 'exec 3</dev/null; exec "$@"', "sh")  # for --preserve-fds: not for hooks

    def more(config: dict[str, Any]) -> None:
        config["process"]["noNewPrivileges"] = no_new_privileges
        config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 8, "hard": 8}]

    def plain(config: dict[str, Any]) -> None:
        hooked(box, hook("report-to", "/seen"), more=more)(config)
        config["linux"]["seccomp"]["syscalls"] = [{"names": ["getppid"], "action": "SCMP_ACT_LOG"}]

    reports = []
    for change in (plain, hooked(box, hook("report-to", "/seen"), names=("getppid", "execve"), more=more)):
        bundle = box.bundle("exit", "3", change=change)
        done = box("run", "--preserve-fds", "1", "--bundle", str(bundle), "a", timeout=SOON)
        assert (done.returncode, done.stderr) == (3, "")
        [found] = reporter.parse((bundle / "rootfs/seen").read_bytes())
        fds = found.pop("fds")
        assert sorted(fds) == ["0", "1", "2", "3"] and fds["3"]["target"] == "/seen"
        assert found["pgid"] == found["pid"]
        for key in ("NStgid", "SigQ"):
            found["status"].pop(key)
        reports.append(found)
    assert reports[0]["status"]["Seccomp_filters"] == "1"
    own = {"pid", "pgid", "namespaces", "mountinfo", "cgroup", "monotonic", "boottime", "session_keyring"}
    own.add("session_keyring_description")  # each container's keyring has a name of its own
    assert {key for key in reports[0] if reports[0][key] != reports[1][key]} <= own


@pytest.mark.parametrize("shape", [new_user, two_stages, host_pids])
def test_every_way_to_be_born(either_box: Box, tmp_path: Path, shape: Change) -> None:
    agent = Agent(tmp_path / "agent", dict.fromkeys((GETPPID, EXECVE), Answer(value=5)))
    agent.answers[EXECVE] = Answer()
    agent.path.chmod(0o600)
    try:
        change = hooked(either_box, CALL, names=("getppid", "execve"), more=shape)
        bundle = either_box.bundle("try", "syscall", str(GETPPID), change=change)
        for path in (bundle / "rootfs", bundle / "rootfs/reporter"):
            os.chown(path, 100000, 100000)
        done = either_box("run", "--bundle", str(bundle), "a", timeout=SOON)
        assert (done.returncode, done.stderr) == (0, "")
        assert agent.took(2)
        assert [number for _, number in agent.calls] == [EXECVE, GETPPID] * 2
        assert [state["pid"] for state in agent.states] == [pid for pid, _ in agent.calls][::2]
    finally:
        agent.close()


def test_an_ordinary_user(box: Box, tmp_path: Path) -> None:
    user = 54321
    for path in (box.directory, box.root):
        os.chown(path, user, user)
    agent = Agent(box.directory / "agent", {GETPPID: Answer(value=5), EXECVE: Answer()})
    os.chown(agent.path, user, user)

    def rootless(config: dict[str, Any]) -> None:
        config.update(spec.rootless(config, user, user))
        del config["linux"]["cgroupsPath"]

    bundle = box.bundle("exit", "3", change=hooked(box, CALL, names=("getppid", "execve"), more=rootless))
    for path in (bundle, bundle / "rootfs"):
        os.chown(path, user, user)
    try:
        with box.as_user(user):
            done = box("run", "--bundle", str(bundle), "a", timeout=SOON)
        assert (done.returncode, done.stderr) == (3, "")
        assert agent.took(2)
    finally:
        agent.close()
        os.chown(box.root, 0, 0)


def test_few_descriptors(box: Box, agent: Make) -> None:
    """The listener is one more descriptor for a moment: 4 are enough for a hook, not for the program."""
    served = agent({GETPPID: Answer()})

    def more(config: dict[str, Any]) -> None:
        config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 4, "hard": 4}]

    assert "startContainer" not in failed(box, CALL, more=more)
    assert len(served.calls) == 1


# failures


def test_no_agent_any_more(box: Box) -> None:
    not_started_without_agent(box, hooked(box, CALL))


@pytest.mark.parametrize("end", ["hangs up", "helper killed"])
def test_an_agent_that_does_not_read(box: Box, end: str) -> None:
    """It hangs up, or the helper is killed meanwhile: the hook is ended, whose calls nobody would answer."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(str(box.directory / "agent"))
    sock.listen()
    huge = {"annotations": {"big": "x" * (1 << 20)}}  # more than the socket takes before somebody reads
    bundle = box.bundle("exit", "0", change=hooked(box, hook("sleep"), more=lambda config: config.update(huge)))
    assert box("create", "--bundle", str(bundle), "a").stderr == ""
    running = box.begin("start", "a")
    connection, _ = sock.accept()
    if end == "helper killed":
        connection.recv(1)  # it is in the midst of it
        os.kill(helper_of(box), signal.SIGKILL)
    else:
        connection.close()
    done = running.end(SOON)
    assert done.returncode == 1
    expected = {
        "hangs up": f"cannot send seccomp fd to {box.directory}/agent: ",
        "helper killed": "the process that hands the seccomp listener over has ended",
    }
    assert f' level=error msg="{expected[end]}' in done.stderr.splitlines()[0], "no failure of the hook's own"
    box.wait("a", "stopped")
    connection.close()
    sock.close()
    (box.directory / "agent").unlink()


@pytest.mark.parametrize("names", [("getppid",), ("execve",)])
def test_an_agent_that_does_not_answer(box: Box, agent: Make, names: tuple[str, ...]) -> None:
    """The hook's timeout counts, also while its execve waits."""
    served = agent()

    def more(config: dict[str, Any]) -> None:
        config["linux"]["seccomp"]["syscalls"][0]["names"] = list(names)

    slow = hook("try", "syscall", str(GETPPID), timeout=1)
    bundle = box.bundle(
        "exit", "0", change=filtered(box, *names, more=lambda c: c.update(hooks={"startContainer": [slow]}))
    )
    done = box("run", "--bundle", str(bundle), "a", timeout=SOON)
    assert done.returncode == 255
    assert "error running startContainer hook #0: hook ran past specified timeout of 1.0s" in done.stderr
    assert len(served.calls) == 1


def test_an_agent_that_dies(box: Box) -> None:
    """The kernel answers ENOSYS to the hook's execve: nobody but the agent holds the listener."""
    agent = Agent(box.directory / "agent", late=True)
    bundle = box.bundle("exit", "0", change=hooked(box, CALL, names=("execve",)))
    running = box.begin("run", "--bundle", str(bundle), "a")
    until(lambda: agent.states, "the agent has the listener")
    agent.close()
    done = running.end(SOON)
    assert done.returncode == 255
    assert "hook #0: fork/exec /reporter: function not implemented" in done.stderr


def test_a_hook_that_is_not_there(box: Box, agent: Make) -> None:
    agent()
    missing = {"path": "/there/is/no/such/file"}
    assert "hook #0: fork/exec /there/is/no/such/file: no such file or directory" in failed(box, missing)


def test_a_hook_that_cannot_load_the_filter(box: Box, agent: Make) -> None:
    """The relay and the helper notice that there will be no listener."""
    served = agent()

    def more(config: dict[str, Any]) -> None:
        config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 3, "hard": 3}]

    assert "hook #0: load the seccomp filter: too many open files" in failed(box, CALL, more=more)
    assert served.states == []


def test_a_helper_that_was_killed(box: Box, agent: Make) -> None:
    agent()
    bundle = box.bundle("exit", "0", change=hooked(box, CALL))
    assert box("create", "--bundle", str(bundle), "a").stderr == ""
    os.kill(helper_of(box), signal.SIGKILL)
    done = box("start", "a", timeout=SOON)
    assert done.returncode == 1
    assert "the process that hands the seccomp listener over has ended" in done.stderr
    box.wait("a", "stopped")


def test_a_program_that_cannot_begin(box: Box, agent: Make) -> None:
    """Nothing is opened between the helper's readiness and the filter: it would be taken for the listener."""
    served = agent({GETPPID: Answer(value=5)})

    def missing(config: dict[str, Any]) -> None:
        config["process"]["args"] = ["/program"]

    bundle = box.bundle(change=hooked(box, CALL, more=missing))
    (bundle / "rootfs/program").write_text("#!/none\n")
    (bundle / "rootfs/program").chmod(0o755)
    done = box("run", "--bundle", str(bundle), "a", timeout=SOON)
    assert "exec /program: no such file or directory" in done.stderr and done.returncode == 255
    assert len(served.states) == 2
