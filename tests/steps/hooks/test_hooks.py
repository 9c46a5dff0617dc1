"""Hooks: when they run, where, what they are told and given, and what becomes of the container when one fails."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pyoci.config import hooks as config_hooks
from pyoci.errors import HookError
from pyoci.steps.hooks.run import run_hooks
from tests.container.box import SOON, Box, Done, alive, until
from tests.isolation import in_namespace
from tests.steps.hooks.log import HOST, IN_CREATE, KINDS, Hook, Log

pytestmark = pytest.mark.root


@pytest.fixture
def log(box: Box) -> Log:
    return Log(box)


def all_of(log: Log, **more: object) -> dict[str, list[Hook]]:
    return {kind: [log.reporting(kind, **more)] for kind in KINDS}


def whole_life(box: Box, bundle: str, **options: Any) -> int:
    """create, start, kill, delete; the pid of the container."""
    assert box("create", "--bundle", bundle, "a", **options).stderr == ""
    pid = int(box.state("a")["pid"])
    assert box("start", "a", **options).stderr == ""
    assert box("kill", "a", "KILL", **options).stderr == ""
    box.wait("a", "stopped")
    assert box("delete", "a", **options).stderr == ""
    return pid


# when


def test_timing(box: Box, log: Log) -> None:
    """Each kind within its command, and not before."""
    bundle = log.bundle(**all_of(log))
    seen: list[set[str]] = []
    for command in (("create", "--bundle", bundle), ("start",), ("kill",), ("delete", "--force")):
        assert box(*command, "a", *(("KILL",) if command == ("kill",) else ())).stderr == ""
        seen.append(set(os.listdir(log.directory)))
    created = set(IN_CREATE)
    started = created | {"startContainer", "poststart"}
    assert seen == [created, started, started, started | {"poststop"}]


def test_order(box: Box, log: Log) -> None:
    """prestart before createRuntime before createContainer; several of a kind in the order of config.json."""

    def append(word: str) -> Hook:
        return log.shell(f"echo {word} >> {log.directory}/order")

    hooks = {kind: [append(f"{kind}-1"), append(f"{kind}-2")] for kind in (*IN_CREATE, "poststart", "poststop")}
    whole_life(box, log.bundle(**hooks))
    expected = [f"{kind}-{n}" for kind in (*IN_CREATE, "poststart", "poststop") for n in (1, 2)]
    assert (log.directory / "order").read_text().split() == expected


def test_namespaces_root_and_mounts(box: Box, log: Log) -> None:
    """Host-side hooks are in the runtime's namespaces; createContainer in the container's but with the host's root;
    startContainer with the container's own (config.md, "POSIX-platform Hooks")."""
    bundle = log.bundle("report-to", "/log/program", ",", "sleep", **all_of(log))
    whole_life(box, bundle)
    program = log.report("program")
    for kind in KINDS:
        seen = log.report(kind)
        for space in ("mnt", "pid", "net", "ipc", "uts"):
            own = seen["namespaces"][space] == os.readlink(f"/proc/self/ns/{space}")
            if kind != "createContainer":  # it sees the host's /proc, where its pid is another process's
                assert own == (kind in HOST), (kind, space)
        if kind in HOST:
            assert seen["capabilities"]["bounding"] != program["capabilities"]["bounding"]
    for name in ("capabilities", "uid", "rlimits", "cgroup", "umask", "no_new_privileges"):
        assert log.report("startContainer")[name] == program[name], name


def test_prestart_and_create_runtime_see_the_mounts(box: Box, log: Log) -> None:
    """What they make below the rootfs is not covered by a mount that comes later."""
    script = 'read -r state; pid=${state#*\\"pid\\":}; pid=${pid%%,*}; ' + (
        f"grep -c ' /.*/rootfs/dev ' /proc/$pid/mountinfo > {log.directory}/found"
    )
    for kind in ("prestart", "createRuntime"):
        name = f"c-{kind}"
        assert box("create", "--bundle", log.bundle(**{kind: [log.shell(script)]}), name).stderr == ""
        assert (log.directory / "found").read_text() == "1\n"


def test_create_container_has_the_mounts_below_its_directory(box: Box, log: Log) -> None:
    """It starts in the rootfs, whose /proc and /dev are the container's already (crun 1.29 broke that)."""
    words = ("report-to", log.path("createContainer", "x"), "proc/self", "dev/null", "reporter")
    whole_life(box, log.bundle(createContainer=[log.hook("createContainer", *words)]))
    seen = log.report("x")
    assert seen["cwd"].endswith("/rootfs")
    files = seen["files"]
    assert (files["proc/self"]["type"], files["dev/null"]["type"], files["reporter"]["type"]) == (
        "link",
        "char",
        "file",
    )


