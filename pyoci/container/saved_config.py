"""Of config.json what exec and update need, as it was at create or after the last update: not as it may be by now.

It stands in a file of its own, because state.json is read by every command.
"""

from __future__ import annotations

from pyoci import jsonfile, os
from pyoci.config import linux as linux_chapter
from pyoci.config import process as process_chapter
from pyoci.container import records, state
from pyoci.container.state import Container
from pyoci.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

FILE = "saved-config.json"
_FORMER_FILE = "config.json"  # its name in containers that version 0.1 has made


def save(raw: dict[str, Any], no_new_keyring: bool, directory: int) -> None:
    """Write what exec and update will need of config.json `raw` into the container's directory, and not into
    state.json, which every command reads. load() reads it.
    """
    process, linux = raw.get("process") or {}, raw.get("linux") or {}
    own = {key: process[key] for key in process_chapter.KEPT if key in process}
    user = process.get("user") or {}
    if "umask" in user:
        own["user"] = {"umask": user["umask"]}
    config = {"process": own, "linux": {key: linux[key] for key in linux_chapter.KEPT if key in linux}}
    kept = {"version": records.FORMAT, "no_new_keyring": no_new_keyring, "config": config}
    for key in ("resources", "devices"):
        if linux.get(key):
            kept[key] = linux[key]
    jsonfile.write(directory, FILE, kept)


def replace(directory: int, kept: dict[str, Any]) -> None:
    """Write what has changed. Under its former name the file would be an older one from now on: it goes."""
    jsonfile.write(directory, FILE, kept)
    try:
        os.unlink(_FORMER_FILE, dir_fd=directory)
    except FileNotFoundError:
        pass


def load(root: str, id: str) -> tuple[Container, dict[str, Any]]:
    """A container's state and what was kept: {"no_new_keyring": bool, "config": parts of config.json}, and "resources"
    and "devices", those of config.json's `linux`, if there are any.

    An older pyoci kept nothing: then config.json of the bundle has to do; runc keeps all of it in state.json. Raises
    NotFoundError, Error.
    """
    directory = state.open_directory(root, id)
    container = None
    try:
        container = state.read(root, id, directory)
        return container, _checked(_kept(container, directory))
    except records.Damage as problem:
        from pyoci.container import advice

        file = FILE if container is None or not container.by_runc else state.FILE
        raise advice.damaged(root, id, problem, file) from None
    finally:
        os.close(directory)


def _kept(container: Container, directory: int) -> Any:
    if container.by_runc:
        from pyoci.container import foreign_config

        return foreign_config.kept(jsonfile.parse(state.content(directory), state.FILE, own=True))
    for name in (FILE, _FORMER_FILE):
        try:
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        except FileNotFoundError:
            continue
        with open(file, "rb") as opened:
            kept = jsonfile.parse(opened.read(), f"{container.root}/{container.id}/{name}", own=True)
        records.refuse_newer(records.Members(kept).get("version", int, records.FORMAT))
        return kept
    return _of_bundle(f"{container.bundle}/config.json")


def _of_bundle(path: str) -> dict[str, Any]:
    """The same from config.json of the bundle, whatever has become of that since. Raises ConfigError."""
    from pyoci.config.schema.schema import look
    from pyoci.config.schema.table import CONFIG

    whole, _, _ = look(jsonfile.read(path, what="config.json"), CONFIG, path)
    try:
        members = records.Members(whole)
        config = {key: whole[key] for key in ("process", "linux") if key in whole}
        linux = members.object("linux", {}).raw
        more = {key: linux[key] for key in ("resources", "devices") if key in linux}
        return _checked({"no_new_keyring": False, "config": config, **more})
    except records.Damage as problem:
        hint = "an older pyoci has made the container and kept nothing of that file: put back what it was then"
        raise ConfigError(f"{path}{str(problem).replace('#/config/', '#/', 1)}", hint=hint) from None


def _checked(kept: Any) -> dict[str, Any]:
    """`kept`, once it is what the schema of config.json allows. Raises Damage."""
    from pyoci.config.schema.schema import walk
    from pyoci.config.schema.table import CONFIG

    members = records.Members(kept)
    members.get("no_new_keyring", bool)
    config = members.object("config")
    linux = {key: kept[key] for key in ("resources", "devices") if key in kept}
    process: dict[str, Any] = {"cwd": "/"}  # what is required there
    for name, more in (("process", process), ("linux", linux)):
        fault = walk(config.get(name, dict, {}) | more, CONFIG[1][name])
        if fault is not None:
            raise records.Damage(f"#/config/{name}{fault[0]}: {fault[1]}")
    for error in _broken_rules(config.raw):
        raise records.Damage(f"#/config{error.pointer}: {error.message}")
    checked: dict[str, Any] = kept
    return checked


def _broken_rules(config: dict[str, Any]) -> Iterator[ConfigError]:
    """Of what exec takes from the saved config, the words that rules check, and not the schema."""
    affinity = config.get("process", {}).get("execCPUAffinity")
    policy = config.get("linux", {}).get("memoryPolicy")
    if not affinity and not policy:
        return
    from pyoci.config import read
    from pyoci.config.rules import linux, process

    wanted = {"args": ["x"], "cwd": "/", "execCPUAffinity": affinity}
    found = read({"process": wanted, "linux": {"memoryPolicy": policy}})
    if affinity and found.process is not None and found.process.exec_cpu_affinity is not None:
        yield from process.cpu_affinity(found.process.exec_cpu_affinity)
    if policy and found.linux.memory_policy is not None:
        yield from linux.memory_policy(found.linux.memory_policy)
