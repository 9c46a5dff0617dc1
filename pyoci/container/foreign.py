"""Containers of other runtimes below --root: those of runc are taken over, the others are known by their files.

runc's state.json (libcontainer's State) is read by the keys that it has had since 1.0. It stays runc's: pyoci writes
nothing into it but what `update` changes, so that runc and pyoci may be used side by side.
"""

from __future__ import annotations

from pyoci import environment, os
from pyoci.container.records import NAMESPACE_KEYS, Container, Members, checked_hooks, labels, process
from pyoci.errors import ForeignError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NAMESPACES = {key: kind for kind, key in NAMESPACE_KEYS.items()}
_SECOND = 10**9  # runc keeps the timeout of a hook in nanoseconds
_NOBODYS = ("ociVersion", "pid", "status")  # youki's state.json is the specification's state, and some more


def refuse_others(root: str, id: str, directory: int) -> None:
    """Raises ForeignError for the open directory of a container without a state.json, if crun has made it."""
    try:
        os.stat("status", dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return
    raise ForeignError(
        f"{root}/{id} is a container of crun",
        hint=f"`crun --root {root} delete --force {id}` removes it; pyoci takes over those of runc only",
    )


def container(root: str, id: str, raw: dict[str, Any]) -> Container:
    """The container that runc's state.json tells of. Raises Damage, ForeignError."""
    if "init_process_pid" not in raw and any(key in raw for key in _NOBODYS):
        raise ForeignError(
            f"{root}/{id}/state.json was written by neither pyoci nor runc",
            hint="use the runtime that has made the container; pyoci takes over those of runc only",
        )
    members = Members(raw)
    config = members.object("config")
    pid, start_time = process(members)
    known = labels(config.strings("labels"))
    bundle = known.pop("bundle", "")
    namespaces = tuple([_namespace(one) for one in config.objects("namespaces")])
    made_by = unit(config)
    cgroups = _cgroups(members, config, made_by is not None)
    rdt_path = members.get("intel_rdt_path", str, "")
    rdt_monitor = members.get("intel_rdt_mon_path", str, "")
    return Container(
        root=root,
        id=id,
        bundle=bundle,
        rootfs=config.get("rootfs", str),
        created=members.get("created", str),
        annotations=known,
        oci_version=config.get("version", str, ""),
        pid=pid,
        start_time=start_time,
        cgroups=cgroups,
        unit=made_by,
        cgroups_made=bool(cgroups),
        namespaces=namespaces,
        private_pid=("pid", "") in namespaces,
        notify=os.path.isdir(f"{root}/{id}/notify"),
        rdt_path=rdt_path,
        rdt_monitor=rdt_monitor,
        rdt_remove=_rdt_remove(config, id, rdt_path, rdt_monitor),
        keyring=f"_ses.{id}",  # as runc names it
        hooks=hooks(config),
        by_runc=True,
    )


def _namespace(members: Members) -> tuple[str, str]:
    kind = members.get("type", str)
    if kind not in _NAMESPACES:
        raise members.damage("type", f"{kind} is no kind of namespace")
    return _NAMESPACES[kind], members.get("path", str, "")


def _cgroups(members: Members, config: Members, by_systemd: bool) -> dict[str, str]:
    """Its cgroups. Without rights to make any, and without systemd, runc notes all the same where they would have been:
    what is there then is somebody else's."""
    found = members.cgroups()
    if by_systemd or not config.get("rootless_cgroups", bool, False):
        return found
    return {controller: path for controller, path in found.items() if _is_ours(path)}


def _is_ours(path: str) -> bool:
    try:
        return os.stat(path).st_uid == os.geteuid()
    except OSError:
        return False


def unit(config: Members) -> dict[str, Any] | None:
    """The unit of systemd that runc's systemd driver made, None with the cgroupfs driver. Raises Damage."""
    group = config.object("cgroups", {})
    if not group.get("Systemd", bool, False):
        return None
    from pyoci.cgroups.systemd import names

    user = group.get("Rootless", bool, False)
    name, slice = group.get("name", str), group.get("parent", str, "")
    if not name.endswith(".slice"):
        name = f"{group.get('scope_prefix', str, '')}-{name}.scope"
    if "/" in name or "/" in slice:
        raise group.damage("name", f"{name} is no unit of systemd")
    buses = names.addresses(user, environment.variables(), os.geteuid(), nested=False)
    slice = slice or ("user.slice" if user else "system.slice")
    return {"name": name, "slice": slice, "user": user, "buses": list(buses)}


def _rdt_remove(config: Members, id: str, path: str, monitor: str) -> tuple[str, ...]:
    """A group that config.json named is shared, and stays; of it only the monitoring group is the container's."""
    if not config.object("intel_rdt", {}).get("closID", str, "") and path.endswith(f"/{id}"):
        return (path,)
    return (monitor,) if monitor else ()


def hooks(config: Members) -> dict[str, Any]:
    """poststart and poststop, in the specification's words. Raises Damage."""
    members = config.object("Hooks", {})
    kinds = ("poststart", "poststop")
    checked_hooks(Members({kind: members.raw[kind] for kind in kinds if kind in members.raw}, members.pointer))
    return {kind: [_hook(one) for one in members.raw[kind]] for kind in kinds if members.raw.get(kind)}


def _hook(raw: dict[str, Any]) -> dict[str, Any]:
    hook: dict[str, Any] = {key: raw[key] for key in ("path", "args", "env") if key in raw}
    if "timeout" in raw:
        hook["timeout"] = max(1, -(-raw["timeout"] // _SECOND))
    return hook
