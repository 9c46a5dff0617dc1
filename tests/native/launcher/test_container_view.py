"""What a container could reach through the process that waits for `start`."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.native.launcher.conftest import PYTHON

pytestmark = pytest.mark.root

# Descriptors that may be open while the process waits. No file of ours, none of the interpreter, and no directory but
# the root of a procfs of the container's own processes.
ALLOWED = re.compile(r"/dev/(null|pts/\d+)|pipe:\[\d+\]|socket:\[\d+\]|anon_inode:.*|/[^ ]*/exec\.fifo")

Create = Callable[..., tuple[str, int]]


@pytest.fixture
def create(pyoci: str, reporter: Path, tmp_path: Path) -> Iterator[Create]:
    """create("/reporter", "sleep"): makes a container of these arguments; its id and the process that waits."""
    root = tmp_path / "state"
    made: list[str] = []

    def make(*args: str) -> tuple[str, int]:
        bundle = tmp_path / f"bundle{len(made)}"
        (bundle / "rootfs").mkdir(parents=True)
        shutil.copy(reporter, bundle / "rootfs/reporter")
        (bundle / "rootfs/script").write_text("#!/proc/self/exe\n")
        (bundle / "rootfs/script").chmod(0o755)
        (bundle / "rootfs/link").symlink_to("/proc/self/exe")
        config: dict[str, Any] = {
            "ociVersion": "1.3.0",
            "process": {"cwd": "/", "args": list(args), "user": {"uid": 0, "gid": 0}, "env": ["PATH=/"]},
            "root": {"path": "rootfs"},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
            "linux": {"namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "network")]},
        }
        (bundle / "config.json").write_text(json.dumps(config))
        name = f"view-{os.getpid()}-{len(made)}"
        made.append(name)
        pid_file = tmp_path / "pid"
        command: list[str | Path] = [pyoci, "--root", root, "create", "--bundle", bundle, "--pid-file", pid_file, name]
        with open(tmp_path / "output", "wb") as output:
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=True, timeout=60)
        return name, int(pid_file.read_text())

    yield make
    for name in made:
        subprocess.run([pyoci, "--root", root, "delete", "--force", name], check=True, timeout=60)


def digests() -> dict[str, str]:
    """The files that a container's writes would be found in: interpreter, C library, loader, launcher."""
    maps = Path("/proc/self/maps").read_text()
    files = {str(PYTHON)} | set(re.findall(r"/\S*(?:libc|ld-linux)\S*\.so\S*", maps))
    return {file: hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in files}


def write_through(path: str) -> bool:
    """Whether anything could be written; the file may open (a sealed copy does), the write must fail."""
    try:
        fd = os.open(path, os.O_WRONLY)
    except OSError:
        return False
    try:
        os.write(fd, b"#!/bin/evil\n")
        return True
    except OSError:
        return False
    finally:
        os.close(fd)


def test_executable_is_on_no_mount_of_the_host(create: Create) -> None:
    _, pid = create("/reporter", "sleep")
    fd = os.open(f"/proc/{pid}/exe", os.O_PATH)
    try:
        info = Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines()
        [mount] = [line.split()[1] for line in info if line.startswith("mnt_id")]
        assert os.fstat(fd).st_size == PYTHON.stat().st_size
        assert not write_through(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
    host = Path("/proc/self/mountinfo").read_text().splitlines()
    container = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    assert mount not in {line.split()[0] for line in (*host, *container)}


def test_no_writable_mapping_of_a_file(create: Create) -> None:
    """Shared and writable would reach the host; private mappings are copies."""
    _, pid = create("/reporter", "sleep")
    mapped = [line.split(maxsplit=5) for line in Path(f"/proc/{pid}/maps").read_text().splitlines()]
    assert mapped
    assert not [fields for fields in mapped if "w" in fields[1] and "s" in fields[1]]


def test_open_descriptors(create: Create, tmp_path: Path) -> None:
    _, pid = create("/reporter", "sleep")
    for fd in os.listdir(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{fd}"
        target = os.readlink(path)
        if os.path.isdir(path):
            assert set(os.listdir(path)) == {"1", "self", "thread-self"}, target
        elif target != str(tmp_path / "output"):  # its own standard output
            assert ALLOWED.fullmatch(target)


@pytest.mark.parametrize("entry", ["/proc/self/exe", "/script", "/link"])
def test_entry_point_is_the_runtime_itself(create: Create, pyoci: str, tmp_path: Path, entry: str) -> None:
    """The container executes what it can reach of the host, while a second process tries to write to it."""
    before = digests()
    name, pid = create(entry, "-c", "pass")
    held = os.open(f"/proc/{pid}/exe", os.O_PATH)
    written = 0
    start = subprocess.Popen([pyoci, "--root", tmp_path / "state", "start", name], stderr=subprocess.DEVNULL)
    while start.poll() is None:
        written += write_through(f"/proc/self/fd/{held}") + write_through(f"/proc/{pid}/exe")
    for _ in range(200):
        written += write_through(f"/proc/self/fd/{held}")
    os.close(held)
    assert written == 0
    assert digests() == before


def test_held_executable_after_the_program_has_replaced_it(create: Create, pyoci: str, tmp_path: Path) -> None:
    """As in CVE-2019-5736: no process runs the file any more, so nothing but the seal keeps it from being written."""
    before = digests()
    name, pid = create("/reporter", "sleep")
    held = os.open(f"/proc/{pid}/exe", os.O_PATH)
    subprocess.run([pyoci, "--root", tmp_path / "state", "start", name], check=True)
    assert os.readlink(f"/proc/{pid}/exe") == "/reporter"
    assert not write_through(f"/proc/self/fd/{held}")
    os.close(held)
    assert digests() == before
