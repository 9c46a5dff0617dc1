"""What `create`, `exec` and `state` import besides pyoci's own modules. Each has its price (docs/measurements.md): one
more is a decision and not an accident. What may never be imported on these paths is named with its price.

Measured in the installed runtime, by the process that ends the command: everything in sys.modules that a bare
interpreter (-I -S) does not have.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

# Milliseconds of CPU that importing each costs on top of the bare interpreter (CPython 3.11).
TOO_DEAR = {
    "argparse": 8, "asyncio": 41, "collections": 2, "contextlib": 3, "dataclasses": 14, "enum": 4, "functools": 2,
    "importlib.metadata": 35, "json": 7, "jsonschema": 64, "logging": 13, "os": 1.1, "pathlib": 9, "pyroute2": 120,
    "re": 5, "shutil": 8, "signal": 4, "site": 2, "socket": 8, "subprocess": 11, "tempfile": 10, "traceback": 10,
    "typing": 9,
}  # fmt: skip

# Of other people's modules, mostly the standard library's; sorted.
STATE = "_json errno gc".split()
CREATE = "_ctypes _json _prctl _socket _stat _struct errno fcntl gc resource select stat struct".split()
EXEC = CREATE

# Runs what the launcher runs; when the command ends, it writes the names of its modules to a file.
PROBE = """
import marshal, posix, sys
before, own, leave = set(sys.modules), posix.getpid(), posix._exit
def end(status):
    if posix.getpid() == own:
        with open(listing, "w") as file:
            file.write("\\n".join(sorted(set(sys.modules) - before)))
    leave(status)
posix._exit = end
listing, path = sys.argv.pop(1), sys.argv.pop(1)
sys.argv[0] = path
with open(path, "rb") as file:
    code = marshal.loads(file.read()[16:])
sys.modules["__main__"] = type(sys)("__main__")
sys.modules["__main__"].__file__ = path
exec(code, sys.modules["__main__"].__dict__)
"""
BUNDLE = {
    "ociVersion": "1.3.0",
    "process": {"cwd": "/", "args": ["/reporter", "sleep"], "user": {"uid": 0, "gid": 0}},
    "root": {"path": "rootfs"},
    "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
    "linux": {"namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "network")]},
}

Modules = Callable[..., list[str]]


@pytest.fixture
def modules(pyoci: str, tmp_path: Path) -> Modules:
    """modules("state", "c"): what the command imports; it must succeed."""
    prefix = Path(pyoci).resolve().parent.parent
    [package] = prefix.glob("lib/python3*/*-packages/pyoci")
    interpreter = (prefix / "bin/python3").resolve()
    [start] = package.glob("start.*.pyc")
    probe = tmp_path / "probe.py"
    probe.write_text(PROBE)

    def run(*words: str) -> list[str]:
        listing = tmp_path / "modules"
        head: list[str | Path] = [interpreter, "-I", "-S", "-B", "-X", "utf8", probe, listing, start]
        environment = {"PYOCI_ARGV0": "pyoci", "PYOCI_UMASK": "022", "PYOCI_SEALED": "overlay", "LC_ALL": "C"}
        with open(tmp_path / "output", "wb") as sink:
            command = [*head, "--root", tmp_path / "state", *words]
            subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=sink, check=True, timeout=60)
        return listing.read_text().split()

    return run


@pytest.mark.root
def test_modules(modules: Modules, pyoci: str, reporter: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    (bundle / "rootfs/proc").mkdir(parents=True)
    shutil.copy(reporter, bundle / "rootfs/reporter")
    (bundle / "config.json").write_text(json.dumps(BUNDLE))
    (tmp_path / "state").mkdir(mode=0o700)  # the first create on a machine imports more, to make it
    name = f"imports-{os.getpid()}"
    try:
        create = modules("create", "--bundle", str(bundle), name)
        state = modules("state", name)
        execution = modules("exec", "--detach", name, "/reporter", "exit", "0")
    finally:
        subprocess.run([pyoci, "--root", tmp_path / "state", "delete", "--force", name], check=False)
    for command, seen, expected in (("state", state, STATE), ("create", create, CREATE), ("exec", execution, EXEC)):
        assert "pyoci.record" in seen, command
        assert not TOO_DEAR.keys() & set(seen), command
        others = [name for name in seen if name.partition(".")[0] != "pyoci"]
        assert others == expected, f"`{command}` imports something else than the list in this file"
