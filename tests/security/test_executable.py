"""The host's interpreter is the container's /proc/self/exe for a while, and cannot be written to.

CVE-2019-5736. Whoever breaks the seal sees these tests fail; they write back what they read, so nothing else breaks.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.container.box import until
from tests.security.harness import Arena, everything, helper

pytestmark = pytest.mark.root

OVERLAYFS, TMPFS = 0x794C7630, 0x01021994
F_GET_SEALS = 1034
SEALS = 0xF  # seal, shrink, grow, write


def loader_of(program: Path) -> str:
    """The path of PT_INTERP: where the kernel looks for the program's dynamic loader."""
    image = program.read_bytes()
    (start,) = struct.unpack_from("<Q", image, 32)
    size, count = struct.unpack_from("<HH", image, 54)
    for number in range(count):
        kind, _, offset, _, _, length = struct.unpack_from("<IIQQQQ", image, start + number * size)
        if kind == 3:
            return image[offset : offset + length - 1].decode()
    pytest.fail(f"{program} has no dynamic loader to put the attacker in place of")


def interpreter_of(pyoci: str) -> Path:
    own = Path(pyoci).parent / "python3"
    return (own if own.exists() else Path("/usr/bin/python3")).resolve()


def arm(rootfs: Path, interpreter: Path) -> None:
    """Everything for the attack: a loader that keeps /proc/self/exe open, and a program that writes to it."""
    shutil.copy(helper("overwrite"), rootfs / "overwrite")
    loader = rootfs / loader_of(interpreter).lstrip("/")
    loader.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(helper("loader", "-nostdlib", "-static-pie", "-fPIE", "-fno-stack-protector"), loader)


def lay(rootfs: Path, interpreter: Path) -> None:
    """arm(), and everything that TARGETS names."""
    arm(rootfs, interpreter)
    for name, text in (("script", "#!/proc/self/exe\n"), ("second-script", "#!/first\n")):
        (rootfs / name).write_text(text)
        (rootfs / name).chmod(0o755)
    (rootfs / "link").symlink_to("/proc/self/exe")
    (rootfs / "first").symlink_to("/link")


TARGETS = {
    "program": "/proc/self/exe",
    "script": "/script",
    "link": "/link",
    "links": "/first",
    "script through a link": "/second-script",
}


@pytest.mark.parametrize("target", TARGETS)
def test_the_container_executes_the_interpreter(any_arena: Arena, pyoci: str, target: str) -> None:
    """The program is /proc/self/exe, by name, by script, by links: the file it gets can be executed, never written."""
    bundle = any_arena.bundle(TARGETS[target], "x")
    lay(bundle / "rootfs", interpreter_of(pyoci))
    done = any_arena.run(bundle)
    size = interpreter_of(pyoci).stat().st_size
    assert done.stdout.splitlines() == [f"tried {size}"], f"a write succeeded, or the attack has not arrived: {done}"


def test_a_neighbour_in_the_same_pid_namespace(arena: Arena, pyoci: str) -> None:
    """With CAP_SYS_PTRACE it opens /proc/PID/exe of containers that are being made beside it, and holds on to it."""

    def hunter(config: dict[str, Any]) -> None:
        everything(config)
        for kind in ("bounding", "effective", "permitted"):
            config["process"]["capabilities"][kind] += ["CAP_SYS_PTRACE", "CAP_CHECKPOINT_RESTORE"]

    first = arena.bundle("/overwrite", "600s", change=hunter)
    arm(first / "rootfs", interpreter_of(pyoci))
    done = arena("run", "--detach", "--bundle", str(first), "hunter")
    assert done.returncode == 0, done.stderr
    output = Path(arena.directory, f"output-{arena.count}.out")
    namespace = f"/proc/{arena.state('hunter')['pid']}/ns/pid"

    def neighbour(config: dict[str, Any]) -> None:
        entry = next(one for one in config["linux"]["namespaces"] if one["type"] == "pid")
        entry["path"] = namespace

    for number in range(10):
        arena.create(arena.bundle("true", change=neighbour), f"c{number}")
    until(lambda: output.read_text().count("tried") >= 10, "the hunter has seen ten processes")
    for number in range(10):
        assert arena("start", f"c{number}").returncode == 0
    size = interpreter_of(pyoci).stat().st_size
    assert f"tried {size}\n" in output.read_text()
    assert f"wrote {size}\n" not in output.read_text()  # it may write to its neighbours' programs


def test_the_seal(any_arena: Arena, pyoci: str) -> None:
    """What waits for start executes a detached read-only overlay, or a memfd with every seal."""
    pid = any_arena.create(any_arena.bundle("true"))
    file = os.open(f"/proc/{pid}/exe", os.O_RDONLY)
    try:
        interpreter = interpreter_of(pyoci).stat()
        assert os.fstat(file).st_size == interpreter.st_size
        assert os.fstat(file).st_dev != interpreter.st_dev
        if os.readlink(f"/proc/{pid}/exe").startswith("/memfd:"):
            assert fcntl.fcntl(file, F_GET_SEALS) & SEALS == SEALS
        else:
            mounts = Path("/proc/self/mountinfo").read_text() + Path(f"/proc/{pid}/mountinfo").read_text()
            assert os.fstatvfs(file).f_flag & os.ST_RDONLY
            assert mount_id(file) not in {line.split()[0] for line in mounts.splitlines()}
            with pytest.raises(OSError, match="Read-only file system"):
                os.open(f"/proc/{pid}/exe", os.O_WRONLY)
    finally:
        os.close(file)


def mount_id(file: int) -> str:
    return next(
        line.split()[1] for line in Path(f"/proc/self/fdinfo/{file}").read_text().splitlines() if "mnt_id" in line
    )


def test_nothing_of_the_host_is_mapped_to_be_written(any_arena: Arena) -> None:
    pid = any_arena.create(any_arena.bundle("true"))
    mapped = [line.split(maxsplit=5) for line in Path(f"/proc/{pid}/maps").read_text().splitlines()]
    files = [fields for fields in mapped if fields[4] != "0"]
    assert any("libc" in fields[5] for fields in files)  # it is the right process
    assert [fields for fields in files if "s" in fields[1]] == []
