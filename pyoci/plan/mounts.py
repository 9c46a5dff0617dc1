"""The part of a plan that makes the container's file system: root, mounts, devices, links, masks. Pure.

Steps that few containers need are imported where they are planned: before the process exists, after which no import is
possible, and only when they are needed, since each module costs 0.03 ms.
"""

from __future__ import annotations

from pyoci.config import Config
from pyoci.config.filesystem import Mount
from pyoci.config.linux import DEFAULT_DEVICES, Device
from pyoci.errors import ConfigError
from pyoci.kernel.constants import MOUNT_ATTR_RDONLY, MS_PRIVATE, MS_REC, MS_SHARED, MS_SLAVE, MS_UNBINDABLE
from pyoci.pathname import below, clean
from pyoci.steps.host import sources
from pyoci.steps.host.context import HostStep
from pyoci.steps.init import binds, devices, mounts, paths, rootfs
from pyoci.steps.init.context import InitStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    from pyoci.plan.inputs import CreateInputs
    from pyoci.steps.init.sources import OpenSourceInside

    Opening = TypeVar("Opening", sources.OpenSource, OpenSourceInside)

NOTIFY_DIRECTORY = "/run/notify"


def source(one: Mount, bundle: str) -> str:
    """The name on the host of what a bind mount shows: a relative one begins at the bundle."""
    return one.source if one.source.startswith("/") else f"{bundle}/{one.source}"


