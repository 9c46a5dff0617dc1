"""What exec runs: `process` of the bundle's config.json with the changes of flags, or all of a file.

Combined with what the container was created with as runc combines them (newInitConfig): umask, oomScoreAdj, seccomp,
personality and memory policy are the container's, whatever the process says; capabilities, scheduler, ioPriority,
execCPUAffinity and selinuxLabel are the container's where the process has none. So is apparmorProfile, which runc
forgets and crun does not: nobody leaves a confinement by not naming it.
"""

from __future__ import annotations

from pyoci import jsonfile, os
from pyoci.config import Config, read
from pyoci.config.node import Node
from pyoci.config.process import Process, read_process
from pyoci.config.rules import process as rules_process
from pyoci.config.rules.rule import MAX_ID
from pyoci.config.schema import schema
from pyoci.config.schema.table import CONFIG
from pyoci.container import capabilities
from pyoci.errors import ConfigError, Error
from pyoci.log import quote
from pyoci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PART = ("process",)  # of config.json
_CAPABILITY_SETS = ("bounding", "effective", "permitted")


class ProcessOptions(Record):
    """The flags that say what to run. file: of --process; the others count only without it."""

    args: tuple[str, ...] = ()
    file: str = ""
    cwd: str = ""
    env: tuple[str, ...] = ()
    tty: bool = False
    user: str | None = None
    additional_gids: tuple[str, ...] = ()
    process_label: str = ""
    apparmor: str = ""
    no_new_privs: bool | None = None
    cap: tuple[str, ...] = ()


def config(options: ProcessOptions, bundle: str, kept: dict[str, Any]) -> Config:
    """A Config of the process, and what concerns it of the container. kept: of saved_config.load(). Raises Error.

    The log tells of what create has not told of.
    """
    own = read(kept["config"])
    process = _merged(_process(options, bundle), own.process)
    config = own.replace(process=process)
    capabilities.warn(config, told=None if own.process is None else own.process.capabilities)
    return config


def _process(options: ProcessOptions, bundle: str) -> Process:
    if options.file:
        return _named(options.file)
    raw = _changed(_configured(bundle), options)
    fault = schema.walk(raw, schema.PROCESS)
    if fault is not None:
        from pyoci.config import refusal

        raise refusal.error(raw, [], fault, part=_PART)
    return _checked(raw, "/process")


def _configured(bundle: str) -> Any:
    """`process` of config.json; create has told of keys that are not the specification's."""
    try:
        raw = jsonfile.read(f"{bundle}/config.json", what="config.json")
    except ConfigError as error:
        if not os.path.lexists(f"{bundle}/config.json"):
            error.hint = f"{bundle}, the container's bundle, has none any more; --process FILE does without it"
        raise
    process = raw.get("process") if type(raw) is dict else None
    if process is not None:
        return schema.look(process, schema.PROCESS, "config.json#/process")[0]
    raw, remarks, _ = schema.look(raw, CONFIG)
    if type(raw) is not dict or "process" not in raw:
        hint = schema.slip(remarks, "/process") or "say what to run"
        raise ConfigError("process property must not be empty", pointer="/process", hint=hint)
    return raw["process"]


def _named(path: str) -> Process:
    """That of --process."""
    from pyoci.container.named_file import NamedFile

    file = NamedFile(path, "--process", _PART)
    raw = file.read(schema.PROCESS)
    try:
        process = _checked(raw, "")
    except ConfigError as error:
        raise file.placed(error, "") from None
    file.tell()
    return process


def _checked(raw: Any, pointer: str) -> Process:
    """Raises ConfigError for the first rule that is broken."""
    process = read_process(Node(raw, pointer))
    assert process is not None
    for violation in rules_process.violations(process):
        raise violation
    return process


def _changed(process: Any, options: ProcessOptions) -> Any:
    """`process` of config.json with what the flags say. What is of the wrong type is left for the check to find."""
    if type(process) is not dict:
        return process
    if not options.args:
        raise Error("exec args cannot be empty", hint="name the program to run behind the container")
    changed = {**process, "args": list(options.args), "terminal": options.tty}
    if options.cwd:
        changed["cwd"] = options.cwd
    if options.process_label:
        changed["selinuxLabel"] = options.process_label
    if options.apparmor:
        changed["apparmorProfile"] = options.apparmor
    if options.no_new_privs is not None:
        changed["noNewPrivileges"] = options.no_new_privs
    if options.env:
        changed["env"] = [*_list(process.get("env")), *options.env]
    if options.cap:
        changed["capabilities"] = _more_capabilities(process.get("capabilities"), options.cap)
    if options.user is not None or options.additional_gids:
        changed["user"] = _user(process.get("user"), options)
    return changed


def _list(value: Any) -> list[Any]:
    return value if type(value) is list else []


def _more_capabilities(sets: Any, names: tuple[str, ...]) -> Any:
    """The inheritable set stays as it is (CVE-2022-29162), and ambient ones need it."""
    if type(sets) is not dict:
        raise Error(
            "--cap has nothing to add to",
            pointer="--cap",
            hint="process.capabilities of config.json is not there, so that the process keeps those it has",
        )
    wanted = _CAPABILITY_SETS if sets.get("inheritable") is None else (*_CAPABILITY_SETS, "ambient")
    return {**sets, **{kind: [*_list(sets.get(kind)), *names] for kind in wanted}}


def _user(user: Any, options: ProcessOptions) -> dict[str, Any]:
    changed = dict(user) if type(user) is dict else {"uid": 0, "gid": 0}
    if options.user is not None:
        uid, colon, gid = options.user.partition(":")
        changed["uid"] = _id(uid, "uid")
        if colon:
            changed["gid"] = _id(gid, "gid")
    if options.additional_gids:
        more = [_id(text, "gid", "--additional-gids") for text in options.additional_gids]
        changed["additionalGids"] = [*_list(changed.get("additionalGids")), *more]
    return changed


def _id(text: str, kind: str, option: str = "--user") -> int:
    """ASCII digits and nothing else: Go takes 4294967296 for 0, and Python's int() takes " 7" and "1_0"."""
    if not (text.isascii() and text.isdigit()):
        reason = "invalid syntax"
    elif len(text) > 10 or int(text) > MAX_ID:
        reason = "value out of range"
    else:
        return int(text)
    hint = f"it is a number from 0 to {MAX_ID}; --user takes UID or UID:GID"
    raise Error(f"bad {kind}: strconv.Atoi: parsing {quote(text)}: {reason}", pointer=option, hint=hint)


def _merged(process: Process, container: Process | None) -> Process:
    own = container or Process()
    user = process.user.replace(umask=own.user.umask)
    return process.replace(
        user=user,
        oom_score_adj=own.oom_score_adj,
        capabilities=process.capabilities or own.capabilities,
        scheduler=process.scheduler or own.scheduler,
        io_priority=process.io_priority or own.io_priority,
        exec_cpu_affinity=process.exec_cpu_affinity or own.exec_cpu_affinity,
        selinux_label=process.selinux_label or own.selinux_label,
        apparmor_profile=process.apparmor_profile or own.apparmor_profile,
    )
