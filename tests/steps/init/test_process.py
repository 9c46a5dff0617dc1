"""What the program finds: HOME, its working directory, its limits; and which file it is."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Any

import pytest

from tests.container.box import Box, Done
from tests.steps.look import Change, Config, Look, changes, parse, process, writable

pytestmark = pytest.mark.root

PASSWD = "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\nempty:x:2000:2000:::/bin/sh\n"


def run(box: Box, change: Change, files: dict[str, str] | None = None, *words: str) -> Done:
    """A container of the reporter with these files in its root."""
    bundle = box.bundle(*(words or ("report",)), change=change)
    for name, text in (files or {}).items():
        path = bundle / "rootfs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return box("run", "--bundle", str(bundle), "a")


def without(member: str) -> Change:
    def change(config: Config) -> None:
        config["process"].pop(member, None)

    return change


def seen(done: Done) -> dict[str, Any]:
    assert (done.returncode, done.stderr) == (0, ""), done
    [found] = parse(done)
    return found


# HOME


@pytest.mark.parametrize(
    ("uid", "home"), [(0, "/root"), (1000, "/home/user"), (2000, ""), (3000, "/")], ids=["root", "user", "empty", "no"]
)
@pytest.mark.parametrize("env", [["A=1"], [], None], ids=["some", "empty", "absent"])
def test_home_from_the_image(box: Box, uid: int, home: str, env: list[str] | None) -> None:
    """Appended, also when config.json has no env at all."""
    given = process(env=env) if env is not None else without("env")
    done = run(box, changes(given, process(user={"uid": uid, "gid": uid})), {"etc/passwd": PASSWD})
    assert seen(done)["env"] == [*(env or []), f"HOME={home}"]


def test_home_of_the_config_wins(box: Box) -> None:
    done = run(box, process(env=["HOME=/mine", "A=1"]), {"etc/passwd": PASSWD})
    assert seen(done)["env"] == ["HOME=/mine", "A=1"]


def test_an_empty_home_is_none(box: Box) -> None:
    done = run(box, process(env=["HOME=", "A=1"]), {"etc/passwd": PASSWD})
    assert seen(done)["env"] == ["A=1", "HOME=/root"]


# cwd


@pytest.mark.parametrize("cwd", ["/", "/tmp", "/made/by/us", "/dev/shm", "/proc/self"])
def test_cwd(look: Look, cwd: str) -> None:
    found = look(changes(process(cwd=cwd), writable))
    assert found["cwd"] == {"/proc/self": "/proc/1"}.get(cwd, cwd)


def test_cwd_is_made_as_root_and_before_the_root_is_read_only(box: Box) -> None:
    done = run(box, process(cwd="/a/b", user={"uid": 1000, "gid": 1000}), None, "report", "/a/b")
    found = seen(done)
    assert found["cwd"] == "/a/b"
    facts = found["files"]["/a/b"]
    assert (facts["uid"], facts["gid"], facts["mode"]) == (0, 0, 0o755)


def test_cwd_that_only_the_user_may_enter(box: Box, tmp_path: Path) -> None:
    """As on a filesystem that root does not reach: the second try, as the user, decides."""
    bundle = box.bundle("report", change=process(cwd="/private", user={"uid": 1000, "gid": 1000}))
    private = bundle / "rootfs/private"
    private.mkdir(mode=0o700)
    os.chown(private, 1000, 1000)
    assert seen(box("run", "--bundle", str(bundle), "a"))["cwd"] == "/private"


def test_cwd_that_only_root_may_enter(box: Box) -> None:
    """An image's WORKDIR /root with another USER: the directory is entered before root becomes the user (runc)."""
    bundle = box.bundle("report", change=process(cwd="/private", user={"uid": 1000, "gid": 1000}))
    (bundle / "rootfs/private").mkdir(mode=0o700)
    assert seen(box("run", "--bundle", str(bundle), "a"))["cwd"] == "/private"


def test_cwd_that_is_a_file(box: Box) -> None:
    done = run(box, process(cwd="/file"), {"file": ""})
    assert done.returncode == 1
    assert "not a directory" in done.stderr.lower() and "/process/cwd" in done.stderr


# rlimits

LIMITS = {
    "AS": 16 << 20,
    "DATA": 1 << 20,
    "NOFILE": 4,
    "FSIZE": 0,
    "NPROC": 1,
    "CPU": 1,
    "STACK": 128 << 10,
    "CORE": 0,
    "MEMLOCK": 0,
    "SIGPENDING": 0,
}


def limits(**values: int) -> Change:
    return process(rlimits=[{"type": f"RLIMIT_{name}", "soft": value, "hard": value} for name, value in values.items()])