@pytest.mark.parametrize("kind", KINDS)
def test_birth(box: Box, log: Log, kind: str) -> None:
    """Three descriptors, default signals, no blocked ones, no controlling terminal of ours."""
    whole_life(box, log.bundle(**{kind: [log.reporting(kind)]}))
    seen = log.report(kind)
    assert seen["fds"].keys() == {"0", "1", "2", "3"}  # 3: the report's own file
    assert {seen["fds"][n]["type"] for n in ("0", "1", "2")} == {"fifo"}
    assert all(int(seen["signals"][name], 16) == 0 for name in ("ignored", "caught", "blocked"))
    assert seen["pgid"] == seen["pid"]


# what they are told

ANNOTATIONS = {"org.example/slash": 'a/b "quoted" \\ back', "ünï": "ä€\U0001f600", "control": "\x01\x7f\n"}


def test_state_on_stdin_byte_for_byte(box: Box, log: Log) -> None:
    """One line without an end, as runc writes it: no blanks, no escaped slash, pid as the hook sees it."""
    hooks = {
        kind: [
            {"path": "/bin/sh", "args": ["sh", "-c", f"cat > {log.directory}/{kind}"]}
            if kind != "startContainer"
            else log.hook(kind, "echo-to", "/log/startContainer")
        ]
        for kind in KINDS
    }
    del hooks["startContainer"]
    bundle = log.bundle(**hooks)
    config = json.loads(Path(bundle, "config.json").read_text())
    config["annotations"] = ANNOTATIONS
    Path(bundle, "config.json").write_text(json.dumps(config))
    pid = whole_life(box, bundle)
    annotations = (
        '"annotations":{"org.example/slash":"a/b \\"quoted\\" \\\\ back",'
        '"ünï":"ä€\U0001f600","control":"\\u0001\x7f\\n"}'
    )
    for kind, status, number in (
        ("prestart", "creating", pid),
        ("createRuntime", "creating", pid),
        ("createContainer", "creating", 1),
        ("poststart", "running", pid),
        ("poststop", "stopped", 0),
    ):
        said = f'"pid":{number},' if number else ""
        text = f'{{"ociVersion":"1.3.0","id":"a","status":"{status}",{said}"bundle":"{bundle}",{annotations}}}'
        assert (log.directory / kind).read_text("utf-8") == text, kind


def test_a_hook_that_does_not_read(box: Box, log: Log) -> None:
    """More state than a pipe holds, and nobody takes it: neither SIGPIPE nor a hang."""
    bundle = log.bundle(**{kind: [log.hook(kind, "exit", "0")] for kind in KINDS})
    config = json.loads(Path(bundle, "config.json").read_text())
    config["annotations"] = {f"key-{n}": "x" * 1000 for n in range(300)}
    Path(bundle, "config.json").write_text(json.dumps(config))
    whole_life(box, bundle)


# environment

