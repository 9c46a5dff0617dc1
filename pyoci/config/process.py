"""`process`: what runs in the container, and as whom (config.md, "Process")."""

from __future__ import annotations

from pyoci.config.capabilities import read_capabilities
from pyoci.config.node import INT32, INT64, UINT32, UINT64
from pyoci.kernel import constants
from pyoci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.config.capabilities import Capabilities
    from pyoci.config.node import Node

# "RLIMIT_NOFILE" and the like -> number (getrlimit(2))
RLIMITS = {name: value for name, value in vars(constants).items() if name.startswith("RLIMIT_")}


# What a process of exec has as the container was created with it (container/saved_config.py), unless its own says it.
KEPT = (
    *("capabilities", "oomScoreAdj", "scheduler", "ioPriority", "execCPUAffinity"),
    *("selinuxLabel", "apparmorProfile"),
)


class User(Record):
    """Ids as the container sees them."""

    pointer: str = "/process/user"
    uid: int = 0
    gid: int = 0
    umask: int | None = None
    additional_gids: tuple[int, ...] = ()


class Rlimit(Record):
    """One limit of setrlimit(2)."""

    pointer: str
    type: str  # "RLIMIT_NOFILE"
    resource: int  # the RLIMIT_* number; -1 for a name that does not exist (a rule reports it)
    soft: int  # 2**64 - 1: no limit
    hard: int


class Scheduler(Record):
    """sched_setattr(2)."""

    pointer: str
    policy: str  # "SCHED_OTHER", ...
    nice: int = 0
    priority: int = 0
    flags: tuple[str, ...] = ()  # "SCHED_FLAG_RESET_ON_FORK", ...
    runtime: int = 0  # nanoseconds, as are the two below
    deadline: int = 0
    period: int = 0


class IoPriority(Record):
    """ioprio_set(2)."""

    pointer: str
    class_: str  # "IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"
    priority: int = 0  # 0 (highest) to 7


class ExecCpuAffinity(Record):
    """CPU lists ("0-3,7") for processes that exec adds; "" = not given."""

    pointer: str
    initial: str = ""
    final: str = ""


class Process(Record):
    """The container's program and its properties."""

    pointer: str = "/process"
    terminal: bool = False
    console_size: tuple[int, int] | None = None  # height, width
    user: User = User()
    args: tuple[str, ...] = ()
    cwd: str = ""
    env: tuple[str, ...] | None = None  # None: absent. Every name once: its last value, at the last value's position
    capabilities: Capabilities | None = None  # None: the sets are left alone
    no_new_privileges: bool = False
    rlimits: tuple[Rlimit, ...] = ()
    oom_score_adj: int | None = None
    apparmor_profile: str = ""
    selinux_label: str = ""
    scheduler: Scheduler | None = None
    io_priority: IoPriority | None = None
    exec_cpu_affinity: ExecCpuAffinity | None = None


def read_process(node: Node | None) -> Process | None:
    """`process` of config.json, also the whole of a process.json for exec (then with pointer "")."""
    if node is None:
        return None
    return Process(
        pointer=node.pointer,
        terminal=node.boolean("terminal"),
        console_size=_console_size(node.child("consoleSize")),
        user=_user(node.child("user")),
        args=node.strings("args"),
        cwd=node.string("cwd"),
        env=_last_of_each(node.optional_strings("env")),
        capabilities=read_capabilities(node.child("capabilities")),
        no_new_privileges=node.boolean("noNewPrivileges"),
        rlimits=tuple([_rlimit(limit) for limit in node.children("rlimits")]),
        oom_score_adj=node.optional_integer("oomScoreAdj", INT64),
        apparmor_profile=node.string("apparmorProfile"),
        selinux_label=node.string("selinuxLabel"),
        scheduler=_scheduler(node.child("scheduler")),
        io_priority=_io_priority(node.child("ioPriority")),
        exec_cpu_affinity=_exec_cpu_affinity(node.child("execCPUAffinity")),
    )


def _console_size(node: Node | None) -> tuple[int, int] | None:
    if node is None:
        return None
    return node.required_integer("height", UINT64), node.required_integer("width", UINT64)


def _user(node: Node | None) -> User:
    if node is None:
        return User()
    return User(
        pointer=node.pointer,
        uid=node.integer("uid", UINT32),
        gid=node.integer("gid", UINT32),
        umask=node.optional_integer("umask", UINT32),
        additional_gids=node.integers("additionalGids", UINT32),
    )


def _last_of_each(env: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Each variable once, with its last value, where that stood; entries that are no NAME=VALUE all stay."""
    if env is None:
        return None
    found: dict[object, str] = {}
    for entry in env:
        end = entry.find("=")
        key: object = entry[:end] if end > 0 else (entry, len(found))
        found.pop(key, None)
        found[key] = entry
    return tuple(found.values())


def _rlimit(node: Node) -> Rlimit:
    type = node.required_string("type")
    return Rlimit(
        pointer=node.pointer,
        type=type,
        resource=RLIMITS.get(type, -1),
        soft=node.required_integer("soft", UINT64),
        hard=node.required_integer("hard", UINT64),
    )


def _scheduler(node: Node | None) -> Scheduler | None:
    if node is None:
        return None
    return Scheduler(
        pointer=node.pointer,
        policy=node.required_string("policy"),
        nice=node.integer("nice", INT32),
        priority=node.integer("priority", INT32),
        flags=node.strings("flags"),
        runtime=node.integer("runtime", UINT64),
        deadline=node.integer("deadline", UINT64),
        period=node.integer("period", UINT64),
    )


def _io_priority(node: Node | None) -> IoPriority | None:
    if node is None:
        return None
    return IoPriority(
        pointer=node.pointer, class_=node.required_string("class"), priority=node.integer("priority", INT32)
    )


def _exec_cpu_affinity(node: Node | None) -> ExecCpuAffinity | None:
    if node is None:
        return None
    return ExecCpuAffinity(pointer=node.pointer, initial=node.string("initial"), final=node.string("final"))
