"""The bundle that is measured: busybox with every namespace but user, the mounts and masks of `runc spec`."""

from __future__ import annotations

import json
import os
import shutil
from typing import Any

_CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
_MASKED = ["acpi", "asound", "kcore", "keys", "latency_stats", "timer_list", "timer_stats", "sched_debug", "scsi"]
_READ_ONLY = ["bus", "fs", "irq", "sys", "sysrq-trigger"]
_NO = ["nosuid", "noexec", "nodev"]


def config(args: list[str]) -> dict[str, Any]:
    """config.json of a container that runs `args`."""
    sets = ("bounding", "effective", "permitted")
    return {
        "ociVersion": "1.2.0",
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": args,
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": dict.fromkeys(sets, _CAPABILITIES),
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "bench",
        "mounts": [
            _mount("/proc", "proc", []),
            _mount("/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
            _mount("/dev/pts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
            _mount("/dev/shm", "tmpfs", [*_NO, "mode=1777", "size=65536k"], "shm"),  # noqa: S108 - the container's
            _mount("/dev/mqueue", "mqueue", _NO),
            _mount("/sys", "sysfs", [*_NO, "ro"]),
            _mount("/sys/fs/cgroup", "cgroup", [*_NO, "relatime", "ro"]),
        ],
        "linux": {
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [{"type": name} for name in ("pid", "network", "ipc", "uts", "mount", "cgroup")],
            "maskedPaths": [f"/proc/{name}" for name in _MASKED] + ["/sys/firmware"],
            "readonlyPaths": [f"/proc/{name}" for name in _READ_ONLY],
        },
    }


def make(directory: str, args: list[str]) -> str:
    """Makes the bundle in `directory` and returns it. Raises FileNotFoundError without busybox-static."""
    rootfs = f"{directory}/rootfs"
    for name in ("bin", "dev", "proc", "sys", "tmp"):
        os.makedirs(f"{rootfs}/{name}")
    busybox = shutil.which("busybox")
    if busybox is None:
        raise FileNotFoundError("busybox: install busybox-static")
    shutil.copy(busybox, f"{rootfs}/bin/busybox")
    for name in ("true", "sleep", "sh"):
        os.symlink("busybox", f"{rootfs}/bin/{name}")
    with open(f"{directory}/config.json", "w") as file:
        json.dump(config(args), file)
    return directory


def _mount(destination: str, kind: str, options: list[str], source: str = "") -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": source or kind, "options": options}
