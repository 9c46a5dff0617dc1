"""The last steps: the filter with nothing but execve(2) after it, the environment, descriptors that are passed on."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.container.box import Box, alive, until
from tests.steps.look import Change, Config, Look, changes, process

pytestmark = pytest.mark.root

# exit(7), without a C library that would make calls of its own before main
EXIT_7 = 'void _start(void) { __asm__ volatile ("syscall" : : "a"(60), "D"(7)); __builtin_unreachable(); }'
EXIT_7_AARCH64 = (
    'void _start(void) { register long x8 __asm__("x8") = 93, x0 __asm__("x0") = 7;'
    ' __asm__ volatile ("svc 0" : : "r"(x8), "r"(x0)); __builtin_unreachable(); }'
)
RUNS = 500  # without C arrays made beforehand 14 of 160 died


@pytest.fixture(scope="module")
def exits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program whose only system call is exit(7)."""
    program = tmp_path_factory.mktemp("exits") / "exits"
    source = EXIT_7 if os.uname().machine == "x86_64" else EXIT_7_AARCH64
    command = ["gcc", "-static", "-nostdlib", "-O1", "-x", "c", "-o", str(program), "-"]
    subprocess.run(command, input=source.encode(), check=True)
    return program


def only_execve(config: Config) -> None:
    """A filter that kills for everything but what execve(2) and the end of a process take."""
    names = ["execve", "exit", "exit_group"]
    config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_KILL_PROCESS",
        "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}],
    }


def with_program(program: Path) -> Change:
    """args is this program of the host, bound into the container."""

    def change(config: Config) -> None:
        config["process"]["args"] = ["/program"]
        config["mounts"].append({"destination": "/program", "source": str(program), "options": ["bind"]})
        config["root"]["readonly"] = False

    return change


def environment(count: int) -> list[str]:
    return [f"VARIABLE_{number}={'x' * (number % 97)}" for number in range(count)]


CASES = [
    pytest.param(privileges, count, id=f"{'no new' if privileges else 'new'} privileges, {count} variables")
    for privileges in (True, False)
    for count in (5, 50, 500, 3000)
]


