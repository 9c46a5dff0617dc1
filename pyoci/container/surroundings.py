"""What a plan needs besides config.json: facts of the host, and what the caller has passed on."""

from __future__ import annotations

import os
from resource import RLIMIT_NOFILE, getrlimit

from pyoci import host, plan
from pyoci.cgroups import layout, paths
from pyoci.cgroups.devices import container_rules
from pyoci.container.console import listen_fds
from pyoci.errors import Error
from pyoci.kernel.process import raise_file_limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.config import Config
    from pyoci.config.namespaces import IdMapping
    from pyoci.container.create import CreateOptions


def surroundings(config: Config, options: CreateOptions, facts: host.Host | None = None) -> plan.Surroundings:
    """Read what the plan needs besides config.json: facts of the host (unless given) and what the caller passed on."""
    if config.root is None:
        raise Error("root must not be empty", pointer="/root", hint="name the root file system in root.path")
    facts = facts or host.read()
    if facts.euid != 0 and config.linux.namespace("user") is None:
        raise Error(
            "rootless container requires user namespaces",
            pointer="/linux/namespaces",
            hint='add {"type": "user"} and id mappings; `pyoci spec --rootless` writes such a config.json',
        )
    where = layout.detect()
    listen = listen_fds()
    rootfs = _rootfs(options.bundle, config.root.path)
    socket = os.environ.get("NOTIFY_SOCKET", "")
    # A descriptor for every bind mount, and some for ourselves.
    enough = len(config.mounts) + options.preserve_fds + listen + 64 < getrlimit(RLIMIT_NOFILE)[0]
    file_limit = None if enough else raise_file_limit()
    rootless = options.rootless == "true" or (options.rootless == "auto" and not facts.privileged())
    return plan.Surroundings(
        id=options.id,
        bundle=options.bundle,
        rootfs=rootfs,
        host=facts,
        layout=where,
        cgroups=paths.plan(where, config.linux.cgroups_path, options.id),
        device_rules=container_rules(config.linux.resources, config.linux.devices),
        no_pivot=options.no_pivot,
        no_new_keyring=options.no_new_keyring,
        preserve=options.preserve_fds + listen,
        listen=listen,
        file_limit=file_limit,
        notify=f"{options.root}/{options.id}/notify" if socket else "",
        rootless_cgroups=rootless,
    )


def _rootfs(bundle: str, path: str) -> str:
    """The absolute path of the root file system, which must not go through a symbolic link."""
    absolute = os.path.normpath(os.path.join(bundle, path))
    if os.path.realpath(absolute) != absolute:
        absolute = os.path.normpath(os.path.join(os.path.realpath(bundle), path))
    if os.path.realpath(absolute) != absolute:
        raise Error(
            "invalid rootfs: not an absolute path, or a symlink",
            pointer="/root/path",
            hint=f"it leads to {os.path.realpath(absolute)}",
        )
    if not os.path.isdir(absolute):
        raise Error(f"invalid rootfs: stat {absolute}: no such file or directory", pointer="/root/path")
    return absolute


def host_root(config: Config) -> tuple[int, int]:
    """The host's ids of the container's root."""
    return _mapped(config.linux.uid_mappings), _mapped(config.linux.gid_mappings)


def _mapped(mappings: tuple[IdMapping, ...]) -> int:
    for one in mappings:
        if one.container_id <= 0 < one.container_id + one.size:
            return one.host_id
    return 0 if os.geteuid() == 0 else os.geteuid()
