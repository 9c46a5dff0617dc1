"""An installation made for the test: the launcher, compiled here, and a package that prints what it sees."""

from __future__ import annotations

import hashlib
import json
import os
import py_compile
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[3]
SOURCES = PROJECT / "native/launcher"
FLAGS = ("-std=gnu17", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror", "-static")
PYTHON = Path("/usr/bin/python3").resolve()

STUB = """
import sys, os, json, fcntl, signal
exe = os.open("/proc/self/exe", os.O_RDONLY)
try:
    seals = fcntl.fcntl(exe, 1034)  # F_GET_SEALS
except OSError:
    seals = None
mount = [l.split()[1] for l in open(f"/proc/self/fdinfo/{exe}") if l.startswith("mnt_id")][0]
os.close(exe)
targets = {}
for fd in range(256):
    try: targets[fd] = os.readlink(f"/proc/self/fd/{fd}")
    except OSError: pass
seen = {
    "argv": sys.argv[1:], "env": dict(os.environ), "path": sys.path, "fds": targets, "umask": os.umask(0),
    "flags": {name: getattr(sys.flags, name) for name in dir(sys.flags) if isinstance(getattr(sys.flags, name), int)},
    "exe": os.readlink("/proc/self/exe"), "exe_mount": mount, "seals": seals,
    "mounts": [l.split()[0] for l in open("/proc/self/mountinfo")],
    "sigchld": signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL, "cwd": os.getcwd() if "cwd" in sys.argv else "",
    "modules": sorted(sys.modules), "encoding": sys.getfilesystemencoding(), "stdout": sys.stdout.encoding,
    "cmdline": os.fsdecode(open("/proc/self/cmdline", "rb").read()).split("\\0")[:-1],
    "file": __file__, "pid": os.getpid(),
    "ignored": [int(l.split()[1], 16) for l in open("/proc/self/status") if l.startswith("SigIgn")][0],
}
print(json.dumps(seen), flush=True)
if "wait" in sys.argv:
    sys.stdin.read()
"""


def compile_launcher(*defines: str) -> Path:
    """The launcher's program from the cache, compiled if the sources or defines are new."""
    files = sorted(SOURCES.glob("*.[ch]"))
    content = b"\0".join([" ".join(FLAGS + defines).encode(), *(file.read_bytes() for file in files)])
    program = PROJECT / ".cache" / f"launcher-{hashlib.sha256(content).hexdigest()[:16]}"
    if not program.exists():
        program.parent.mkdir(exist_ok=True)
        temporary = program.with_name(f"{program.name}.{os.getpid()}")
        sources = [str(file) for file in files if file.suffix == ".c"]
        subprocess.run(["gcc", *FLAGS, *(f"-D{define}" for define in defines), "-o", temporary, *sources], check=True)
        temporary.rename(program)
    return program


class Installation:
    """A prefix with bin/pyoci and a package pyoci below it."""

    def __init__(self, prefix: Path, packages: str = f"lib/{PYTHON.name}/site-packages", *defines: str) -> None:
        self.prefix = prefix
        self.program = prefix / "bin/pyoci"
        self.package = prefix / packages / "pyoci"
        self.program.parent.mkdir(parents=True)
        self.program.write_bytes(compile_launcher(*defines).read_bytes())
        self.program.chmod(0o755)
        self.package.mkdir(parents=True)
        (self.package / "__main__.py").write_text(STUB)

    def start(self, *words: str | bytes, **options: Any) -> subprocess.CompletedProcess[bytes]:
        options.setdefault("program", self.program)
        program = options.pop("program")
        options.setdefault("stdout", subprocess.PIPE)
        return subprocess.run([program, *words], stderr=subprocess.PIPE, timeout=60, **options)

    def run(self, *words: str | bytes, **options: Any) -> dict[str, Any]:
        """What the Python side saw; any error output fails the test."""
        done = self.start(*words, **options)
        assert (done.returncode, done.stderr) == (0, b"")
        seen: dict[str, Any] = json.loads(done.stdout)
        return seen

    def refused(self, *words: str, **options: Any) -> str:
        """The error text of a launch that must not reach Python."""
        done = self.start(*words, **options)
        assert (done.returncode, done.stdout) == (1, b"")
        return done.stderr.decode()

    def pack(self) -> Path:
        """Gives the package the file with all modules."""
        path = self.package / "modules.pack"
        path.write_bytes(b"")
        return path

    def start_file(self, tag: str = "") -> Path:
        """Gives the package the compiled file that the build makes for the interpreter, or for another one."""
        path = self.package / f"start.{tag or sys.implementation.cache_tag}.pyc"
        py_compile.compile(str(self.package / "__main__.py"), str(path), doraise=True)
        path.chmod(0o644)
        return path

    def own_interpreter(self) -> Path:
        """Gives the prefix a copy of the interpreter, which a test may lose."""
        copy = self.prefix / "bin/python3"
        copy.write_bytes(PYTHON.read_bytes())
        copy.chmod(0o755)
        (self.prefix / "pyvenv.cfg").write_text(f"home = {PYTHON.parent}\n")
        return copy


@pytest.fixture
def install(tmp_path: Path) -> Callable[..., Installation]:
    """Makes an installation: install(packages="lib/python3/dist-packages", "ONLY_MEMFD=1")."""
    return lambda *arguments: Installation(tmp_path / "prefix", *arguments)


@pytest.fixture
def installation(install: Callable[..., Installation]) -> Installation:
    return install()