@pytest.mark.parametrize(("no_new_privileges", "count"), CASES)
def test_nothing_but_execve_after_the_filter(box: Box, exits: Path, no_new_privileges: bool, count: int) -> None:
    """One call more, now and then, would be a container that dies now and then. Every failure counts."""
    members = process(noNewPrivileges=no_new_privileges, env=environment(count))
    bundle = str(box.bundle(change=changes(only_execve, with_program(exits), members)))
    ends = [box("run", "--bundle", bundle, "a") for _ in range(RUNS // len(CASES) + 1)]
    assert [(done.returncode, done.stderr) for done in ends] == [(7, "")] * len(ends)


def test_the_filter_is_in_force(box: Box) -> None:
    """Control of the test above: a program that makes any other call dies of it."""
    bundle = box.bundle("exit", "0", change=only_execve)
    assert box("run", "--bundle", str(bundle), "a").returncode == 128 + 31  # SIGSYS


def test_the_filter_is_the_programs_only_one(look: Look) -> None:
    def allow(config: Config) -> None:
        rule = {"names": ["acct"], "action": "SCMP_ACT_ERRNO"}
        config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}

    status = look(allow)["status"]
    assert (status["Seccomp"], status["Seccomp_filters"]) == ("2", "1")


@pytest.mark.parametrize("count", [0, 1, 5, 40, 300, 3000])
def test_environment_arrives_as_it_is(look: Look, count: int) -> None:
    entries = [*environment(count), "EMPTY=", "UTF8=ä€\U0001f600", "SPACE= a b ", "EQUALS=a=b"]
    assert look(process(env=entries))["env"] == [*entries, "HOME=/"]


def test_a_missing_program_under_a_strict_filter(box: Box, tmp_path: Path) -> None:
    """execve(2) fails after the filter: the error still arrives, though write(2) is all that may be left."""

    def change(config: Config) -> None:
        only_execve(config)
        config["linux"]["seccomp"]["syscalls"][0]["names"].append("write")
        config["process"].update(args=["script"], env=["PATH=/"])

    bundle = box.bundle(change=change)
    script = bundle / "rootfs/script"
    script.write_text("#!/nothing/here\n")
    script.chmod(0o755)
    done = box("run", "--bundle", str(bundle), "a")
    assert done.returncode == 255
    assert "exec /script: no such file or directory" in done.stderr.splitlines()[0].lower()


# --preserve-fds and socket activation


@pytest.fixture
def three(tmp_path: Path) -> Iterator[tuple[int, ...]]:
    """Files for passing() below: file-3, file-4 and file-5."""
    opened = tuple(os.open(tmp_path / f"file-{number}", os.O_RDWR | os.O_CREAT, 0o644) for number in (3, 4, 5))
    yield opened
    for one in opened:
        os.close(one)


def passing(files: tuple[int, ...]) -> Callable[[], None]:
    """A preexec_fn that puts `files` at 3 and above, and closes what is above them."""

    def prepare() -> None:
        copies = [os.dup(one) for one in files]
        high = [os.dup2(copy, 200 + index) for index, copy in enumerate(copies)]
        for target, source in enumerate(high, 3):
            os.dup2(source, target, inheritable=True)
        os.closerange(3 + len(files), 300)

    return prepare


def test_preserved_descriptors(look: Look, tmp_path: Path, three: tuple[int, ...]) -> None:
    """The very same files, with the numbers they had, and no others."""
    seen = look(options=("--preserve-fds", "2"), preexec_fn=passing(three), close_fds=False)
    assert seen["fds"].keys() == {"0", "1", "2", "3", "4"}
    for number in ("3", "4"):
        assert seen["fds"][number]["inode"] == (tmp_path / f"file-{number}").stat().st_ino
        assert not seen["fds"][number]["cloexec"]


def test_preserved_descriptors_of_create(box: Box, tmp_path: Path, three: tuple[int, ...]) -> None:
    """They live as long as the container waits; `start` has nothing to do with them."""
    bundle = str(box.bundle("sleep"))
    done = box("create", "--preserve-fds", "3", "--bundle", bundle, "a", preexec_fn=passing(three), close_fds=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert box("start", "a").stderr == ""
    pid = box.state("a")["pid"]
    assert set(os.listdir(f"/proc/{pid}/fd")) == {"0", "1", "2", "3", "4", "5"}
    assert [os.stat(f"/proc/{pid}/fd/{n}").st_ino for n in (3, 4, 5)] == [
        (tmp_path / f"file-{n}").stat().st_ino for n in (3, 4, 5)
    ]


def test_a_descriptor_that_is_not_open(box: Box, three: tuple[int, ...]) -> None:
    """Found before anything is made, and before a file of our own could take its place."""
    before = os.listdir(box.root)
    bundle = str(box.bundle("exit", "0"))
    done = box("run", "--preserve-fds", "5", "--bundle", bundle, "a", preexec_fn=passing(three), close_fds=False)
    assert done.returncode == 1
    assert "unable to stat preserved-fd 3 (of 5)" in done.stderr.splitlines()[0]
    assert os.listdir(box.root) == before


def activated(count: int, pid: str = "$$") -> tuple[str, ...]:
    """Arguments of a shell that becomes the runtime, told that so many descriptors were passed to it."""
    return ("sh", "-c", f'LISTEN_FDS={count} LISTEN_PID={pid} exec "$@"', "sh")


@pytest.mark.parametrize(
    ("pid", "passed"), [pytest.param("$$", True, id="for us"), pytest.param("1", False, id="for another process")]
)
def test_socket_activation(box: Box, tmp_path: Path, pid: str, passed: bool) -> None:
    """sd_listen_fds(3): the container gets the sockets, as the first process of its own pid namespace."""
    sockets = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(2)]
    for index, one in enumerate(sockets):
        one.bind(str(tmp_path / f"listen-{index}"))
        one.listen()
    box.prefix = activated(2, pid)
    done = box(
        *("run", "--bundle", str(box.bundle("report")), "a"),
        preexec_fn=passing(tuple(one.fileno() for one in sockets)),
        close_fds=False,
    )
    box.prefix = ()
    inodes = [os.fstat(one.fileno()).st_ino for one in sockets]
    for one in sockets:
        one.close()
    assert (done.returncode, done.stderr) == (0, "")
    seen = json.loads(done.stdout)
    variables = [entry for entry in seen["env"] if entry.startswith("LISTEN")]
    if not passed:
        assert (variables, seen["fds"].keys()) == ([], {"0", "1", "2"})
        return
    assert variables == ["LISTEN_FDS=2", "LISTEN_PID=1"]
    assert {number for number, one in seen["fds"].items() if one["type"] == "socket"} == {"3", "4"}
    assert [seen["fds"][n]["inode"] for n in ("3", "4")] == inodes


def test_listen_and_preserve_add_up(box: Box, three: tuple[int, ...]) -> None:
    """As runc: first the sockets, then --preserve-fds more."""
    box.prefix = activated(1)
    bundle = str(box.bundle("report"))
    done = box("run", "--preserve-fds", "1", "--bundle", bundle, "a", preexec_fn=passing(three), close_fds=False)
    box.prefix = ()
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["fds"].keys() == {"0", "1", "2", "3", "4"}


# the fifo


def test_the_process_that_waits_sleeps(box: Box) -> None:
    """It waits for ever, without using the processor, and ends when it is deleted."""
    assert box("create", "--bundle", str(box.bundle("sleep")), "a").stderr == ""
    pid = box.state("a")["pid"]
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    assert fields[0] == "S"
    assert box("delete", "--force", "a").stderr == ""
    until(lambda: not alive(pid), "it is gone")
