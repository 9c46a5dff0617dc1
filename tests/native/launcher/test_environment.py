"""What reaches Python: arguments as written, a kept environment, open standard descriptors, and nothing that a trap
could use."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.native.launcher.conftest import Installation

RT_SIGACTION = {"x86_64": 13, "aarch64": 134}
KEPT = {
    "PATH": "/bin",
    "HOME": "/root",
    "USER": "root",
    "XDG_RUNTIME_DIR": "/run/user/0",
    "NOTIFY_SOCKET": "/run/notify",
    "DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/bus",
    "LISTEN_FDS": "1",
    "LISTEN_PID": "17",
    "LISTEN_FDNAMES": "web",
}
DROPPED = {
    **{
        f"PYTHON{name}": "trap"
        for name in ("PATH", "HOME", "STARTUP", "INSPECT", "PYCACHEPREFIX", "USERBASE", "WARNINGS")
    },
    **dict.fromkeys(("PYTHONBREAKPOINT", "PYTHONUTF8", "PYTHONCOERCECLOCALE", "PYTHONMALLOC", "PYTHONVERBOSE"), "trap"),
    **dict.fromkeys(("GCONV_PATH", "LOCPATH", "TMPDIR", "NSS_X", "LANG", "LC_CTYPE", "LD_BIND_NOW", "SECRET"), "trap"),
    **dict.fromkeys(("PYOCI_SEALED", "PYOCI_ARGV0", "PYOCI_UMASK", "PATHX", "HOMEX", "_LIBCONTAINER_INITPIPE"), "trap"),
}


@pytest.mark.parametrize("command", ["state", "create"])
def test_environment_is_a_keep_list(installation: Installation, command: str) -> None:
    environment = installation.run(command, env=KEPT | DROPPED)["env"]
    sealed = {"PYOCI_SEALED": environment["PYOCI_SEALED"]} if command == "create" else {}
    own = {"PYOCI_ARGV0": str(installation.program), "PYOCI_UMASK": environment["PYOCI_UMASK"], "LC_ALL": "C"}
    assert environment == KEPT | own | sealed


def test_listen_pid_stays_valid(installation: Installation) -> None:
    """Descriptors are passed to the process that LISTEN_PID names; the launcher executes, and does not fork."""
    with subprocess.Popen([installation.program, "state"], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert f'"pid": {child.pid}' in child.stdout.read().decode()


def test_isolated_interpreter(installation: Installation) -> None:
    seen = installation.run("state", cwd=installation.prefix)
    flags = seen["flags"]
    assert flags["isolated"] and flags["no_site"] and flags["ignore_environment"] and flags["no_user_site"]
    assert flags["dont_write_bytecode"] and flags["safe_path"] and flags["utf8_mode"]
    assert seen["path"] and not any(str(installation.prefix) in path for path in seen["path"])
    assert "runpy" not in seen["modules"] and "site" not in seen["modules"]
    assert not list(installation.prefix.rglob("__pycache__"))


@pytest.mark.parametrize("command", ["state", "create"])
def test_traps_do_not_spring(installation: Installation, tmp_path: Path, command: str) -> None:
    trap, canary = tmp_path / "trap", tmp_path / "canary"
    trap.mkdir()
    springs = f"import posix; posix.close(posix.open({str(canary)!r}, posix.O_CREAT))"
    names = ("sitecustomize", "usercustomize", "os", "io", "codecs", "startup", "json", "fcntl", "encodings")
    for directory in (trap, installation.package.parent, installation.package):
        for name in names:
            (directory / f"{name}.py").write_text(springs)
        (directory / "x.pth").write_text(f"{springs}\n")
    preload = tmp_path / "preload.so"
    code = f'#include <fcntl.h>\n__attribute__((constructor)) void f(void) {{ creat("{canary}", 0600); }}'
    subprocess.run(["gcc", "-shared", "-fPIC", "-x", "c", "-o", preload, "-"], input=code.encode(), check=True)
    environment = {
        **{
            name: str(trap)
            for name in ("PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "GCONV_PATH", "LOCPATH", "TMPDIR")
        },
        "PYTHONSTARTUP": str(trap / "startup.py"),
        "LD_PRELOAD": str(preload),
        "LD_LIBRARY_PATH": str(trap),
        "LD_AUDIT": str(preload),
        "PYTHONINSPECT": "1",
        "PYTHONBREAKPOINT": "os.abort",
        "PATH": ".",
    }
    # control: the traps work on a program that is not protected
    subprocess.run(["/bin/true"], env={"LD_PRELOAD": str(preload)}, check=True)
    assert canary.exists()
    canary.unlink()
    subprocess.run(["/usr/bin/python3", "-c", ""], env={"PYTHONPATH": str(trap)}, stderr=subprocess.DEVNULL)
    assert canary.exists()
    canary.unlink()
    installation.run(command, env=environment, cwd=trap)
    assert not canary.exists()


def test_arguments_are_passed_as_they_are(installation: Installation) -> None:
    words = [b"state", b"--", b"-c", b"\xe4\xff", "ä".encode(), b"", b"a b\n"]
    seen = installation.run(*words, env={"LC_ALL": "de_DE.ISO-8859-1", "LANG": "de_DE.ISO-8859-1"})
    assert [word.encode("utf-8", "surrogateescape") for word in seen["argv"]] == words
    assert (seen["encoding"], seen["stdout"]) == ("utf-8", "utf-8")


def test_argv0_is_what_the_caller_wrote(installation: Installation) -> None:
    done = subprocess.run(
        ["runc of mine", "state"], executable=installation.program, stdout=subprocess.PIPE, check=True
    )
    assert b'"PYOCI_ARGV0": "runc of mine"' in done.stdout


@pytest.mark.parametrize("command", ["state", "create"])
@pytest.mark.parametrize("closed", [[0], [1], [2], [0, 1], [0, 1, 2], [1, 2]])
def test_closed_standard_descriptors(
    installation: Installation, tmp_path: Path, command: str, closed: list[int]
) -> None:
    """Python sees /dev/null in the gaps, the others as they were, and nothing that the launcher opened."""
    main = installation.package / "__main__.py"
    result = tmp_path / "result"
    main.write_text(
        main.read_text().replace(
            "print(json.dumps(seen), flush=True)", f"open({str(result)!r}, 'w').write(json.dumps(seen))"
        )
    )

    def prepare() -> None:
        for fd in closed:
            os.close(fd)

    files = {fd: open(tmp_path / str(fd), "w+") for fd in range(3)}  # noqa: SIM115 - the next line closes them
    with files[0], files[1], files[2]:
        child = subprocess.Popen(
            [installation.program, command], stdin=files[0], stdout=files[1], stderr=files[2], preexec_fn=prepare
        )
        assert child.wait(60) == 0
    expected = {str(fd): "/dev/null" if fd in closed else str(tmp_path / str(fd)) for fd in range(3)}
    assert f'"fds": {str(expected).replace(chr(39), chr(34))}' in result.read_text()


def test_descriptors_above_two_are_left_alone(installation: Installation, tmp_path: Path) -> None:
    with open(tmp_path / "kept", "w") as file:
        seen = installation.run("create", pass_fds=[file.fileno()])
        assert seen["fds"].keys() == {"0", "1", "2", str(file.fileno())}
        assert seen["fds"][str(file.fileno())] == str(tmp_path / "kept")


def test_umask_and_signals(installation: Installation) -> None:
    def prepare() -> None:
        os.umask(0o027)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)

    seen = installation.run("create", preexec_fn=prepare)
    assert (seen["env"]["PYOCI_UMASK"], seen["umask"]) == ("027", 0)
    assert seen["sigchld"]


def test_signals_of_the_c_library(installation: Installation) -> None:
    """glibc's posix_spawn, and so make, starts programs with 32 and 33 ignored; Python could not change that."""
    ignored = (ctypes.c_ulong * 4)(1)

    def prepare() -> None:
        for number in (32, 33):
            assert ctypes.CDLL(None).syscall(RT_SIGACTION[os.uname().machine], number, ignored, None, 8) == 0

    assert installation.run("create", preexec_fn=prepare)["ignored"] & (3 << 31) == 0


def test_runs_without_compiled_modules(installation: Installation) -> None:
    (installation.package / "__init__.py").write_text("")
    assert installation.run("create", cwd="/")["argv"] == ["create"]


@pytest.mark.parametrize(("number", "name"), [(0, "input"), (1, "output"), (2, "error")])
def test_a_directory_as_a_standard_stream(installation: Installation, number: int, name: str) -> None:
    """CPython would not start with it."""
    streams = [subprocess.DEVNULL, subprocess.PIPE, subprocess.PIPE]
    streams[number] = os.open("/", os.O_RDONLY)
    try:
        stdin, stdout, stderr = streams
        done = subprocess.run([installation.program, "state"], stdin=stdin, stdout=stdout, stderr=stderr, check=False)
    finally:
        os.close(streams[number])
    assert done.returncode == 1 and not done.stdout
    assert number == 2 or done.stderr == f"pyoci: a directory cannot be standard {name}\n".encode()
