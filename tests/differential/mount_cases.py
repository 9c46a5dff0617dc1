"""More cases: bind mounts whose source has attributes of its own, or is put in its place by an earlier mount."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.differential.cases import CASES, Config, look_at, mount, tree, user_namespace

# Attributes of a mount of the host, and options that runc takes for it in a container with a user namespace, too.
ATTRIBUTES = {
    "nosuid,nodev,noexec": ("bind", "rbind,ro", "bind,nosymfollow", "bind,noexec,norelatime", "rbind,rro", "bind,rw"),
    "ro,noexec,nosymfollow,nodiratime": ("bind", "bind,dev", "bind,symfollow", "bind,nosuid,nodev,rprivate", "rbind"),
    "nosuid,nodev,noatime": ("bind,ro,exec", "bind,noexec", "bind,nosuid,nodev,noatime,ro", "rbind,rnosuid,rnoatime"),
    "noatime": ("bind", "bind,atime", "bind,norelatime", "bind,noatime,ro", "bind,diratime,ro", "rbind,rro"),
    "relatime": ("bind,norelatime", "bind,ro", "bind,relatime,nosuid"),
    "strictatime": ("bind,nostrictatime", "bind,strictatime,nodev"),
    "noatime,nodiratime": ("bind,norelatime", "bind,atime", "bind,nodiratime,noatime"),
    "nodiratime,relatime": ("bind,diratime", "bind,nodiratime", "bind,nodiratime,norelatime"),
}
# Without a user namespace: everything can be had.
CHANGED = {
    "nosuid,nodev,noexec,noatime": ("bind,dev,suid,exec,atime", "bind,ro", "rbind,rexec,rsuid", "bind,strictatime"),
    "ro,noatime": ("bind,rw", "bind,nodiratime", "bind,nodiratime,strictatime", "rbind,rrw,rrelatime", "bind,exec"),
    "noatime,nodiratime": ("bind,strictatime", "bind,relatime", "rbind,rdiratime", "bind,nodiratime"),
}


def binds_of(config: Config, bundle: Path, table: dict[str, tuple[str, ...]]) -> None:
    """Two mounts of the host for every row, made by the scene (run.py); "rbind" gets the one with a mount below it.

    "bind" of that one would be refused in a user namespace: it shows what the mount below covers.
    """
    scene = []
    for number, (attributes, every) in enumerate(table.items()):
        host = {name: bundle.parent / f"{name}-{number}" for name in ("bind", "rbind")}
        for name, place in host.items():
            place.mkdir()
            scene += [f"mount -t tmpfs -o strictatime,mode=755 host '{place}'"]
            if name == "rbind":
                below = f"'{place}/below'"
                scene += [f"mkdir {below}", f"mount -t tmpfs -o nosuid,noexec,noatime,mode=755 below {below}"]
            scene += [f"mount -o remount,bind,{attributes} '{place}'"]
        for index, options in enumerate(every):
            mount(config, f"/bind/{number}/{index}", "bind", str(host[options.partition(",")[0]]), options)
            look_at(config, f"/bind/{number}/{index}")
    config["root"]["readonly"] = False
    config["mounts"] = [one for one in config["mounts"] if one["destination"] != "/sys/fs/cgroup"]
    (bundle.parent / "scene").write_text("\n".join(scene) + "\n")


def _attributes(user: bool) -> None:
    def edit(config: Config, bundle: Path) -> None:
        if user:
            user_namespace(config, bundle)
        binds_of(config, bundle, ATTRIBUTES if user else ATTRIBUTES | CHANGED)

    CASES["attributes_of_the_host" + ("_in_a_user_namespace" if user else "")] = edit


def _order(user: bool, mapped: bool) -> None:
    """Mounts upon mounts, whose sources and targets are written as the host's names below the root file system."""

    def edit(config: Config, bundle: Path) -> None:
        if user:
            user_namespace(config, bundle)
        config["mounts"] = [one for one in config["mounts"] if one["destination"] != "/sys/fs/cgroup"]
        config["root"]["readonly"] = False
        rootfs = bundle / "rootfs"
        for name in ("a", "b", "c"):
            (bundle.parent / f"shared/{name}/{name}").mkdir(parents=True)
            (bundle.parent / f"shared/{name}/{name}/file").write_text(f"{name}\n")
            for place in ("x", "y", "z"):
                (bundle.parent / f"shared/{name}/{place}").mkdir()
        (rootfs / "mnt").mkdir()
        (rootfs / "final").mkdir()
        maps = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        own = {"uidMappings": maps, "gidMappings": maps} if mapped else {}
        mount(config, "/mnt", "bind", str(bundle.parent / "shared/a"), "bind,rprivate")
        mount(config, "/mnt/x", "bind", str(bundle.parent / "shared/b"), "bind,rprivate")
        mount(config, "/mnt/x/y", "bind", str(bundle.parent / "shared/c"), "bind,rprivate")
        mount(config, f"{rootfs}/mnt/x/y/z", "bind", f"{rootfs}/mnt/x", "rbind,rprivate", **own)
        mount(config, f"{rootfs}/mnt/z", "bind", "rootfs/mnt/x/y/c", "bind,rprivate,ro", **own)
        mount(config, f"{rootfs}/final", "bind", f"{rootfs}/mnt", "rbind,rprivate,nosuid", **own)
        for name in ("a/file", "x/b/file", "x/y/c/file", "x/y/z/b/file", "x/y/z/y", "z/file"):
            look_at(config, f"/mnt/{name}", f"/final/{name}")

    CASES["mounts_upon_mounts" + "_mapped" * mapped + "_in_a_user_namespace" * user] = edit


def _remembered(config: Config, bundle: Path) -> None:
    """Files, a tmpfs, procfs and what was copied up, each shown once more; a source that the image has."""
    top = tree(bundle)
    rootfs = bundle / "rootfs"
    shutil.copytree(top, rootfs / "own", symlinks=True)
    config["root"]["readonly"] = False
    mount(config, "/put", "bind", str(top / "file"), "bind")
    mount(config, "/put-again", "bind", str(rootfs / "put"), "bind,ro")
    mount(config, "/tmpfs", "tmpfs", "t", "size=64k,mode=711")
    mount(config, "/tmpfs-again", "bind", str(rootfs / "tmpfs"), "bind,nosuid")
    mount(config, "/proc-again", "bind", str(rootfs / "proc"), "rbind,ro")
    mount(config, "/own-again", "bind", str(rootfs / "own/inner"), "bind")
    mount(config, "/linked-again", "bind", str(rootfs / "own/link"), "bind")
    for name in ("put", "tmpfs", "own"):
        look_at(config, f"/{name}", f"/{name}-again")
    look_at(config, "/proc-again", "/own-again/file", "/linked-again")


for _user in (False, True):
    _attributes(_user)
    for _mapped in (False, True):
        _order(_user, _mapped)
CASES["sources_that_are_mounted_first"] = _remembered
