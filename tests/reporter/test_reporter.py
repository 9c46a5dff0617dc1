"""The reporter tells the truth: about itself as far as a test can know it from outside."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from pathlib import Path
from typing import Any

from tests.reporter import parse


def run(program: Path, *words: str, **options: Any) -> list[dict[str, Any]]:
    return parse(subprocess.run([program, *words], stdout=subprocess.PIPE, check=True, **options).stdout)


def test_identity_environment_and_directory(reporter: Path, tmp_path: Path) -> None:
    environment = {b"A": b"1", b"B": b'\xff"\\\n'}
    [seen] = run(reporter, "report", cwd=tmp_path, env=environment)
    assert seen["argv"] == [str(reporter), "report"]
    assert [text.encode("utf-8", "surrogateescape") for text in seen["env"]] == [b"A=1", b'B=\xff"\\\n']
    assert seen["cwd"] == str(tmp_path)
    assert seen["ppid"] == os.getpid()
    assert seen["uid"] == list(os.getresuid())
    assert seen["groups"] == os.getgroups()
    assert seen["hostname"] == os.uname().nodename
    assert seen["namespaces"]["net"] == os.readlink("/proc/self/ns/net")


def test_signals_umask_limits_descriptors(reporter: Path, tmp_path: Path) -> None:
    def prepare() -> None:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
        os.umask(0o027)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    with open(tmp_path / "x", "w") as file:
        [seen] = run(reporter, preexec_fn=prepare, pass_fds=[file.fileno()], restore_signals=False)
        entry = seen["fds"][str(file.fileno())]
    assert int(seen["signals"]["ignored"], 16) >> signal.SIGUSR1 - 1 & 1
    assert int(seen["signals"]["blocked"], 16) == 1 << signal.SIGUSR2 - 1
    assert seen["signals"]["blocked"] == seen["status"]["SigBlk"]
    assert seen["umask"] == 0o027
    assert seen["rlimits"]["CORE"] == [0, 0]
    assert entry["target"] == str(tmp_path / "x") and entry["type"] == "file" and not entry["cloexec"]


def test_capabilities_agree_with_proc(reporter: Path) -> None:
    [seen] = run(reporter, "report")
    names = {
        "CapBnd": "bounding",
        "CapEff": "effective",
        "CapInh": "inheritable",
        "CapPrm": "permitted",
        "CapAmb": "ambient",
    }
    assert {seen["status"][short] for short in names} and all(
        seen["status"][short] == seen["capabilities"][long] for short, long in names.items()
    )


def test_files(reporter: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("12345")
    (tmp_path / "file").chmod(0o640)
    (tmp_path / "link").symlink_to("file")
    paths = [str(tmp_path), str(tmp_path / "file"), str(tmp_path / "link"), "/dev/null", str(tmp_path / "nothing")]
    [seen] = run(reporter, "report", *paths)
    directory, file, link, null, nothing = (seen["files"][path] for path in paths)
    assert sorted(directory["entries"]) == ["file", "link"]
    assert (file["type"], file["mode"], file["size"]) == ("file", 0o640, 5)
    assert (link["type"], link["target"]) == ("link", "file")
    assert (null["type"], null["major"], null["minor"]) == ("char", 1, 3)
    assert nothing == {"error": "ENOENT"}


def test_commands_in_a_row(reporter: Path, tmp_path: Path) -> None:
    file = str(tmp_path / "out")
    words = ["write", file, "hello", ",", "read", file, ",", "try", "mkdir", file, ",", "exit", "7"]
    done = subprocess.run([reporter, *words], stdout=subprocess.PIPE)
    assert done.returncode == 7
    assert done.stdout.startswith(b"hello\n")
    assert parse(done.stdout) == [{"call": "mkdir", "result": -1, "errno": 17, "error": "EEXIST"}]


def test_trap_and_die(reporter: Path) -> None:
    with subprocess.Popen(
        [reporter, "try", "open", "/dev/null", "r", ",", "trap", "9"], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.terminate()
        assert child.wait(10) == 9
    assert subprocess.run([reporter, "die", str(int(signal.SIGABRT))]).returncode == -signal.SIGABRT
