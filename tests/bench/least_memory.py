"""The smallest memory limit with which a runtime runs /bin/true, on cgroup v2; a table for docs/measurements.md.

    tests/lanes/guest python3 tests/bench/least_memory.py

A limit counts if three runs in a row end with status 0. Swap is off for the container, so that it cannot help.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

KB = 1024
STEP = 16 * KB
TRIES = 3
RUNTIMES = {"pyoci": os.environ.get("PYOCI", "pyoci"), "crun": "crun", "runc": "runc"}
NAMESPACES = ("pid", "network", "ipc", "uts", "mount", "cgroup")


def bundle(directory: Path, program: Path) -> Path:
    (directory / "rootfs/bin").mkdir(parents=True)
    shutil.copy(program, directory / "rootfs/bin/true")
    for name in ("proc", "dev", "sys"):
        (directory / "rootfs" / name).mkdir()
    return directory


def configure(directory: Path, limit: int) -> None:
    config = {
        "ociVersion": "1.0.2",
        "process": {"args": ["/bin/true"], "cwd": "/", "user": {"uid": 0, "gid": 0}, "noNewPrivileges": True},
        "root": {"path": "rootfs", "readonly": True},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
        ],
        "linux": {
            "namespaces": [{"type": name} for name in NAMESPACES],
            "cgroupsPath": "/least-memory",
            "resources": {
                "devices": [{"allow": False, "access": "rwm"}],
                "memory": {"limit": limit, "swap": limit} if limit else {},
            },
            "maskedPaths": ["/proc/kcore", "/proc/keys"],
            "readonlyPaths": ["/proc/sys"],
        },
    }
    (directory / "config.json").write_text(json.dumps(config))


def runs(runtime: str, directory: Path, limit: int) -> bool:
    configure(directory, limit)
    for _ in range(TRIES):
        command = [runtime, "--root", "/run/least-memory", "run", "--bundle", str(directory), "least"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
        subprocess.run(
            [runtime, "--root", "/run/least-memory", "delete", "-f", "least"], capture_output=True, check=False
        )
        if done.returncode != 0:
            last.append(f"{limit // KB} KiB: {done.stderr.decode(errors='replace').strip()}")
            return False
    return True


last: list[str] = []


def least(runtime: str, directory: Path) -> int:
    """By halving; bytes."""
    low, high = 0, 64 * KB * KB
    if not runs(runtime, directory, high):
        sys.exit(f"{runtime} runs with no limit: {last[-1]}")
    while high - low > STEP:
        middle = (low + high) // 2 // STEP * STEP
        if runs(runtime, directory, middle):
            high = middle
        else:
            low = middle
    return high


def peak(runtime: str, directory: Path) -> int:
    """What a container without a limit has used once it is created and waits for start."""
    configure(directory, 0)
    head = [runtime, "--root", "/run/least-memory"]
    subprocess.run([*head, "create", "--bundle", str(directory), "least"], stdin=subprocess.DEVNULL, check=True)
    try:
        return int(Path("/sys/fs/cgroup/least-memory/memory.peak").read_text())
    finally:
        subprocess.run([*head, "delete", "-f", "least"], check=True)


def main() -> None:
    program = Path(sys.argv[1] if len(sys.argv) > 1 else "/bin/busybox")
    print("| runtime | smallest limit that runs /bin/true | used at most when created, without a limit |")
    print("|---|---|---|")
    with tempfile.TemporaryDirectory() as directory:
        place = bundle(Path(directory) / "bundle", program)
        for name, runtime in RUNTIMES.items():
            smallest = least(runtime, place)
            print(f"| {name} | {smallest // KB} KiB | {peak(runtime, place) // KB} KiB |", flush=True)
            print(f"{name}: {last[-1]}", file=sys.stderr)


if __name__ == "__main__":
    main()
