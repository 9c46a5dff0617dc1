"""`process`: what runs in the container, and as whom (config.md, "Process")."""

from __future__ import annotations

from ..record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .capabilities import Capabilities


class User(Record):
    pointer: str = "/process/user"
    uid: int = 0
    gid: int = 0
    umask: int | None = None
    additional_gids: tuple[int, ...] = ()


class Rlimit(Record):
    pointer: str
    type: str  # "RLIMIT_NOFILE"
    resource: int  # the RLIMIT_* number; -1 for a name that does not exist (rules.py reports it)
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
