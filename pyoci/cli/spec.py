"""spec: write a config.json to start from, the one that `runc spec` writes."""

from __future__ import annotations

import os

from pyoci import SPEC_VERSION, jsonfile
from pyoci.cli.bundle import bundle
from pyoci.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyoci.cli.options import Options

_NAME = "config.json"
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
_MASKED = [
    *(f"/proc/{name}" for name in ("acpi", "asound", "kcore", "keys", "latency_stats")),
    *(f"/proc/{name}" for name in ("timer_list", "timer_stats", "sched_debug")),
    "/sys/firmware",
    "/proc/scsi",
]
_READONLY = [f"/proc/{name}" for name in ("bus", "fs", "irq", "sys", "sysrq-trigger")]


def main(options: Options) -> int:
    """Write config.json into the bundle; it is not replaced if it is there."""
    config = example(_has_v2())
    if options.flag("rootless"):
        config = rootless(config, os.geteuid(), os.getegid())
    write(bundle(options), _tabs(jsonfile.dumps_indent(config, 1)), options.umask)
    return 0


def write(directory: str, text: str, umask: int) -> None:
    """Make the file, with the caller's umask. Raises Error, in runc's words, if there is one."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        fd = os.open(f"{directory}/{_NAME}", flags, 0o666 & ~umask)
    except FileExistsError:
        raise Error(f"File {_NAME} exists. Remove it first", pointer="--bundle") from None
    with open(fd, "w", encoding="utf-8") as file:
        file.write(text)


def example(v2: bool) -> dict[str, Any]:
    """A shell in `rootfs`. v2: the host has the cgroup v2 hierarchy alone, so the container gets a view of its own."""
    namespaces = ["pid", "network", "ipc", "uts", "mount", *(["cgroup"] if v2 else [])]
    return {
        "ociVersion": SPEC_VERSION,
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": [_PATH, "TERM=xterm"],
            "cwd": "/",
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), _CAPABILITIES),
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "runc",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            _mount("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
            _mount("/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
            _mount("/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k"),  # noqa: S108 - the container's
            _mount("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
            _mount("/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"),
            _mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro"),
        ],
        "linux": {
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [{"type": name} for name in namespaces],
            "maskedPaths": _MASKED,
            "readonlyPaths": _READONLY,
        },
    }


def rootless(config: dict[str, Any], uid: int, gid: int) -> dict[str, Any]:
    """What of `config` works for user `uid`: one id is mapped, the network is the host's, and nothing is limited."""
    linux = {name: value for name, value in config["linux"].items() if name != "resources"}
    types = [space["type"] for space in linux["namespaces"] if space["type"] != "network"]
    mounts = []
    for mount in config["mounts"]:
        if mount["destination"] == "/sys":  # sysfs needs a network namespace of one's own
            mount = _mount("/sys", "none", "/sys", "rbind,nosuid,noexec,nodev,ro")
        elif "options" in mount:  # the ids of users and groups other than one's own are not mapped
            mount = mount | {"options": [text for text in mount["options"] if not text.startswith(("gid=", "uid="))]}
        mounts.append(mount)
    return config | {
        "mounts": mounts,
        "linux": {
            "uidMappings": [{"containerID": 0, "hostID": uid, "size": 1}],
            "gidMappings": [{"containerID": 0, "hostID": gid, "size": 1}],
            **linux,
            "namespaces": [{"type": name} for name in (*types, "user")],
        },
    }


def _mount(destination: str, type: str, source: str, options: str) -> dict[str, Any]:
    return {"destination": destination, "type": type, "source": source, "options": options.split(",")}


def _has_v2() -> bool:
    return os.path.exists("/sys/fs/cgroup/cgroup.controllers")


def _tabs(text: str) -> str:
    """One space of indentation as one tab, for whoever edits the file."""
    lines = (line.lstrip(" ") for line in text.split("\n"))
    return "\n".join("\t" * (len(old) - len(new)) + new for old, new in zip(text.split("\n"), lines, strict=True))