@pytest.mark.parametrize("uid", [0, 1000])
@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_under_which_an_interpreter_does_not_live(box: Box, name: str, uid: int) -> None:
    """The program runs, and has that limit."""
    user = {"uid": uid, "gid": uid}
    bundle = box.bundle("exit", "3", change=changes(limits(**{name: LIMITS[name]}), process(user=user)))
    done = box("run", "--bundle", str(bundle), "a")
    assert (done.returncode, done.stderr) == (3, "")
    assert box("create", "--bundle", str(bundle), "b").stderr == ""
    waiting = Path(f"/proc/{box.state('b')['pid']}/limits").read_text()
    assert waiting == Path("/proc/self/limits").read_text(), "while it waits it has the caller's"
    assert box("delete", "--force", "b").stderr == ""


def test_all_of_them_at_once(look: Look) -> None:
    values = {name: value for name, value in LIMITS.items() if name not in ("FSIZE", "NOFILE")} | {"NOFILE": 9}
    found = look(limits(**values))["rlimits"]
    assert {name: found[name] for name in values} == {name: [value] * 2 for name, value in values.items()}


def test_soft_and_hard_and_infinity(look: Look) -> None:
    entries = [
        {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 2000},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 18446744073709551615},
        {"type": "RLIMIT_RTTIME", "soft": 18446744073709551615, "hard": 18446744073709551615},
    ]
    found = look(process(rlimits=entries))["rlimits"]
    infinity = 18446744073709551615
    assert (found["NOFILE"], found["CORE"], found["RTTIME"]) == ([100, 2000], [0, infinity], [infinity, infinity])


def may_raise() -> bool:
    """Whether root on this machine has CAP_SYS_RESOURCE."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff")]
    return bool(int(line.split()[1], 16) >> 24 & 1)


def test_a_hard_limit_above_the_callers(box: Box) -> None:
    """Raised by the runtime, which may, for a program that may not."""

    def prepare() -> None:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (4096, 4096))

    change = changes(limits(MEMLOCK=1 << 20), process(user={"uid": 1000, "gid": 1000}))
    bundle = box.bundle("report", change=change)
    done = box("run", "--bundle", str(bundle), "a", preexec_fn=prepare)
    if may_raise():
        assert seen(done)["rlimits"]["MEMLOCK"] == [1 << 20] * 2
        return
    text = "error setting rlimits for ready process: error setting rlimit type 8: operation not permitted"
    assert done.returncode == 1 and text in done.stderr.splitlines()[0]
    assert "/process/rlimits/0" in done.stderr and os.listdir(box.root) == []


def test_limits_without_an_entry_are_the_callers(look: Look) -> None:
    def prepare() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (123, 456))

    found = look(process(rlimits=[]), preexec_fn=prepare)["rlimits"]
    assert found["CORE"] == [123, 456]
    assert found["NOFILE"] == list(resource.getrlimit(resource.RLIMIT_NOFILE))


# which file


@pytest.mark.parametrize(
    ("name", "env", "text"),
    [
        ("nothing", ["PATH=/bin:/"], 'exec: "nothing": executable file not found in $PATH'),
        ("reporter", [], 'exec: "reporter": executable file not found in $PATH'),
        ("/nothing", [], 'exec: "/nothing": stat /nothing: no such file or directory'),
        ("/plain", [], 'exec: "/plain": permission denied'),
        ("plain", ["PATH=/"], 'exec: "plain": executable file not found in $PATH'),
        ("directory", ["PATH=/"], 'exec: "directory": executable file not found in $PATH'),
        ("", ["PATH=/"], 'exec: "": executable file not found in $PATH'),
        ("/directory", [], 'exec: "/directory": is a directory'),
    ],
)
def test_not_found(box: Box, name: str, env: list[str], text: str) -> None:
    """runc's words, by which podman and containerd tell 126 and 127."""
    done = run(box, process(args=[name], env=env), {"plain": "x", "directory/file": ""})
    assert (done.returncode, done.stdout) == (1, "")
    assert text in done.stderr.splitlines()[0].replace('\\"', '"')


@pytest.mark.parametrize("name", ["echo hello", "/reporter exit 0"])
def test_a_command_line_in_one_argument(box: Box, name: str) -> None:
    done = run(box, process(args=[name], env=["PATH=/"]))
    assert done.returncode == 1
    assert "hint: there is a blank in it: every argument is an item of args of its own" in done.stderr


def test_a_file_that_is_no_program(box: Box) -> None:
    done = run(box, process(args=["plain"], env=["PATH=/bin:/"]), {"plain": "x"})
    assert "hint: searched /bin:/ of process.env; /plain has mode 0644: it is executable for nobody" in done.stderr


@pytest.mark.parametrize("path", ["/", "/nothing:/", "/directory::/", "/plain:/"])
def test_found_along_path(box: Box, path: str) -> None:
    found = seen(
        run(box, process(args=["reporter", "report"], env=[f"PATH={path}"]), {"plain": "x", "directory/f": ""})
    )
    assert found["argv"] == ["reporter", "report"]
    assert found["exe"] == "/reporter"
