"""What a plan needs besides config.json: facts of the host, and what the caller has passed on."""

from __future__ import annotations

import stat
from errno import ENOTDIR
from resource import RLIMIT_NOFILE, getrlimit

from pyoci import environment, host, os, pathname
from pyoci.cgroups import hierarchies, paths
from pyoci.cgroups.devices.devices import container_rules
from pyoci.container.streams.console import foreign_streams, listen_fds
from pyoci.errors import Error, os_error_text
from pyoci.kernel.process import raise_file_limit
from pyoci.plan.inputs import CreateInputs
from pyoci.steps.init.identity import keyring_name
from pyoci.steps.init.rootfs import open_rootfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.cgroups.hierarchies import Layout
    from pyoci.cgroups.systemd.names import Unit
    from pyoci.config import Config
    from pyoci.config.namespaces import IdMapping
    from pyoci.container.options import CreateOptions
    from pyoci.rdt.group import Group


def create_inputs(
    config: Config, options: CreateOptions, foreground: bool = False, facts: host.Host | None = None
) -> CreateInputs:
    """Read what the plan needs besides config.json: facts of the host (unless given) and what the caller passed on.

    foreground: the runtime waits for the program's end, and may stand between it and the caller's streams.
    """
    if config.root is None:
        raise Error("root must not be empty", pointer="/root", hint="name the root file system in root.path")
    facts = facts or host.read()
    if facts.euid != 0 and config.linux.namespace("user") is None:
        raise Error(
            "rootless container requires user namespaces",
            pointer="/linux/namespaces",
            hint='add {"type": "user"} and id mappings; `pyoci spec --rootless` writes such a config.json',
        )
    where = hierarchies.detect()
    listen = listen_fds()
    rootfs = _rootfs(options.bundle, config.root.path)
    socket = environment.variable("NOTIFY_SOCKET")
    # A descriptor for every bind mount, and some for ourselves.
    enough = len(config.mounts) + options.preserve_fds + listen + 64 < getrlimit(RLIMIT_NOFILE)[0]
    file_limit = None if enough else raise_file_limit()
    rootless = options.rootless == "true" or (options.rootless == "auto" and not facts.privileged())
    unit = _unit(config, options, facts, where, rootless) if options.systemd_cgroup else None
    return CreateInputs(
        id=options.id,
        bundle=options.bundle,
        rootfs=rootfs,
        host=facts,
        layout=where,
        cgroups=_cgroups(config, options.id, where, unit),
        unit=unit,
        device_rules=container_rules(config.linux.resources, config.linux.devices),
        no_pivot=options.no_pivot,
        keyring="" if options.no_new_keyring else keyring_name(options.id),
        preserve=options.preserve_fds + listen,
        listen=listen,
        file_limit=file_limit,
        notify=f"{options.root}/{options.id}/notify" if socket else "",
        rootless_cgroups=rootless,
        rdt=_rdt(config, options.id),
        pipes=foreign_streams(config.process, not foreground, mapped=config.linux.namespace("user") is not None),
    )


def _rdt(config: Config, id: str) -> Group | None:
    if config.linux.intel_rdt is None:
        return None
    from pyoci.rdt.group import group

    return group(config.linux.intel_rdt, id)


def _cgroups(config: Config, id: str, where: Layout, unit: Unit | None) -> dict[str, str]:
    """Where the container's cgroups will be. state.json names them, so their names must be UTF-8 as JSON is."""
    if unit is None:
        planned = paths.plan(where, config.linux.cgroups_path, id)
    else:
        from pyoci.cgroups.systemd import names

        planned = names.planned(where, unit, os.geteuid())
    for path in planned.values():
        if not _is_utf8(path):
            raise Error(
                "the container's cgroup would lie below one whose name is not UTF-8",
                pointer="/linux/cgroupsPath",
                hint=f"it would be {path}; give an absolute path, or start pyoci from another cgroup",
            )
    return planned


def _is_utf8(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _unit(config: Config, options: CreateOptions, facts: host.Host, where: Layout, rootless: bool) -> Unit:
    """What systemd is asked for, and which one: a user's own if that user runs rootless containers.

    Root of a user namespace is its own host's root where no user's systemd is in sight.
    """
    from pyoci.cgroups.systemd import names

    variables = environment.variables()
    if options.rootless == "auto" and facts.euid == 0:
        rootless = rootless and any(variables.get(name) for name in ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"))
    if rootless and where.version != "v2":
        raise Error(
            "cannot use rootless systemd cgroups manager on cgroup v1",
            pointer="--systemd-cgroup",
            hint="cgroup v2 alone lets a user's systemd have a part of the cgroups",
        )
    buses = names.addresses(rootless, variables, facts.euid, facts.user_namespace)
    return names.unit(config.linux.cgroups_path, options.id, rootless, buses)


def _rootfs(bundle: str, path: str) -> str:
    """The absolute path of the root file system, which must not go through a symbolic link."""
    absolute = pathname.absolute(os.path.join(bundle, path))
    try:
        os.close(open_rootfs(absolute))
        return absolute
    except OSError:  # a link, or something else to be named
        from os.path import realpath
    if realpath(absolute) != absolute:
        absolute = pathname.absolute(os.path.join(realpath(bundle), path))
    if realpath(absolute) != absolute:
        raise Error(
            "invalid rootfs: not an absolute path, or a symlink",
            pointer="/root/path",
            hint=f"it leads to {realpath(absolute)}",
        )
    try:
        status = os.stat(absolute)
    except OSError as error:  # stat(2), or one of the directories above is none
        raise _no_rootfs(absolute, error) from None
    if not stat.S_ISDIR(status.st_mode):
        raise _no_rootfs(absolute, NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR), absolute))
    return absolute


def _no_rootfs(path: str, error: OSError) -> Error:
    return Error(
        f"invalid rootfs: stat {os_error_text(error)}",
        pointer="/root/path",
        errno=error.errno or 0,
        hint=f"{path} has to be the directory that becomes the container's /; a relative path is one below the bundle",
    )


def host_root(config: Config) -> tuple[int, int]:
    """The host's ids of the container's root."""
    found = (_mapped(0, config.linux.uid_mappings), _mapped(0, config.linux.gid_mappings))
    uid, gid = [os.geteuid() if one is None else one for one in found]
    return uid, gid


def program_user(config: Config) -> int | None:
    """The host's id of the program's user; None if config.json does not tell."""
    uid = config.process.user.uid if config.process is not None else 0
    return uid if config.linux.namespace("user") is None else _mapped(uid, config.linux.uid_mappings)


def _mapped(id: int, mappings: tuple[IdMapping, ...]) -> int | None:
    for one in mappings:
        if one.container_id <= id < one.container_id + one.size:
            return one.host_id + id - one.container_id
    return None
