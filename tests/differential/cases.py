"""Bundles on which pyoci and runc have to agree. Each is a function that edits config.json of `runc spec`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

Config = dict[str, Any]
Case = Callable[[Config, Path], None]

CASES: dict[str, Case] = {}


def case(function: Case) -> Case:
    CASES[function.__name__] = function
    return function


def mount(config: Config, destination: str, type: str = "", source: str = "", options: str = "", **more: Any) -> None:
    entry = {"destination": destination, "type": type, "source": source, "options": options.split(","), **more}
    config["mounts"].append({key: value for key, value in entry.items() if value not in ("", [""])})


def look_at(config: Config, *paths: str) -> None:
    config["process"]["args"] += paths


def user_namespace(config: Config, bundle: Path) -> None:
    """Two ranges. The root file system belongs to the container's root, as engines leave it."""
    os.chown(bundle / "rootfs", 100000, 100000)
    config["linux"]["namespaces"].append({"type": "user"})
    for kind in ("uidMappings", "gidMappings"):
        config["linux"][kind] = [
            {"containerID": 0, "hostID": 100000, "size": 1000},
            {"containerID": 1000, "hostID": 300000, "size": 5000},
        ]


def tree(bundle: Path) -> Path:
    """A directory with a file, a directory and a link, on the shared mount beside the bundle (run.py)."""
    top = bundle.parent / "shared/tree"
    (top / "inner").mkdir(parents=True)
    (top / "file").write_text("x\n")
    (top / "inner/file").write_text("y\n")
    os.chmod(top / "inner", 0o751)
    os.chown(top / "file", 1000, 1001)
    os.symlink("file", top / "link")
    return top


@case
def plain(config: Config, bundle: Path) -> None:
    look_at(
        config, "/", "/dev", "/dev/null", "/dev/tty", "/dev/ptmx", "/dev/fd", "/dev/core", "/dev/pts", "/proc/kcore"
    )
    look_at(config, "/proc/keys", "/sys/firmware", "/proc/sys", "/sys/fs/cgroup")


@case
def writable_root(config: Config, bundle: Path) -> None:
    config["root"]["readonly"] = False
    config["process"]["cwd"] = "/made/on/the/way"
    look_at(config, "/made", "/made/on/the/way")


@case
def user(config: Config, bundle: Path) -> None:
    user_namespace(config, bundle)
    config["mounts"] = [one for one in config["mounts"] if one["destination"] not in ("/sys/fs/cgroup",)]
    look_at(config, "/dev", "/dev/null", "/dev/zero", "/dev/ptmx", "/dev/tty", "/", "/proc/keys", "/dev/pts/ptmx")


@case
def user_with_cgroups(config: Config, bundle: Path) -> None:
    user_namespace(config, bundle)
    config["linux"]["namespaces"].append({"type": "cgroup"})


@case
def cgroup_namespace(config: Config, bundle: Path) -> None:
    config["linux"]["namespaces"].append({"type": "cgroup"})
    look_at(config, "/sys/fs/cgroup", "/sys/fs/cgroup/cpu")


@case
def writable_cgroups(config: Config, bundle: Path) -> None:
    config["mounts"][-1]["options"] = ["nosuid", "noexec"]


@case
def host_pid_and_network(config: Config, bundle: Path) -> None:
    config["linux"]["namespaces"] = [{"type": name} for name in ("mount", "uts", "ipc")]
    config["linux"]["namespaces"].append({"type": "time"})
    config["linux"]["timeOffsets"] = {"monotonic": {"secs": 1000}}


BIND_OPTIONS = (
    *("bind", "rbind", "bind,ro", "rbind,ro", "rbind,rro", "bind,nosuid,nodev,noexec", "bind,noatime"),
    *("rbind,rnoatime", "bind,nodiratime", "bind,strictatime", "bind,nosymfollow", "bind,rnosymfollow"),
    *("bind,rw,suid,dev,exec", "bind,relatime", "bind,ro,rw", "bind,sync", "bind,noatime,atime", "bind,rprivate"),
    *("rbind,rro,rnosuid,rnodev,rnoexec,rnodiratime", "bind,ro,noatime,nosuid", "rbind,silent", "bind,lazytime"),
)