class Mounts:
    """The steps for `root`, `mounts`, `linux.devices` and the paths that are hidden or frozen."""

    def __init__(self, config: Config, inputs: CreateInputs) -> None:
        self.config = config
        self.inputs = inputs
        self.linux = config.linux
        namespace = config.linux.namespace("mount")
        self.private = namespace is not None
        self.user = config.linux.namespace("user") is not None
        self.propagation = config.linux.rootfs_propagation
        self.mounts = tuple(map(self._in_root, config.mounts)) + self._notify()
        self.dev_is_bound = any(one.bind and clean(one.destination) == "/dev" for one in self.mounts)
        if inputs.no_pivot and self.propagation & ~MS_REC == MS_PRIVATE:
            raise ConfigError(
                "rootfsPropagation private cannot be had with --no-pivot",
                pointer="/linux/rootfsPropagation",
                hint="leave --no-pivot or the property out",
            )

    def _notify(self) -> tuple[Mount, ...]:
        """The directory of the notify socket, read-only, where the program will find it (sd_notify(3))."""
        if not self.inputs.notify:
            return ()
        return (
            Mount(
                pointer="NOTIFY_SOCKET",
                destination=NOTIFY_DIRECTORY,
                source=self.inputs.notify,
                bind=True,
                attr_set=MOUNT_ATTR_RDONLY | 0x2 | 0x4 | 0x8,
            ),
        )

    def _in_root(self, one: Mount) -> Mount:
        """A destination that is written as the host's name of a place below the root file system is that place."""
        inside = self._below_root(clean(one.destination))
        return one.replace(destination=inside) if inside else one

    def _below_root(self, name: str) -> str:
        """What a clean name of the host is below the root file system; "" if it is not there, by its letters."""
        return below(name, self.inputs.rootfs)

    def _source(self, one: Mount) -> str:
        return source(one, self.inputs.bundle)

    def _inside(self, one: Mount) -> str:
        """The source's name below the root, if it lies there: an earlier mount may provide it, so it is opened late."""
        return self._below_root(clean(self._source(one)))

    def _source_propagation(self, one: Mount) -> int:
        """What a bind mount keeps of the host's peer group: what it asks for itself, else what the root does.

        Shared: 0, it stays a member. Private: nothing. Otherwise it receives the host's mounts and gives none.
        """
        wanted = {flags & ~MS_REC for flags in one.propagation or (self.propagation,)}
        if MS_SHARED in wanted:
            return 0
        return MS_PRIVATE if MS_PRIVATE in wanted else MS_SLAVE

    def sources(self) -> tuple[HostStep, ...]:
        """Open the sources of bind mounts before the clone, if the runtime is privileged.

        A source whose ids are mapped is opened here in any case. Its mappings are in terms of the ids that the runtime
        sees, and the kernel maps a mount only for somebody who is privileged over its file system: root of a user
        namespace is that for file systems which were mounted in it, such as a tmpfs, or podman's overlay.
        """
        privileged = self.inputs.host.privileged()
        steps: list[HostStep] = []
        for one in self.mounts:
            if not one.bind or one.remount:
                continue
            if one.id_map:
                steps.append(self._open_mapping(one))
            if (privileged or one.id_map) and not self._inside(one):
                steps.append(self._opened(sources.OpenSource, one))
        return tuple(steps)

    def _sources_inside(self) -> tuple[InitStep, ...]:
        """The rest, by the container's process."""
        if self.inputs.host.privileged():
            return ()
        from pyoci.steps.init.sources import OpenSourceInside

        return tuple(
            self._opened(OpenSourceInside, one)
            for one in self.mounts
            if one.bind and not one.remount and not one.id_map and not self._inside(one)
        )

    def _opened(self, step: type[Opening], one: Mount) -> Opening:
        """The step that opens the source, by whichever process."""
        return step(
            pointer=f"{one.pointer}/source",
            mount=one,
            source=self._source(one),
            rootfs=self.inputs.rootfs,
            propagation=self._source_propagation(one),
            locked=self.user,
        )

    def _open_mapping(self, one: Mount) -> HostStep:
        from pyoci.steps.host import idmap

        pointer = f"{one.pointer}/uidMappings"
        if self.inputs.host.euid != 0:
            raise ConfigError(
                f"invalid mount on {one.destination}: id-mapped mounts are not supported for rootless containers",
                pointer=pointer if one.uid_mappings else one.pointer,
                hint="the kernel wants privileges over the source's file system: leave the mappings out",
            )
        if one.uid_mappings or one.gid_mappings:
            return idmap.OpenIdMapping(pointer=pointer, uid_mappings=one.uid_mappings, gid_mappings=one.gid_mappings)
        user = self.linux.namespace("user")
        if user is None:
            raise ConfigError(
                f"mount on {one.destination} asks for {one.id_map} without mappings, "
                "and there is no user namespace to take them from",
                pointer=one.pointer,
                hint="add uidMappings and gidMappings to the mount",
            )
        return idmap.OpenIdMapping(
            pointer=pointer,
            uid_mappings=self.linux.uid_mappings,
            gid_mappings=self.linux.gid_mappings,
            joined=user.pointer if user.path else "",
        )

    def make(self) -> tuple[InitStep, ...]:
        """From the fresh mount namespace to a complete file system, before the root switch."""
        steps: list[InitStep] = []
        if self.private:
            steps.append(rootfs.SetRootPropagation(propagation=MS_SLAVE | MS_REC))
        steps += self._sources_inside()
        if self.private:
            slave = self.propagation & ~MS_REC == MS_SLAVE
            steps.append(rootfs.MountRoot(path=self.inputs.rootfs, parent=MS_SLAVE if slave else MS_PRIVATE))
        else:
            steps.append(rootfs.OpenRoot(path=self.inputs.rootfs))
        steps += [self._mount(one) for one in self.mounts]
        if not self.dev_is_bound:
            steps += self._devices()
        return tuple(steps)

    def _mount(self, one: Mount) -> InitStep:
        if one.remount:
            return mounts.ChangeMount(pointer=one.pointer, mount=one, locked=self.user)
        if one.bind:
            return binds.BindMount(
                pointer=one.pointer,
                mount=one,
                inside=self._inside(one),
                propagation=self._source_propagation(one),
                locked=self.user,
            )
        if one.type in ("cgroup", "cgroup2"):
            return self._cgroup(one)
        label = self.linux.mount_label
        if label:
            from pyoci.steps.init import selinux

            one = selinux.labelled(one, label)
            if one.type == "mqueue":
                return selinux.MountLabelledQueue(pointer=one.pointer, mount=one, label=label, locked=self.user)
        kind = mounts.MountFilesystem
        if one.copy_up:
            from pyoci.steps.init.copyup import MountCopy as kind
        return kind(pointer=one.pointer, mount=one, read_only_later=one.read_only_later(), locked=self.user)

    def _cgroup(self, one: Mount) -> InitStep:
        from pyoci.steps.init import cgroup_mounts

        layout, own = self.inputs.layout, self.inputs.cgroups
        private = self.linux.namespace("cgroup") is not None
        if layout.version == "v2":
            return cgroup_mounts.MountCgroup2(
                pointer=one.pointer,
                mount=one,
                host=layout.mounts[""],
                own=own.get("", ""),
                private=private,
                label=self.linux.mount_label,
            )
        hierarchies: list[tuple[str, str, str, str]] = []
        links: list[tuple[str, str]] = []
        for controller, point in layout.mounts.items():
            name = point.rpartition("/")[2]
            options = "" if controller == "" else _hierarchy_options(controller, point, layout.mounts)
            if any(name == known for known, *_ in hierarchies):
                continue
            runtimes = f"{point}{clean(layout.own.get(controller, '/'))}".rstrip("/")
            hierarchies.append((name, options, own.get(controller, point), runtimes))
            links += [(part, name) for part in name.split(",") if "," in name]
        return cgroup_mounts.MountCgroup1(
            pointer=one.pointer,
            mount=one,
            hierarchies=tuple(hierarchies),
            links=tuple(links),
            private=private,
            optional=self.inputs.cgroups_optional(self.linux),
            label=self.linux.mount_label,
        )

    def _devices(self) -> tuple[InitStep, ...]:
        bind = self.user or self.inputs.host.user_namespace
        given = {clean(one.path) for one in self.linux.devices}
        every = [
            Device(pointer="/linux/devices", type="c", path=path, major=major, minor=minor)
            for path, major, minor in DEFAULT_DEVICES
            if path not in given
        ]
        every += [one for one in self.linux.devices if clean(one.path) != "/dev/ptmx"]
        steps: list[InitStep] = [
            devices.MakeDevice(pointer=one.pointer, device=one, bind=bind and one.type != "p") for one in every
        ]
        steps.append(devices.MakeLink(path="/dev/ptmx", target="pts/ptmx", overwrite=True))
        links = devices.LINKS + ((("/dev/core", "/proc/kcore"),) if self.inputs.host.kcore else ())
        steps += [devices.MakeLink(path=path, target=target) for path, target in links]
        return tuple(steps)

    def switch(self, terminal: tuple[InitStep, ...], cwd: str) -> tuple[InitStep, ...]:
        """The root switch and what comes after it, up to read-only; `terminal` while /dev can still be written."""
        steps: list[InitStep] = []
        if not self.private:
            steps.append(rootfs.ChangeRoot())
        elif self.inputs.no_pivot:
            steps.append(rootfs.MoveRoot(path=self.inputs.rootfs))
        else:
            steps.append(rootfs.PivotRoot())
        kind = self.propagation & ~MS_REC
        if self.private and kind == MS_SHARED:
            steps.append(rootfs.SetFinalPropagation(propagation=self.propagation))
        if not self.dev_is_bound:
            steps.append(rootfs.ReopenStandardStreams())
        steps.append(rootfs.MakeWorkingDirectory(path=cwd))
        steps += terminal
        for one in self.mounts:
            if one.read_only_later():
                steps.append(rootfs.MakeReadOnly(pointer=one.pointer, path=clean(one.destination)))
        if self.config.root is not None and self.config.root.readonly:
            steps.append(rootfs.MakeReadOnly(pointer="/root/readonly", path="/"))
        return tuple(steps)


