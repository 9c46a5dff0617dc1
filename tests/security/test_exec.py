"""exec: what a container can see, and reach, of a process that joins it.

CVE-2016-9962, CVE-2019-5736, CVE-2019-16884, CVE-2024-21626.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import shutil
import subprocess
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.container.box import until
from tests.container.listener.agent import EXECVE, GETPPID, Agent, Answer
from tests.security.harness import CANARY, Arena, everything, helper
from tests.security.test_descriptors import LAST, WAYS_OUT, inherited, out_of_the_root, ran_on_the_host
from tests.security.test_executable import TARGETS, interpreter_of, lay

pytestmark = pytest.mark.root

PROFILES = Path(__file__).parents[1] / "seccomp/profiles"
EXECS = max(500, int(os.environ.get("PYOCI_TEST_RACES", "500")))
SYS_PTRACE, DAC_OVERRIDE, DAC_READ_SEARCH, SYS_ADMIN = 1 << 19, 1 << 1, 1 << 2, 1 << 21
WATCHER = ("CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH")


def may_look(config: dict[str, Any]) -> None:
    for kind in ("bounding", "effective", "permitted"):
        config["process"]["capabilities"][kind] = list(WATCHER)
    config["process"]["noNewPrivileges"] = False


def a_filter(config: dict[str, Any]) -> None:
    """One that has to be loaded with CAP_SYS_ADMIN, as there are no noNewPrivileges."""
    config["linux"]["seccomp"] = json.loads((PROFILES / "default.json").read_text())


def a_narrow_filter(config: dict[str, Any]) -> None:
    """One that the process cannot live under until its program begins."""
    a_filter(config)
    config["linux"]["seccomp"]["syscalls"].append({"names": ["umask"], "action": "SCMP_ACT_ERRNO"})
    for rule in config["linux"]["seccomp"]["syscalls"][:-1]:
        rule["names"] = [name for name in rule["names"] if name != "umask"]


class Watch:
    """A container whose first process watches."""

    def __init__(self, arena: Arena, change: Callable[[dict[str, Any]], object], allowed: int) -> None:
        self.arena = arena

        def edit(config: dict[str, Any]) -> None:
            may_look(config)
            change(config)

        self.bundle = arena.bundle("/watch", f"{allowed:x}", change=edit)
        shutil.copy(helper("watch"), self.bundle / "rootfs/watch")
        self.output = arena.directory / "watch"
        with self.output.open("w") as out:
            self.process = subprocess.Popen(
                arena.command("run", "--bundle", str(self.bundle), "c"),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        until(lambda: "ready" in self.output.read_text(), "the container watches")

    def end(self) -> tuple[list[str], dict[str, int]]:
        """What it found wrong, and how much it has seen."""
        self.process.terminate()
        assert self.process.wait(60) == 0, self.output.read_text()
        lines = self.output.read_text().splitlines()
        found = [line for line in lines if line.startswith("wrong: ")]
        counts = {name: int(number) for name, _, number in (line.partition(": ") for line in lines) if number.isdigit()}
        return found, counts


NOTHING: Callable[[dict[str, Any]], object] = lambda config: None  # noqa: E731


@pytest.mark.parametrize(
    ("change", "flags", "more"),
    [
        pytest.param(NOTHING, (), 0, id="plain"),
        pytest.param(a_filter, (), 0, id="a filter that takes CAP_SYS_ADMIN to load"),
        pytest.param(a_narrow_filter, (), SYS_ADMIN, id="such a filter that is narrow"),
        pytest.param(a_filter, ("--no-new-privs",), 0, id="a filter under noNewPrivileges"),
        pytest.param(NOTHING, ("--user", "1000:1000"), 0, id="a user"),
        pytest.param(NOTHING, ("--preserve-fds", "0", "--detach"), 0, id="detached"),
    ],
)
def test_what_the_container_sees(
    arena: Arena, change: Callable[[dict[str, Any]], object], flags: tuple[str, ...], more: int
) -> None:
    """CAP_SYS_PTRACE and no user namespace, while many execs run, with two hundred directories of the host open
    in the caller. Whatever the container catches has its mount namespace, root and capabilities, and one socket."""
    watch = Watch(arena, change, SYS_PTRACE | DAC_OVERRIDE | DAC_READ_SEARCH | more)
    share = EXECS if change is NOTHING and not flags else EXECS // 20
    with inherited(arena.canary) as options:
        for _ in range(share):
            done = arena("exec", *flags, "c", "/reporter", "exit", "0", **options)
            assert (done.returncode, done.stderr) == (0, ""), done.stderr
    found, counts = watch.end()
    # Before a filter forbids it the process looks at the container's own program: what may keep it from running?
    found = [line for line in found if not line.endswith("descriptor /reporter")]
    assert found == []
    assert counts["looks"] > share
    assert counts["sockets"] > 0, "it has never caught one before its program: that was no test"


@pytest.mark.parametrize("change", [NOTHING, a_filter])
def test_what_a_container_without_sys_ptrace_sees(arena: Arena, change: Callable[[dict[str, Any]], object]) -> None:
    """Nothing but programs. No process on its way there may be looked into: it is not dumpable, though it has
    the container's user and no capability that the container has not."""

    def plain(config: dict[str, Any]) -> None:
        change(config)
        for kind in ("bounding", "effective", "permitted"):
            config["process"]["capabilities"][kind].remove("CAP_SYS_PTRACE")

    watch = Watch(arena, plain, DAC_OVERRIDE | DAC_READ_SEARCH | SYS_ADMIN)
    for _ in range(EXECS // 20):
        assert arena("exec", "c", "/reporter", "exit", "0").stderr == ""
    done = arena("exec", "c", "/bin/sleep", "0.1")
    assert done.stderr == ""
    found, counts = watch.end()
    assert found == []
    assert counts["processes"] > 0, "it has not even seen the programs: that was no test"
    assert counts["sockets"] == 0


def test_the_caller_s_terminal(arena: Arena) -> None:
    """CVE-2016-10124: whoever may trace a process that has the caller's terminal can type on it (TIOCSTI)."""
    watch = Watch(arena, NOTHING, SYS_PTRACE | DAC_OVERRIDE | DAC_READ_SEARCH)
    master, slave = pty.openpty()

    def with_terminal() -> None:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

    try:
        for _ in range(EXECS // 20):
            done = arena("exec", "c", "/reporter", "exit", "0", preexec_fn=with_terminal)
            assert (done.returncode, done.stderr) == (0, ""), done.stderr
    finally:
        os.close(master)
        os.close(slave)
    found, counts = watch.end()
    assert found == []
    assert counts["sockets"] > 0, "it has never caught one before its program: that was no test"


def test_a_descriptor_of_the_host_would_be_seen(arena: Arena) -> None:
    """With --preserve-fds it is what the caller asked for, and shows that the test above can fail."""
    watch = Watch(arena, NOTHING, SYS_PTRACE)
    with inherited(arena.canary) as options:
        arena("exec", "--preserve-fds", "1", "c", "/bin/sleep", "0.3", **options)
    found, _ = watch.end()
    assert any("descriptor" in line and "canary" in line for line in found)
    assert any("capability" in line for line in found), "it was told that it has fewer than it has"


@pytest.mark.parametrize(
    ("names", "seen"),
    [
        pytest.param(("getppid",), (), id="by stage 1"),
        pytest.param(("getppid", "execve"), ("anon_inode:[pidfd]", "anon_inode:seccomp notify"), id="by a helper"),
    ],
)
def test_a_seccomp_agent_and_its_listener(arena: Arena, names: tuple[str, ...], seen: tuple[str, ...]) -> None:
    """The listener, and the way to the agent, are the runtime's. Only a filter that notifies of what exec itself calls
    is loaded by what the container sees, which then shares its descriptors with a helper: its own listener, pidfds of
    itself and of stage 1, and still no place of the host."""
    place = arena.directory / ("d" * 120)  # too long for connect(2)
    place.mkdir()
    agent = Agent(arena.directory / "agent", {GETPPID: Answer(), EXECVE: Answer()})
    (place / "agent").symlink_to(agent.path)

    def notify(config: dict[str, Any]) -> None:
        config["linux"]["seccomp"] = {
            "defaultAction": "SCMP_ACT_ALLOW",
            "listenerPath": str(place / "agent"),
            "syscalls": [{"names": list(names), "action": "SCMP_ACT_NOTIFY"}],
        }

    try:
        more = SYS_ADMIN if seen else 0
        watch = Watch(arena, notify, SYS_PTRACE | DAC_OVERRIDE | DAC_READ_SEARCH | more)
        for _ in range(60):
            done = arena("exec", "c", "/reporter", "exit", "0")
            assert (done.returncode, done.stderr) == (0, ""), done.stderr
        found, counts = watch.end()
    finally:
        agent.close()
    assert len(agent.states) == 61
    assert counts["sockets"] > 0, "it has never caught one before its program: that was no test"
    assert [line for line in found if not any(one in line for one in seen)] == []


@contextmanager
def running(arena: Arena, change: Callable[[dict[str, Any]], object] | None = None) -> Iterator[Path]:
    """A container that sleeps; its rootfs. Inside, commands are in the user namespace that it was made in."""
    bundle = arena.bundle("/reporter", "sleep", change=change)
    done = arena("run", "--detach", "--bundle", str(bundle), "c")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    prefix = arena.prefix
    if arena.mode == "nested":
        arena.prefix = ("nsenter", "--user", f"--target={arena.state('c')['pid']}", "unshare", "--mount")
    done = arena("exec", "c", "/bin/echo", "works")
    assert (done.returncode, done.stdout) == (0, "works\n"), done.stderr
    yield bundle / "rootfs"
    arena.prefix = prefix


@pytest.mark.parametrize("target", TARGETS)
def test_the_executable_of_the_runtime(any_arena: Arena, pyoci: str, target: str) -> None:
    """/proc/self/exe as the program. It can be executed, with the image's loader, and never written to."""
    with running(any_arena) as rootfs:
        lay(rootfs, interpreter_of(pyoci))
        done = any_arena("exec", "c", TARGETS[target], "x")
    size = interpreter_of(pyoci).stat().st_size
    assert done.stdout.splitlines() == [f"tried {size}"], f"a write succeeded, or the attack has not arrived: {done}"


def test_the_executable_of_the_runtime_seen_by_others(arena: Arena, pyoci: str) -> None:
    """The container's first process opens every /proc/PID/exe, and tries to write once that has ended."""
    bundle = arena.bundle("/overwrite", "600s", change=may_look)
    lay(bundle / "rootfs", interpreter_of(pyoci))
    assert arena("run", "--detach", "--bundle", str(bundle), "c").stderr == ""
    output = Path(arena.directory, f"output-{arena.count}.out")
    size = interpreter_of(pyoci).stat().st_size
    for _ in range(100):
        assert arena("exec", "c", "/bin/true").returncode == 0
        if f"tried {size}\n" in output.read_text():
            break
    until(lambda: f"tried {size}\n" in output.read_text(), "it got hold of an interpreter")
    assert f"wrote {size}\n" not in output.read_text()  # it may write to the image's programs


@pytest.mark.parametrize("way", ["a directory", "covered by the container"])
def test_proc_is_not_the_container_s(arena: Arena, way: str) -> None:
    """A container whose /proc is a directory of the image, from the beginning or because it has mounted that
    over its procfs; exec writes and reads its own."""

    def change(config: dict[str, Any]) -> None:
        if way == "a directory":
            config["mounts"] = [one for one in config["mounts"] if one["destination"] != "/proc"]
        for kind in ("bounding", "effective", "permitted"):
            config["process"]["capabilities"][kind].append("CAP_SYS_ADMIN")
        config["process"]["oomScoreAdj"] = 321
        config["linux"].update(maskedPaths=[], readonlyPaths=[])

    with running(arena, change) as rootfs:
        for name in ("self/attr/exec", "self/oom_score_adj", "1/oom_score_adj", "1/ns/mnt", "self/setgroups"):
            (rootfs / "proc" / name).parent.mkdir(parents=True, exist_ok=True)
            (rootfs / "proc" / name).write_text("the image's")
        if way != "a directory":
            shutil.copytree(rootfs / "proc", rootfs / "fake")
            done = arena("exec", "c", "/bin/mount", "--bind", "/fake", "/proc")
            assert (done.returncode, done.stderr) == (0, "")
        pid_file = arena.directory / "pid"
        done = arena("exec", "--detach", "--pid-file", str(pid_file), "c", "/reporter", "sleep")
        assert (done.returncode, done.stderr) == (0, "")
        pid = pid_file.read_text()
        assert Path(f"/proc/{pid}/oom_score_adj").read_text() == "321\n"
        assert os.readlink(f"/proc/{pid}/ns/mnt") == os.readlink(f"/proc/{arena.state('c')['pid']}/ns/mnt")
        written = {path.read_text() for path in (rootfs / "proc").rglob("*") if path.is_file()}
        assert written == {"the image's"}


@pytest.mark.parametrize("way", ["directly", "by a link"])
def test_a_working_directory_named_by_descriptor(any_arena: Arena, way: str) -> None:
    """exec --cwd /proc/self/fd/N, with a directory of the host open as every N and as our own."""
    script = "cat file dir/file ../canary/file; readlink /proc/self/cwd"
    with running(any_arena) as rootfs, inherited(any_arena.canary) as options:
        numbers = [*range(3, 17), LAST] if way == "directly" else [3, 4, 5, 6, 7]
        for name in [*(f"/proc/self/fd/{number}" for number in numbers), *WAYS_OUT]:
            link = rootfs / "link"
            link.unlink(missing_ok=True)
            link.symlink_to(name)
            cwd = name if way == "directly" else "/link"
            done = any_arena("exec", "--cwd", cwd, "c", "/bin/sh", "-c", script, **options)
            assert CANARY not in done.stdout
            assert done.returncode or not out_of_the_root(done), f"{name}: {done.stdout}"
            assert "internal error" not in done.stderr


def test_a_working_directory_in_another_mount_namespace(arena: Arena) -> None:
    """That of a process in the container which has left its mount namespace: it has no path below the root."""
    left = "busybox unshare -m sh -c 'cd /tmp; echo $$ > pid; exec sleep 1000' & sleep 1000"
    bundle = arena.bundle(left, change=everything)
    assert arena("run", "--detach", "--bundle", str(bundle), "c").returncode == 0
    file = bundle / "rootfs/tmp/pid"
    until(lambda: file.exists() and file.read_text().endswith("\n"), "the process has left")
    done = arena("exec", "--cwd", f"/proc/{file.read_text().strip()}/cwd", "c", "/bin/sh", "-c", "pwd")
    assert (done.returncode, done.stdout) == (255, "")
    assert "current working directory is outside of container mount namespace root" in done.stderr
    done = arena("exec", "--cwd", "/proc/1/cwd", "c", "/bin/sh", "-c", "pwd")  # the control
    assert (done.returncode, done.stdout, done.stderr) == (0, "/\n", "")


@pytest.mark.parametrize("way", ["directly", "by a link", "by a script"])
def test_a_program_named_by_descriptor(any_arena: Arena, way: str) -> None:
    """args[0] = /proc/self/fd/N, with a program of the host open as every N: it is never executed."""
    program = any_arena.directory / "program-of-the-host"
    shutil.copy(any_arena.reporter, program)
    with running(any_arena) as rootfs, inherited(program) as options:
        for number in [*range(3, 20), LAST] if way == "directly" else range(3, 10):
            entry = rootfs / "entry"
            entry.unlink(missing_ok=True)
            name = f"/proc/self/fd/{number}"
            if way == "by a link":
                entry.symlink_to(name)
            elif way == "by a script":
                entry.write_text(f"#!{name} report\n")
                entry.chmod(0o755)
            done = any_arena("exec", "c", name if way == "directly" else "/entry", "report", **options)
            assert not ran_on_the_host(done), f"descriptor {number}: {done.stdout}"
            assert done.returncode == 255 and "internal error" not in done.stderr, done


@pytest.mark.parametrize("text", ["", ":", "1:", ":1", "-1", "+1", "4294967295", "4294967296", " 1", "1_0", "١", "1e3"])
def test_ids_are_ascii_digits(arena: Arena, text: str) -> None:
    """Nothing is taken for 0, or looked up as a name."""
    with running(arena) as rootfs:
        (rootfs / "etc/passwd").write_text(f"{text}:x:0:0::/:/bin/sh\n")
        done = arena("exec", "--user", text, "c", "/bin/id", "-u")
        assert (done.returncode, done.stdout) == (255, "")


def test_a_capability_is_not_inheritable(arena: Arena) -> None:
    """exec --cap (CVE-2022-29162)."""
    with running(arena):
        done = arena("exec", "--cap", "CAP_NET_RAW", "c", "/bin/grep", "Cap", "/proc/self/status")
        sets = {line.split(":")[0]: int(line.split()[1], 16) for line in done.stdout.splitlines()}
        assert sets["CapInh"] == sets["CapAmb"] == 0
        assert all(sets[name] >> 13 & 1 for name in ("CapPrm", "CapEff", "CapBnd"))


@pytest.mark.parametrize("sub", ["..", "../{}-evil", "/../{}-evil", "a/../../{}-evil"])
def test_no_sibling_s_cgroup(arena: Arena, sub: str) -> None:
    """A cgroup whose name begins like the container's is not below it."""
    with running(arena):
        paths = json.loads((arena.root / "c/state.json").read_text())["cgroup_paths"]
        evil = [f"{path}-evil" for path in dict.fromkeys(paths.values())]
        for path in evil:
            os.mkdir(path)
        try:
            name = sub.format(os.path.basename(evil[0]).removesuffix("-evil"))
            done = arena("exec", "--cgroup", name, "c", "/reporter", "exit", "0")
            assert done.returncode == 255 and f"bad sub cgroup path: {name}" in done.stderr
        finally:
            for path in evil:
                os.rmdir(path)