@case
def binds(config: Config, bundle: Path) -> None:
    top = tree(bundle)
    for number, options in enumerate(BIND_OPTIONS):
        mount(config, f"/bind/{number}", "bind", str(top), options)
        look_at(config, f"/bind/{number}")
    config["root"]["readonly"] = False


@case
def bind_of_files(config: Config, bundle: Path) -> None:
    top = tree(bundle)
    config["root"]["readonly"] = False
    mount(config, "/new/file", "none", str(top / "file"), "bind,ro")
    mount(config, "/new/through-link", "none", str(top / "link"), "rbind")
    mount(config, "/new/directory", "none", str(top / "inner"), "bind")
    mount(config, "/new/relative", "none", "../shared/tree/inner", "bind")
    mount(config, "new/relative-destination/", "none", str(top), "bind")
    mount(config, "/proc/uptime", "none", str(top / "file"), "bind")
    look_at(config, "/new", "/new/file", "/new/through-link", "/new/directory", "/new/relative")
    look_at(config, "/new/relative-destination", "/proc/uptime")


@case
def through_links_of_the_image(config: Config, bundle: Path) -> None:
    root = bundle / "rootfs"
    (root / "real").mkdir()
    os.symlink("/real", root / "absolute")
    os.symlink("real/../../../real", root / "climbing")
    os.symlink("/nowhere/yet", root / "dangling")
    config["root"]["readonly"] = False
    for name in ("absolute/a", "climbing/b", "dangling", "real/../c", "dangling/deeper"):
        mount(config, f"/{name}", "tmpfs", "t", "size=64k")
    look_at(config, "/", "/real", "/nowhere", "/nowhere/yet")


@case
def tmpfs(config: Config, bundle: Path) -> None:
    for name, mode in (("a", 0o700), ("b", 0o1777), ("c", 0o755), ("d", 0o2750)):
        (bundle / "rootfs" / name).mkdir()
        os.chmod(bundle / "rootfs" / name, mode)
        os.chown(bundle / "rootfs" / name, 5, 6)
    config["root"]["readonly"] = False
    mount(config, "/a", "tmpfs", "one", "size=1m,nr_inodes=100")
    mount(config, "/b", "tmpfs", "", "ro,nosuid")
    mount(config, "/c", "tmpfs", "three", "mode=711,uid=7,gid=8,noswap")
    mount(config, "/d", "tmpfs", "four", "rro,noatime")
    mount(config, "/made", "tmpfs", "five", "nodev")
    mount(config, "/made-ro", "tmpfs", "six", "ro,sync,mode=1700")
    look_at(config, *(f"/{name}" for name in ("a", "b", "c", "d", "made", "made-ro")))


@case
def tmpfs_with_copy(config: Config, bundle: Path) -> None:
    top = tree(bundle)
    shutil.copytree(top, bundle / "rootfs/filled", symlinks=True)
    os.chmod(bundle / "rootfs/filled", 0o750)
    mount(config, "/filled", "tmpfs", "tmpfs", "tmpcopyup,ro")
    look_at(config, *(f"/filled{name}" for name in ("", "/file", "/inner", "/inner/file", "/link")))


@case
def other_filesystems(config: Config, bundle: Path) -> None:
    config["root"]["readonly"] = False
    for name in ("lower", "second", "upper", "work"):
        (bundle / name).mkdir()
        (bundle / name / f"from-{name}").write_text(name)
    mount(config, "/proc2", "proc", "proc", "ro,hidepid=invisible,nosuid")
    mount(config, "/pts2", "devpts", "devpts", "newinstance,ptmxmode=0666,mode=600")
    mount(config, "/mq2", "mqueue", "mqueue", "ro")
    lower = f"lowerdir={bundle}/lower:{bundle}/second"
    mount(config, "/over", "overlay", "overlay", f"{lower},upperdir={bundle}/upper,workdir={bundle}/work")
    mount(config, "/over-ro", "overlay", "o", f"ro,{lower},nosuid")
    look_at(config, "/proc2", "/pts2", "/mq2", "/over", "/over-ro")


@case
def overlay_of_many(config: Config, bundle: Path) -> None:
    config["root"]["readonly"] = False
    layers = []
    for number in range(12):
        layer = bundle / f"a-layer-with-a-long-name-{number}"
        layer.mkdir()
        (layer / f"file-{number}").write_text("x")
        layers.append(str(layer))
    mount(config, "/over", "overlay", "overlay", f"lowerdir={':'.join(layers)},nodev,ro")
    look_at(config, "/over")


