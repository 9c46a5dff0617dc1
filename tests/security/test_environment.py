"""Nothing in the caller's environment changes what the runtime does, or reaches the container."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.security.harness import Arena

pytestmark = pytest.mark.root

MODULES = ("sitecustomize", "usercustomize", "os", "io", "codecs", "json", "encodings", "posixpath", "startup", "_json")
FILES = ("PYTHONSTARTUP", "PYTHONPYCACHEPREFIX", "SSLKEYLOGFILE")
DIRECTORIES = ("PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "GCONV_PATH", "LOCPATH", "TMPDIR", "NSS_WRAPPER")
OTHERS = {
    "PYTHONINSPECT": "1",
    "PYTHONVERBOSE": "1",
    "PYTHONDEVMODE": "1",
    "PYTHONWARNINGS": "error",
    "PYTHONBREAKPOINT": "os.abort",
    "PYTHONMALLOC": "debug",
    "PYTHONDUMPREFS": "1",
    "PYTHONIOENCODING": "idna",
    "PYTHONUTF8": "0",
    "LANG": "de_DE.ISO-8859-1",
    "LC_ALL": "de_DE.ISO-8859-1",
    "LD_BIND_NOW": "1",
    "PATH": ".",
}
SECRET = "swordfish"


def traps(directory: Path) -> dict[str, str]:
    """An environment in which every name leads to something that makes the file `sprung`."""
    directory.mkdir(exist_ok=True)
    sprung = directory / "sprung"
    code = f"import posix; posix.close(posix.open({str(sprung)!r}, posix.O_CREAT | posix.O_WRONLY))\n"
    for name in MODULES:
        (directory / f"{name}.py").write_text(code)
    (directory / "x.pth").write_text(code)
    for name in ("newuidmap", "ldconfig", "gcc", "busybox", "true", "python3"):
        (directory / name).write_text(f"#!/bin/sh\n: > {sprung}\n")
        (directory / name).chmod(0o755)
    library = directory / "trap.so"
    constructor = f'#include <fcntl.h>\n__attribute__((constructor)) void f(void) {{ creat("{sprung}", 0600); }}'
    command = ["gcc", "-shared", "-fPIC", "-x", "c", "-o", str(library), "-"]
    subprocess.run(command, input=constructor.encode(), check=True)
    for name in ("libc.so.6", "libseccomp.so.2", "libm.so.6"):
        (directory / name).symlink_to("trap.so")
    return {
        **dict.fromkeys(DIRECTORIES, str(directory)),
        **dict.fromkeys(FILES, str(directory / "startup.py")),
        **OTHERS,
        "LD_PRELOAD": str(library),
        "LD_AUDIT": str(library),
        "LD_LIBRARY_PATH": str(directory),
        "SECRET": SECRET,
    }


def test_every_command_among_traps(arena: Arena, tmp_path: Path) -> None:
    trap = arena.directory  # where every command runs: PATH is "."
    env = traps(trap)
    subprocess.run(["/bin/true"], env={"LD_PRELOAD": env["LD_PRELOAD"]}, check=True)
    assert (trap / "sprung").exists(), "the traps do not work"
    (trap / "sprung").unlink()

    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}]}
    hooks = {"createRuntime": [{"path": str(arena.reporter), "args": ["r", "report-to", str(tmp_path / "hook")]}]}

    def change(config: dict[str, Any]) -> None:
        config["linux"]["seccomp"] = profile
        config["hooks"] = hooks

    bundle = arena.bundle("/reporter", "sleep", change=change)
    (bundle / "empty").mkdir()
    commands = [
        *(("create", "--bundle", str(bundle), "c"), ("state", "c"), ("start", "c"), ("list",), ("kill", "c", "KILL")),
        *(("delete", "--force", "c"), ("run", "--detach", "--bundle", str(bundle), "c"), ("delete", "--force", "c")),
        *(("validate", "--bundle", str(bundle)), ("plan", "--bundle", str(bundle)), ("features",), ("--version",)),
        *(("spec", "--bundle", str(bundle / "empty")), ("create", "--help")),
    ]
    for command in commands:
        done = arena(*command, env=env)
        assert (done.returncode, done.stderr) == (0, ""), command
        assert not (trap / "sprung").exists(), command
    seen = json.loads((tmp_path / "hook").read_text())
    assert seen["env"] == ["PATH=."], "a hook without env gets the runtime's kept one"


def test_names_in_process_env_reach_the_program_alone(arena: Arena, tmp_path: Path) -> None:
    """config.json may set them: for the program, not for the runtime, whose process becomes the program."""
    entries = [f"{name}={value}" for name, value in traps(tmp_path / "trap").items()]
    entries = [entry for entry in entries if not entry.startswith("PATH=")]
    bundle = arena.bundle("/reporter", "report", change=lambda config: config["process"].update(env=entries))
    done = arena.run(bundle)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["env"] == [*entries, "HOME=/"]
    assert not (tmp_path / "trap/sprung").exists()


KEPT = ("HOME", "USER", "PATH", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "LISTEN_FDNAMES")


@pytest.mark.parametrize("name", ["FOO", *KEPT, "PYOCI_ARGV0", "LC_ALL"])
def test_a_bare_name_is_not_completed(arena: Arena, name: str) -> None:
    """As `docker run -e NAME` is; a runtime must not do that (CVE-2026-57231)."""
    env = {"PATH": os.environ["PATH"], name: SECRET}
    bundle = arena.bundle("/reporter", "report", change=lambda config: config["process"].update(env=["A=1", name]))
    done = arena.run(bundle, env=env)
    assert arena.is_clean_failure(done)
    assert SECRET not in done.stdout + done.stderr
    assert "/process/env" in done.stderr


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(b'"=x"', id="no name"),
        pytest.param(b'""', id="empty"),
        pytest.param(b'"A=1\\u0000B=2"', id="NUL"),
        pytest.param(b'"A\\u0000=1"', id="NUL in the name"),
        pytest.param(b'"A=\xff\xfe"', id="not UTF-8"),
        pytest.param(b'"A=\\ud800"', id="half a character"),
        pytest.param(b"1", id="a number"),
        pytest.param(b"null", id="null"),
    ],
)
def test_odd_entries(arena: Arena, entry: bytes) -> None:
    """Refused, or passed on as they are: never cut short, never joined with another one."""
    bundle = arena.bundle("/reporter", "report", change=lambda config: config["process"].update(env=["PLACE", "Z=1"]))
    config = bundle / "config.json"
    config.write_bytes(config.read_bytes().replace(b'"PLACE"', entry))
    done = arena.run(bundle, env={"PATH": os.environ["PATH"], "A": SECRET})
    assert arena.is_clean_failure(done), done
    assert SECRET not in done.stdout + done.stderr


def test_nothing_of_the_caller_arrives(arena: Arena) -> None:
    env = dict.fromkeys(("FOO", *KEPT), SECRET) | {"PATH": f"/{SECRET}"}
    bundle = arena.bundle("/reporter", "report", change=lambda config: config["process"].update(env=["A=", "B=1"]))
    done = arena.run(bundle, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["env"] == ["A=", "B=1", "HOME=/"]
    assert SECRET not in done.stdout
