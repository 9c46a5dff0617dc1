"""What a plan depends on besides config.json: names that the caller chose, and facts that were read before. Pure."""

from __future__ import annotations

from pyoci.host import Host
from pyoci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from pyoci.cgroups.hierarchies import Layout
    from pyoci.cgroups.systemd.names import Unit
    from pyoci.config import Config
    from pyoci.config.linux import Linux
    from pyoci.config.resources import DeviceRule
    from pyoci.rdt.group import Group

    class ProcessInputs(Protocol):
        """What the caller passes on to the program, by create or by exec."""

        @property
        def keyring(self) -> str: ...
        @property
        def preserve(self) -> int: ...
        @property
        def listen(self) -> int: ...
        @property
        def file_limit(self) -> tuple[int, int] | None: ...
        @property
        def notify(self) -> str: ...
        @property
        def pipes(self) -> tuple[int, ...]: ...


class CreateInputs(Record):
    """What a plan of create depends on.

    bundle, rootfs: absolute paths. layout: the host's cgroups; cgroups: the container's, by controller.
    device_rules: the complete ordered list. notify: the directory of the notify socket, or "".
    unit: what systemd is to make, with its driver; `cgroups` is then where it is expected.
    listen: descriptors passed by socket activation, counted in preserve as well.
    keyring: the name of the session keyring that is made for it, "" for the caller's own.
    rdt: the group of linux.intelRdt. pipes: the standard streams that are pipes to the runtime.
    """

    id: str
    bundle: str
    rootfs: str
    host: Host
    layout: Layout
    cgroups: dict[str, str]
    unit: Unit | None = None
    device_rules: tuple[DeviceRule, ...] = ()
    no_pivot: bool = False
    keyring: str = ""
    preserve: int = 0
    file_limit: tuple[int, int] | None = None  # RLIMIT_NOFILE as the caller had it, if it was raised meanwhile
    listen: int = 0
    notify: str = ""
    rootless_cgroups: bool = False
    rdt: Group | None = None
    pipes: tuple[int, ...] = ()

    def cgroups_optional(self, linux: Linux) -> bool:
        """Whether the container may do without cgroups, if none can be had and it names none."""
        return self.rootless_cgroups and not linux.cgroups_path and self.unit is None


class ExecInputs(Record):
    """What a plan of exec depends on besides the process: facts about the container, and what the caller passed on.

    joins: the kinds of namespaces, keys of NAMESPACES, in which the container is not where the runtime is; inodes: the
    device and inode of each. drop_groups: the runtime may call setgroups(2).
    privileged: the runtime is root of the machine, which may schedule a process of any user.
    set_groups: setgroups(2) is not forbidden there. umask: the process's. cgroups: where it goes, by controller.
    chroot: the container has no mount namespace, its root is entered by a descriptor.
    pipes: the standard streams that are pipes to the runtime; owner: its ids of the container's root.
    """

    id: str
    joins: tuple[str, ...]
    inodes: tuple[tuple[int, int], ...] = ()
    drop_groups: bool = True
    set_groups: bool
    chroot: bool
    umask: int
    cgroups: dict[str, str]
    optional_cgroups: bool = False
    asked_cgroups: bool = False  # they are those that --cgroup names
    fallback_cgroup: str = ""  # v2: where the container's first process is now, if that is another one
    keyring: str = ""  # the container's session keyring
    preserve: int = 0
    listen: int = 0
    file_limit: tuple[int, int] | None = None
    notify: str = ""
    rdt_path: str = ""
    rdt_monitor: str = ""
    pid: int = 0  # the container's first process
    bundle: str = ""
    annotations: dict[str, str] = {}
    privileged: bool = True
    pipes: tuple[int, ...] = ()
    owner: tuple[int, int] = (0, 0)


def denies_setgroups(config: Config, host: Host) -> bool:
    """Whether setgroups(2) must be forbidden: an unprivileged runtime that maps its own group and nothing else."""
    maps = config.linux.gid_mappings
    return host.euid != 0 and len(maps) == 1 and (maps[0].host_id, maps[0].size) == (host.egid, 1)


def may_set_groups(config: Config, host: Host) -> bool:
    """Whether the container's process may call setgroups(2), as far as that is known before there is one."""
    return host.set_groups and not denies_setgroups(config, host)