@case
def sysfs_and_proc_read_only(config: Config, bundle: Path) -> None:
    config["mounts"][0]["options"] = ["ro", "nosuid", "nodev", "noexec"]
    config["linux"]["readonlyPaths"] = []


@case
def dev_read_only(config: Config, bundle: Path) -> None:
    config["mounts"][1]["options"].append("ro")
    config["mounts"][3]["options"].append("ro")
    config["linux"]["resources"]["devices"] = [{"allow": True, "access": "rwm"}]
    config["linux"]["devices"] = [
        {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229},
        {"path": "/dev/deep/er/loop", "type": "b", "major": 7, "minor": 0, "fileMode": 0o640, "uid": 5, "gid": 6},
        {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o20600, "uid": 9},
        {"path": "/pipe", "type": "p", "fileMode": 0o602, "gid": 12},
        {"path": "/dev/ptmx", "type": "c", "major": 5, "minor": 2},
        {"path": "/dev/unbuffered", "type": "u", "major": 1, "minor": 5},
    ]
    config["root"]["readonly"] = False
    look_at(config, "/dev/fuse", "/dev/deep", "/dev/deep/er/loop", "/dev/null", "/pipe", "/dev/ptmx", "/dev/unbuffered")
    look_at(config, "/dev")


@case
def dev_of_the_image(config: Config, bundle: Path) -> None:
    """No mount on /dev: what the image has there stays."""
    config["mounts"] = config["mounts"][:1]
    config["root"]["readonly"] = False
    dev = bundle / "rootfs/dev"
    dev.mkdir()
    (dev / "zero").write_text("a file\n")
    os.symlink("/nowhere", dev / "fd")
    os.mknod(dev / "full", 0o20644, os.makedev(1, 7))
    (dev / "ptmx").write_text("")
    config["linux"]["maskedPaths"] = config["linux"]["readonlyPaths"] = []
    look_at(config, "/dev", "/dev/zero", "/dev/full", "/dev/ptmx", "/dev/null")


@case
def dev_bound(config: Config, bundle: Path) -> None:
    (bundle / "dev").mkdir()
    os.mknod(bundle / "dev/null", 0o20666, os.makedev(1, 3))
    config["mounts"] = config["mounts"][:1]
    mount(config, "/dev/", "bind", str(bundle / "dev"), "bind")
    config["linux"]["maskedPaths"] = []
    look_at(config, "/dev", "/dev/null")