KEPT = {"PATH": os.environ["PATH"], "HOME": "/root", "USER": "somebody"}
SECRET = {"SECRET": "swordfish", "PYTHONPATH": "/swordfish", "LD_LIBRARY_PATH": "/swordfish"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("env", ["absent", "null", "empty", "set"])
def test_environment(box: Box, log: Log, kind: str, env: str) -> None:
    """Absent and null: the runtime's kept one on the host's side, none in createContainer, the program's in
    startContainer. [] is empty. The host's other variables reach nobody."""
    more: dict[str, object] = {
        "absent": {},
        "null": {"env": None},
        "empty": {"env": []},
        "set": {"env": ["A=1", "B="]},
    }[env]  # type: ignore[assignment]
    whole_life(box, log.bundle(**{kind: [log.reporting(kind, **more)]}), env={**KEPT, **SECRET})
    found = log.report(kind)["env"]
    if env in ("empty", "set"):
        assert found == ([] if env == "empty" else ["A=1", "B="])
    elif kind in HOST:
        assert sorted(found) == sorted(f"{name}={value}" for name, value in KEPT.items())
    elif kind == "createContainer":
        assert found == []
    else:
        assert found == ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm", "HOME=/"]


def test_arguments(box: Box, log: Log) -> None:
    """args[0] is only a name; without args it is the path."""
    whole_life(box, log.bundle(createRuntime=[log.reporting("createRuntime")]))
    assert log.report("createRuntime")["argv"][0] == "hook"
    shutil.copy(box.reporter, log.directory / "plain")
    bundle = log.bundle(prestart=[{"path": str(log.directory / "plain")}, log.shell("exit 3")])
    done = box("create", "--bundle", bundle, "b")
    assert "hook #1: exit status 3" in done.stderr, "the first, without arguments, has reported to its stdout"


# where


@pytest.mark.parametrize("kind", ["prestart", "createRuntime"])
def test_host_side_hooks_of_create_start_in_the_bundle(box: Box, log: Log, kind: str) -> None:
    bundle = log.bundle(**{kind: [log.reporting(kind)]})
    whole_life(box, bundle)
    assert log.report(kind)["cwd"] == bundle


# failures


def failing(log: Log, kind: str) -> list[Hook]:
    """The second fails; the third must not run."""
    if kind == "startContainer":
        script = [log.hook(kind, "write", "/log/first", "x"), log.hook(kind, "exit", "3")]
        return [*script, log.hook(kind, "write", "/log/third", "x")]
    first = log.shell(f"echo x > {log.directory}/first")
    second = log.shell("echo out; echo problem >&2; exit 3")
    return [first, second, log.shell(f"echo x > {log.directory}/third")]


@pytest.mark.parametrize("kind", IN_CREATE)
@pytest.mark.parametrize("command", ["create", "run"])
def test_a_failure_in_create(box: Box, log: Log, kind: str, command: str) -> None:
    """No container, and the program never ran."""
    done = box(command, "--bundle", log.bundle("write", "/log/program", "x", **{kind: failing(log, kind)}), "a")
    assert (done.returncode, done.stdout) == (1, "")
    text = f"error running {kind} hook #1: exit status 3, stdout: out\\n, stderr: problem\\n"
    assert text in done.stderr.splitlines()[0], done.stderr
    assert f"/hooks/{kind}/1" in done.stderr
    assert os.listdir(log.directory) == ["first"]
    assert os.listdir(box.root) == []


@pytest.mark.parametrize("command", ["start", "run", "detached"])
@pytest.mark.parametrize("kind", ["startContainer", "poststart"])
def test_a_failure_in_start(box: Box, log: Log, kind: str, command: str) -> None:
    """start leaves a stopped container, run none; after startContainer the program has not run."""
    hooks = {kind: failing(log, kind), "poststop": [log.shell(f"echo x > {log.directory}/poststop")]}
    bundle = log.bundle("write", "/log/program", "x", ",", "sleep", **hooks)
    if command == "start":
        assert box("create", "--bundle", bundle, "a").stderr == ""
        done = box("start", "a")
    else:
        done = box("run", *(("--detach",) if command == "detached" else ()), "--bundle", bundle, "a")
    assert done.returncode == (255 if (kind, command) == ("startContainer", "run") else 1)  # as runc
    assert f"error running {kind} hook #1: exit status 3" in done.stderr.splitlines()[0]
    if command == "start":
        assert box.status("a") == "stopped"
        assert box("delete", "a").stderr == ""
    assert os.listdir(box.root) == []
    found = set(os.listdir(log.directory))
    assert "third" not in found and {"first", "poststop"} <= found
    if kind == "startContainer":
        assert "program" not in found


def test_a_failure_in_poststop_is_a_warning(box: Box, log: Log) -> None:
    """The others run, and the container is gone (config.md: "MUST log a warning, but ...")."""
    bundle = log.bundle(poststop=failing(log, "poststop"))
    assert box("create", "--bundle", bundle, "a").stderr == ""
    done = box("delete", "--force", "a")
    assert set(os.listdir(log.directory)) == {"first", "third"}
    assert os.listdir(box.root) == []
    assert "hook #1: exit status 3" in done.stderr


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/nothing/here", "no such file or directory"),
        ("/etc/passwd", "permission denied"),
        ("/etc", "permission denied"),
    ],
)
def test_a_hook_that_is_no_program(box: Box, log: Log, path: str, reason: str) -> None:
    done = box("create", "--bundle", log.bundle(createRuntime=[{"path": path}]), "a")
    assert f"error running createRuntime hook #0: fork/exec {path}: {reason}" in done.stderr.splitlines()[0]
    assert os.listdir(box.root) == []


def test_a_hook_that_dies_of_a_signal(box: Box, log: Log) -> None:
    done = box("create", "--bundle", log.bundle(prestart=[log.shell("kill -KILL $$")]), "a")
    assert "hook #0: signal: killed" in done.stderr.splitlines()[0]