def _hierarchy_options(controller: str, point: str, every: dict[str, str]) -> str:
    """Mount options that name a v1 hierarchy: all its controllers, or its name."""
    if controller.startswith("name="):
        return f"none,{controller}"
    return ",".join(name for name, where in every.items() if where == point)


def hide(config: Config) -> tuple[InitStep, ...]:
    """linux.readonlyPaths, then linux.maskedPaths; each path once. Only after them may the root become unbindable."""
    steps: list[InitStep] = []
    for one in _unique(config.linux.readonly_paths):
        steps.append(paths.MakePathReadOnly(pointer=one.pointer, path=one.path))
    masked = _unique(config.linux.masked_paths)
    steps += [paths.MaskPath(pointer=one.pointer, path=one.path, label=config.linux.mount_label) for one in masked]
    if masked:
        steps.append(paths.CloseMask())
    propagation = config.linux.rootfs_propagation
    if propagation & ~MS_REC == MS_UNBINDABLE and config.linux.namespace("mount") is not None:
        steps.append(rootfs.SetFinalPropagation(propagation=propagation))
    return tuple(steps)


def _unique(every: tuple[Path, ...]) -> list[Path]:
    return list({clean(one.path): one for one in reversed(every)}.values())[::-1]


if TYPE_CHECKING:
    from pyoci.config.linux import Path