@case
def devices_in_a_user_namespace(config: Config, bundle: Path) -> None:
    user_namespace(config, bundle)
    config["mounts"] = [one for one in config["mounts"] if one["destination"] != "/sys/fs/cgroup"]
    config["root"]["readonly"] = False
    devices = [  # the host's are bound there, and a small /dev has not both
        {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "uid": 3, "gid": 4},
        {"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11, "fileMode": 0o600},
    ]
    config["linux"]["devices"] = [one for one in devices if os.path.exists(str(one["path"]))]
    look_at(config, "/dev/fuse", "/dev/kmsg", "/dev/null")


@case
def masks(config: Config, bundle: Path) -> None:
    root = bundle / "rootfs"
    (root / "directory/inner").mkdir(parents=True)
    (root / "file").write_text("secret\n")
    os.symlink("/directory", root / "to-directory")
    os.symlink("/file", root / "to-file")
    config["linux"]["maskedPaths"] += ["/directory", "/file", "/to-directory", "/to-file", "/missing", "/missing/too"]
    config["linux"]["maskedPaths"] += ["/directory", "/proc/keys", "/proc//keys"]
    config["linux"]["readonlyPaths"] += [
        "/directory",
        "/file",
        "/gone",
        "/dev/shm",
        "/to-file",
        "/proc/sys/",
        "/proc/fs",
    ]
    look_at(config, "/directory", "/file", "/to-directory", "/to-file", "/dev/shm")


@case
def frozen(config: Config, bundle: Path) -> None:
    root = bundle / "rootfs"
    (root / "directory/inner").mkdir(parents=True)
    (root / "file").write_text("public\n")
    os.symlink("/directory", root / "to-directory")
    mount(config, "/directory/inner", "tmpfs", "t", "nosuid,noatime")
    config["linux"]["readonlyPaths"] = [
        "/directory",
        "/file",
        "/to-directory/inner",
        "/missing",
        "/dev/null",
        "/dev/shm",
    ]
    config["root"]["readonly"] = False
    look_at(config, "/directory", "/file", "/directory/inner")


def _propagation(name: str) -> None:
    def edit(config: Config, bundle: Path) -> None:
        if name:
            config["linux"]["rootfsPropagation"] = name
        top = tree(bundle)
        mount(config, "/dev/a", "bind", str(top), "rbind")
        mount(config, "/dev/b", "bind", str(top), "rbind,rslave")
        mount(config, "/dev/c", "bind", str(top), "rbind,rshared")
        mount(config, "/dev/d", "tmpfs", "t", "shared")
        mount(config, "/dev/e", "tmpfs", "t", "unbindable")

    CASES[f"propagation_{name or 'unset'}"] = edit


for _name in ("", "private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable"):
    _propagation(_name)


@case
def changed_mounts(config: Config, bundle: Path) -> None:
    config["root"]["readonly"] = False
    mount(config, "/t", "tmpfs", "t", "size=64k")
    mount(config, "/t", "tmpfs", "t", "remount,size=128k,nosuid")
    mount(config, "/u", "tmpfs", "t", "size=64k,nodev")
    mount(config, "/u", "bind", "/proc", "bind,remount,ro")
    look_at(config, "/t", "/u")


@case
def names_and_sysctls(config: Config, bundle: Path) -> None:
    config["hostname"], config["domainname"] = "h" * 64, "example.org"
    config["linux"]["sysctl"] = {
        "net.ipv4.ip_forward": "1",
        "net/ipv4/conf/lo/forwarding": "0",
        "kernel.shmmax": "1048576",
        "fs.mqueue.msg_max": "16",
        "kernel.msgmnb": "4096",
    }
    config["linux"]["maskedPaths"] = config["linux"]["readonlyPaths"] = []


@case
def without_pivot(config: Config, bundle: Path) -> None:
    config["pivot"] = False
    look_at(config, "/proc/1/root", "/", "/dev")


@case
def idmapped(config: Config, bundle: Path) -> None:
    top = tree(bundle)
    maps = {
        kind: [{"containerID": 0, "hostID": 2000, "size": 500}, {"containerID": 1000, "hostID": 5000, "size": 10}]
        for kind in ("uidMappings", "gidMappings")
    }
    config["root"]["readonly"] = False
    mount(config, "/id/a", "bind", str(top), "bind,idmap", **maps)
    mount(config, "/id/b", "bind", str(top), "rbind,ridmap,ro", **maps)
    mount(config, "/id/c", "bind", str(top), "bind,nosuid", **maps)
    look_at(config, *(f"/id/{name}{file}" for name in "abc" for file in ("", "/file", "/inner")))


@case
def idmapped_as_the_container(config: Config, bundle: Path) -> None:
    user_namespace(config, bundle)
    config["mounts"] = [one for one in config["mounts"] if one["destination"] != "/sys/fs/cgroup"]
    top = tree(bundle)
    config["root"]["readonly"] = False
    mount(config, "/id", "bind", str(top), "bind,idmap")
    look_at(config, "/id", "/id/file", "/id/inner")


@case
def scheduling(config: Config, bundle: Path) -> None:
    config["process"]["scheduler"] = {"policy": "SCHED_BATCH", "nice": 5, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}
    config["process"]["ioPriority"] = {"class": "IOPRIO_CLASS_IDLE", "priority": 3}
    config["process"]["execCPUAffinity"] = {"initial": "0", "final": "0"}
    config["linux"]["personality"] = {"domain": "LINUX32"}
    config["linux"]["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}


@case
def a_deadline(config: Config, bundle: Path) -> None:
    times = {"runtime": 10**7, "deadline": 10**8, "period": 10**8}
    config["process"]["scheduler"] = {"policy": "SCHED_DEADLINE", "flags": ["SCHED_FLAG_RECLAIM"], **times}
    config["process"]["user"] = {"uid": 1000, "gid": 1000}
    config["linux"]["memoryPolicy"] = {"mode": "MPOL_INTERLEAVE", "nodes": "0-5"}