def test_a_create_container_hook_cannot_be_taken_from_the_image(box: Box, log: Log) -> None:
    """Its path is the runtime's: a file of that name in the rootfs is not executed."""
    bundle = log.bundle(createContainer=[{"path": "/only-in-the-image"}])
    shutil.copy(box.reporter, Path(bundle, "rootfs/only-in-the-image"))
    done = box("create", "--bundle", bundle, "a")
    assert "no such file or directory" in done.stderr.splitlines()[0]


# time


def took(box: Box, *argv: str) -> tuple[float, Done]:
    began = time.monotonic()
    done = box(*argv)
    return time.monotonic() - began, done


@pytest.mark.parametrize("kind", KINDS)
def test_timeout(box: Box, log: Log, kind: str) -> None:
    """The hook and what it has started are killed."""
    if kind == "startContainer":
        hook = log.hook(kind, "write", "/log/pid", "0", ",", "sleep", timeout=1)
    else:
        hook = log.shell(f"sleep 60 & echo $! > {log.directory}/pid; wait", timeout=1)
    bundle = log.bundle(**{kind: [hook]})
    done = box("create", "--bundle", bundle, "a")
    if kind not in IN_CREATE:
        assert done.stderr == ""
        seconds, done = took(box, *(("delete", "--force") if kind == "poststop" else ("start",)), "a")
        assert seconds < SOON
    assert done.returncode == (0 if kind == "poststop" else 1)
    assert f"error running {kind} hook #0: hook ran past specified timeout of 1.0s" in done.stderr.splitlines()[0]
    if kind != "createContainer":  # that one's pids are the container's
        grandchild = int((log.directory / "pid").read_text())
        assert not grandchild or not alive(grandchild)


@pytest.mark.parametrize("kind", ["createRuntime", "poststart"])
def test_a_grandchild_that_holds_the_output(box: Box, log: Log, kind: str) -> None:
    """The hook has ended, that counts: nobody waits for the end of its output, nor for its timeout."""
    bundle = log.bundle(**{kind: [log.shell(f"sleep 20 & echo $! > {log.directory}/pid", timeout=10)]})
    seconds, done = took(box, "create", "--bundle", bundle, "a")
    assert done.stderr == ""
    more, done = took(box, "start", "a")
    assert done.stderr == ""
    assert max(seconds, more) < 3, "0.1 s on an idle machine"
    grandchild = int((log.directory / "pid").read_text())
    assert alive(grandchild), "a daemon that a hook has left is none of ours"
    os.kill(grandchild, 9)
    until(lambda: not alive(grandchild), "it is gone")


def test_no_timeout_is_none(box: Box, log: Log) -> None:
    seconds, done = took(box, "create", "--bundle", log.bundle(createRuntime=[log.shell("sleep 1.5")]), "a")
    assert done.stderr == "" and seconds > 1.5


def test_a_lot_of_output(box: Box, log: Log) -> None:
    """Taken and dropped, not kept: neither a hang nor a message of megabytes."""
    done = box("create", "--bundle", log.bundle(prestart=[log.shell("yes | head -c 5000000; exit 4")]), "a")
    assert "hook #0: exit status 4" in done.stderr.splitlines()[0]
    assert len(done.stderr) < 400_000


def test_timeout_of_a_hook_that_left_its_group() -> None:
    """What it left behind there is killed, and so is the hook."""
    script = "import os; os.fork() or os.execv('/bin/sleep', ['sleep', '60']); os.setpgid(0, os.getppid()); "
    script += "os.execv('/bin/sleep', ['sleep', '60'])"
    program = ("python3", "-c", script)
    hook = config_hooks.Hook(pointer="/hooks/prestart/0", path=sys.executable, args=program, env=(), timeout=1)
    began = time.monotonic()

    def body() -> str:
        os.setpgid(0, 0)  # the group that the hook goes to
        try:
            run_hooks("prestart", (hook,), "{}", ())
        except HookError as error:
            return error.message
        return ""

    assert in_namespace(body, 0).endswith("hook ran past specified timeout of 1.0s")
    assert time.monotonic() - began < SOON


@pytest.mark.parametrize("told", ["debug", "trace"])
def test_hooks_of_a_create_that_is_watched(box: Box, told: str) -> None:
    """--debug and --trace tell of steps in processes whose channel and files the hook's own process has not."""
    log = Log(box)
    trace = ("--trace", str(box.directory / "trace")) if told == "trace" else ()
    bundle = log.bundle("exit", "3", **{kind: [log.reporting(kind)] for kind in KINDS})
    done = box(*(("--debug",) if told == "debug" else ()), "run", *trace, "--bundle", bundle, "a")
    assert done.returncode == 3, done.stderr
    assert [kind for kind in KINDS if not (log.directory / kind).exists()] == []
    assert told == "debug" or done.stderr == ""
