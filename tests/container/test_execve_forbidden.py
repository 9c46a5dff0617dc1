"""A seccomp profile that does not let the program begin: run, start and a hook say so, whatever its answer is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.config.node import Node
from pyoci.config.seccomp import read_seccomp
from pyoci.kernel.libc import MACHINE
from pyoci.seccomp import profile as seccomp_profile
from pyoci.seccomp.allowance import refusal
from tests.container.box import SOON, Box
from tests.seccomp import model

pytestmark = pytest.mark.root

Config = dict[str, Any]
KILLED = "container process was killed before its program ran: the seccomp profile forbids execve"


def forbids(action: str, errno: int | None = None) -> Callable[[Config], None]:
    def change(config: Config) -> None:
        rule: dict[str, Any] = {"names": ["execve", "execveat"], "action": action}
        if errno is not None:
            rule["errnoRet"] = errno
        config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}

    return change


def everything(action: str, *allowed: str) -> Callable[[Config], None]:
    """The default action for every call but these, and setns: of calls that are newer than all that a profile names
    the answer is ENOSYS."""

    def change(config: Config) -> None:
        rules = [{"names": [*allowed, "setns"], "action": "SCMP_ACT_ALLOW"}]
        config["linux"]["seccomp"] = {"defaultAction": action, "syscalls": rules}

    return change


EXECVE = {
    "x86_64": model.Call(59, model.X86_64),
    "aarch64": model.Call(221, model.AARCH64),
}
ACTIONS = {
    "SCMP_ACT_KILL_PROCESS": model.KILL_PROCESS,
    "SCMP_ACT_KILL": model.KILL_THREAD,
    "SCMP_ACT_TRAP": model.TRAP,
    "SCMP_ACT_ERRNO": model.ERRNO | 1,
    "SCMP_ACT_TRACE": model.TRACE | 1,
    "SCMP_ACT_ALLOW": model.ALLOW,
    "SCMP_ACT_LOG": model.LOG,
}


@given(
    st.sampled_from(sorted(ACTIONS)),
    st.lists(st.tuples(st.sampled_from(["execve", "read", "acct"]), st.sampled_from(sorted(ACTIONS))), max_size=6),
)
def test_what_is_read_in_the_profile_is_what_the_filter_does(default: str, rules: list[tuple[str, str]]) -> None:
    rows = [{"names": [name, "setns"], "action": action} for name, action in rules]
    profile = read_seccomp(
        Node({"defaultAction": default, "syscalls": rows or [{"names": ["setns"], "action": default}]}, "")
    )
    assert profile is not None
    answer = model.run(seccomp_profile.compile(profile), EXECVE[MACHINE])
    found = refusal(profile, "execve")
    if answer == model.ENOSYS:  # of a profile that names nothing
        assert found is None or found.pointer == "/defaultAction"
    elif found is None:
        assert answer in (model.ALLOW, model.LOG)
    else:
        assert answer == ACTIONS[found.action]


def test_in_doubt_nothing_is_read() -> None:
    rule = {"names": ["execve"], "action": "SCMP_ACT_KILL", "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}]}
    profile = read_seccomp(Node({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}, ""))
    assert profile is not None and refusal(profile, "execve") is None and refusal(profile, "read") is None


RULE, DEFAULT = "/linux/seccomp/syscalls/0/action", "/linux/seccomp/defaultAction"
# The profile; the status of run in the foreground, which is runc's but for TRAP, KILL_THREAD and the last ones
# (docs/differences.md); the message; the pointer.
CASES: dict[str, tuple[Callable[[Config], None], int, str, str]] = {
    "kill process": (forbids("SCMP_ACT_KILL_PROCESS"), 159, KILLED, RULE),
    "kill thread": (forbids("SCMP_ACT_KILL_THREAD"), 159, KILLED, RULE),
    "kill": (forbids("SCMP_ACT_KILL"), 159, KILLED, RULE),
    "trap": (forbids("SCMP_ACT_TRAP"), 159, KILLED, RULE),
    "errno": (forbids("SCMP_ACT_ERRNO"), 255, "exec /reporter: operation not permitted", RULE),
    "another errno": (forbids("SCMP_ACT_ERRNO", 2), 255, "exec /reporter: no such file or directory", RULE),
    "trace": (forbids("SCMP_ACT_TRACE"), 255, "exec /reporter: function not implemented", RULE),
    "errno for everything": (everything("SCMP_ACT_ERRNO"), 139, KILLED, DEFAULT),
    "kill for everything": (everything("SCMP_ACT_KILL_PROCESS"), 159, KILLED, DEFAULT),
    "errno, and a report": (
        everything("SCMP_ACT_ERRNO", "write", "sendmsg", "exit_group"),
        255,
        "exec /reporter: operation not permitted",
        DEFAULT,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_program_that_may_not_begin(box: Box, name: str) -> None:
    change, status, message, pointer = CASES[name]
    bundle = str(box.bundle("exit", "3", change=change))
    done = box("run", "--bundle", bundle, "a", timeout=SOON)
    line, *rest = done.stderr.splitlines()
    assert line.endswith(f'level=error msg="pyoci run failed: {message}"'), done.stderr
    assert done.returncode == status, done.stderr
    assert f"  pointer: {pointer}" in rest, done.stderr
    assert any(one.startswith("  hint: the profile answers execve(2) with SCMP_ACT_") for one in rest), done.stderr
    done = box("run", "--detach", "--bundle", bundle, "a", timeout=SOON)
    assert f'msg="pyoci run failed: {message}"' in done.stderr and done.returncode == 1
    assert box("create", "--bundle", bundle, "a").stderr == ""
    done = box("start", "a", timeout=SOON)
    assert f'msg="{message}"' in done.stderr and done.returncode == 1, done
    assert box.status("a") == "stopped"


@pytest.mark.parametrize("name", CASES)
def test_a_program_of_exec(box: Box, name: str) -> None:
    """In a container that waits for its start, which will not succeed."""
    change, status, message, pointer = CASES[name]
    assert box("create", "--bundle", str(box.bundle("exit", "3", change=change)), "a").stderr == ""
    for flags, expected in (([], status), (["--detach"], 255)):
        done = box("exec", *flags, "a", "/reporter", "exit", "4", timeout=SOON)
        line, *rest = done.stderr.splitlines()
        assert line.endswith(f'msg="exec failed: unable to start container process: {message}"'), done.stderr
        assert done.returncode == expected, done.stderr
        assert f"  pointer: {pointer}" in rest, done.stderr


@pytest.mark.parametrize("arguments", [["exit", "3"], ["die", "31"], ["die", "9"]])
def test_a_program_that_began_is_not_taken_for_one(box: Box, arguments: list[str]) -> None:
    """A profile that forbids something else, and a program that ends at once, be it as the filter would end it."""

    def change(config: Config) -> None:
        rule = {"names": ["swapon"], "action": "SCMP_ACT_KILL_PROCESS"}
        config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
        kinds = config["linux"]["namespaces"]
        kinds.remove({"type": "pid"})  # whose first process no signal of its own ends

    bundle = str(box.bundle(*arguments, change=change))
    done = box("run", "--bundle", bundle, "a")
    assert (done.returncode, done.stderr) == (3 if arguments[0] == "exit" else 128 + int(arguments[1]), "")
    assert box("run", "--detach", "--bundle", bundle, "a").stderr == ""


def test_a_start_container_hook(box: Box) -> None:
    def change(config: Config) -> None:
        forbids("SCMP_ACT_KILL_PROCESS")(config)
        config["hooks"] = {"startContainer": [{"path": "/reporter", "args": ["reporter", "exit", "0"]}]}

    bundle = str(box.bundle(change=change))
    done = box("run", "--bundle", bundle, "a", timeout=SOON)
    assert "error running startContainer hook #0: signal: bad system call, stdout: , stderr: " in done.stderr
    assert done.returncode == 255  # as runc's


def test_no_word_of_the_profile_where_something_else_is_wrong(box: Box) -> None:
    """The profile would refuse it, and the runtime's memory limit has been faster: the nearer cause counts."""

    def change(config: Config) -> None:
        forbids("SCMP_ACT_ERRNO", 13)(config)
        hook = {"path": "/reporter", "args": ["reporter", "exit", "4"]}
        config["hooks"] = {"createContainer": [hook | {"path": "/none"}]}

    done = box("run", "--bundle", str(box.bundle(change=change)), "a")
    assert "createContainer hook #0: fork/exec /none: no such file or directory" in done.stderr
    assert "seccomp" not in done.stderr and done.returncode == 1
