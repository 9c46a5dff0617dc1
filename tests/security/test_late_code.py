"""Once the root or the namespaces have changed, nothing is loaded by name (CVE-2019-14271, CVE-2026-41567)."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.security.harness import Arena

pytestmark = pytest.mark.root

LOADED = re.compile(r'"[^"]*(\.pyc?|\.so[.0-9]*|\.pth|\.pack|gconv[^"]*|nsswitch\.conf|locale[^"]*|ld\.so[^"]*)"')
SWITCHES = ("pivot_root(", "chroot(", "setns(", "CLONE_NEWNS")
CALLS = "trace=openat,openat2,open,execve,execveat,mmap,pivot_root,chroot,setns,clone3,clone,unshare"


def trap(rootfs: Path) -> None:
    """An image in which every name that an interpreter could ask for is there, and makes /sprung."""
    code = "import posix; posix.close(posix.open('/sprung', posix.O_CREAT | posix.O_WRONLY))\n"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    names = ("os", "io", "codecs", "encodings/__init__", "encodings/idna", "encodings/latin_1", "warnings", "linecache")
    for directory in (f"usr/lib/{version}", f"usr/local/lib/{version}", f"usr/lib/{version}/site-packages/pyoci"):
        for name in (*names, "traceback", "struct", "json/__init__", "pwd", "grp", "signal", "enum", "re", "tokenize"):
            path = rootfs / directory / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(code)
    source = '#include <fcntl.h>\n__attribute__((constructor)) void f(void) { creat("/sprung", 0600); }'
    library = rootfs / "lib/trap.so"
    library.parent.mkdir(exist_ok=True)
    subprocess.run(["gcc", "-shared", "-fPIC", "-x", "c", "-o", str(library), "-"], input=source.encode(), check=True)
    for name in ("libnss_files.so.2", "libgcc_s.so.1", "libseccomp.so.2", "libc.so.6", "libnss_dns.so.2"):
        (rootfs / "lib" / name).symlink_to("trap.so")
    (rootfs / "etc/ld.so.preload").write_text("/lib/trap.so\n")
    (rootfs / "etc/nsswitch.conf").write_text("passwd: files\n")


def everything(config: dict[str, Any]) -> None:
    """As many steps as one container can have; an error in the container, too, where `args` is nothing."""
    rule = {"names": ["acct"], "action": "SCMP_ACT_ERRNO"}
    config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    config["process"]["user"] = {"uid": 1000, "gid": 1000, "additionalGids": [5]}
    config["process"]["cwd"] = "/new/directory"
    config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "0"}
    config["hooks"] = {"startContainer": [{"path": "/bin/true", "args": ["true"]}]}
    config["domainname"] = "domain"


def traced(arena: Arena, *argv: str) -> tuple[int, dict[int, list[str]]]:
    """Run the command under strace: its exit status, and every call by process, in order."""
    log = arena.directory / "strace"
    arena.prefix = ("strace", "-f", "-qq", "-s", "300", "-e", CALLS, "-o", str(log))
    done = arena(*argv)
    arena.prefix = ()
    calls: dict[int, list[str]] = {}
    for line in log.read_text("utf-8", "replace").splitlines():
        pid, _, call = line.partition(" ")
        calls.setdefault(int(pid), []).append(call.strip())
    return done.returncode, calls


def after_the_switch(calls: list[str], inside: bool) -> list[str]:
    """What a process does once it is elsewhere; `inside`: it was cloned into other namespaces."""
    for index, call in enumerate(calls):
        if inside or any(word in call for word in SWITCHES):
            return calls[index:]
    return []


@pytest.mark.parametrize("args", [["/bin/true"], ["/nothing"], ["/script"]], ids=["works", "not found", "bad script"])
def test_nothing_is_loaded_by_name(arena: Arena, args: list[str]) -> None:
    def change(config: dict[str, Any]) -> None:
        everything(config)
        config["process"]["args"] = args

    bundle = arena.bundle("true", change=change)
    trap(bundle / "rootfs")
    (bundle / "rootfs/script").write_text("#!/no/interpreter\n")
    (bundle / "rootfs/script").chmod(0o755)
    status, calls = traced(arena, "run", "--bundle", str(bundle), "c")
    runtime = next(iter(calls))
    others = {pid: after_the_switch(found, pid != runtime) for pid, found in calls.items()}
    switched = [call for pid, found in others.items() if pid != runtime for call in found]
    assert any("pivot_root(" in call for call in switched), "the trace shows nothing"
    assert [call for call in switched if LOADED.search(call)] == []
    executed = {match[1] for call in switched if (match := re.search(r'execve(?:at)?\("([^"]*)"', call))}
    assert executed - {""} <= {"/bin/true", "/script"}
    assert not (bundle / "rootfs/sprung").exists()
    assert (status == 0) == (args == ["/bin/true"])


@pytest.mark.parametrize(
    ("flags", "program", "status"),
    [
        ((), "/bin/true", 0),
        ((), "/nothing", 255),
        ((), "/script", 255),
        (("--user", "1000:1000", "--cap", "CAP_NET_RAW", "--cwd", "/tmp", "--env", "LANG=de_DE"), "true", 0),
        (("--cwd", "/nowhere"), "/bin/true", 255),
    ],
    ids=["works", "not found", "bad script", "a user", "no directory"],
)
def test_exec_loads_nothing_by_name(arena: Arena, flags: tuple[str, ...], program: str, status: int) -> None:
    """A process that joins a container: what it does there, and what becomes of an error there."""

    def change(config: dict[str, Any]) -> None:
        everything(config)
        config["process"]["args"] = ["/bin/sleep", "1000"]

    bundle = arena.bundle("true", change=change)
    trap(bundle / "rootfs")
    (bundle / "rootfs/script").write_text("#!/no/interpreter\n")
    (bundle / "rootfs/script").chmod(0o755)
    assert arena("run", "--detach", "--bundle", str(bundle), "c").stderr == ""
    ended, calls = traced(arena, "exec", *flags, "c", program)
    runtime = next(iter(calls))
    switched = [call for pid, found in calls.items() if pid != runtime for call in after_the_switch(found, False)]
    born = [call for pid, found in calls.items() if pid != runtime for call in found]
    assert any("setns(" in call for call in born), "the trace shows nothing"
    assert switched and len(calls) >= (2 if status else 3), "the runtime, stage 1, and the process itself"
    assert [call for call in born if LOADED.search(call)] == [], "not even before it joins"
    executed = {match[1] for call in born if (match := re.search(r'execve(?:at)?\("([^"]*)"', call))}
    assert executed - {""} <= {"/bin/true", "/script"}
    assert not (bundle / "rootfs/sprung").exists()
    assert ended == status


def test_the_trap_springs(arena: Arena) -> None:
    """Control: an interpreter that changes its root and then imports runs the image's code."""
    bundle = arena.bundle("true")
    trap(bundle / "rootfs")
    code = f"import os; os.chroot({str(bundle / 'rootfs')!r}); os.chdir('/'); import linecache"
    subprocess.run(["/usr/bin/python3", "-I", "-S", "-c", code], check=False, stderr=subprocess.DEVNULL)
    assert (bundle / "rootfs/sprung").exists() or sys.version_info[:2] != (3, 11)
