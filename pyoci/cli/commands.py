"""The command table: every command with its flags, and the flags that all of them share.

pyoci/cli/NAME.py carries a command out: `main(options: Options) -> int`, the exit status.
"""

from __future__ import annotations

import sys

from pyoci.cli.options import BOOL, DURATION, HELP, IDS, INT, STRINGS, Command, Flag

VERSION = Flag(names=("version", "v"), kind=BOOL, usage="print the version", default=False)

# Accepted in front of the command and behind it. The help text tells the default of --root, which depends on the user.
GLOBAL = (
    Flag(names=("debug",), kind=BOOL, usage="log more, and show where in pyoci an error arose", default=False),
    Flag(names=("log",), usage="write log lines to this file instead of stderr"),
    Flag(names=("log-format",), usage="format of log lines: text or json", default="text"),
    Flag(names=("root",), usage="directory for the state of containers, best on a tmpfs"),
    Flag(
        names=("systemd-cgroup",),
        kind=BOOL,
        usage='let systemd make the cgroup; cgroupsPath is then "slice:prefix:name"',
        default=False,
    ),
    Flag(names=("rootless",), usage="forgive missing permission for cgroups: true, false or auto", default="auto"),
)

_BUNDLE = Flag(names=("bundle", "b"), usage="directory of the bundle, instead of the current one")
_FORMAT = Flag(names=("format", "f"), usage="text or json", default="text")

_CONSOLE_SOCKET = Flag(names=("console-socket",), usage="unix socket that is sent the master end of the terminal")
_PIDFD_SOCKET = Flag(names=("pidfd-socket",), usage="unix socket that is sent a pidfd of the process")
_PID_FILE = Flag(names=("pid-file",), usage="file to write the process id to")
_PRESERVE_FDS = Flag(
    names=("preserve-fds",),
    kind=INT,
    usage="pass this many descriptors from 3 on, behind those of LISTEN_FDS",
    default=0,
)

_CREATE = (
    _BUNDLE,
    _CONSOLE_SOCKET,
    _PIDFD_SOCKET,
    _PID_FILE,
    Flag(
        names=("no-pivot",),
        kind=BOOL,
        usage="move the root mount instead of pivot_root; for a rootfs on the initial ramdisk",
        default=False,
    ),
    Flag(names=("no-new-keyring",), kind=BOOL, usage="keep the caller's session keyring", default=False),
    _PRESERVE_FDS,
    Flag(names=("trace",), usage="file for the time that each step took, for a trace viewer"),
)

_RUN = (
    *_CREATE,
    Flag(names=("detach", "d"), kind=BOOL, usage="return when the container runs", default=False),
    Flag(names=("keep",), kind=BOOL, usage="do not delete the container when it has ended", default=False),
    Flag(names=("no-subreaper",), kind=BOOL, usage="do not adopt the container's orphaned processes", default=False),
)

_EXEC = (
    _CONSOLE_SOCKET,
    _PIDFD_SOCKET,
    Flag(names=("cwd",), usage="working directory in the container"),
    Flag(names=("env", "e"), kind=STRINGS, usage="set an environment variable, NAME=VALUE", default=()),
    Flag(names=("tty", "t"), kind=BOOL, usage="give the process a terminal", default=False),
    Flag(names=("user", "u"), usage="run as UID[:GID], numbers"),
    Flag(names=("additional-gids", "g"), kind=IDS, usage="one more group, a number", default=()),
    Flag(names=("process", "p"), usage="file that holds the `process` object to run; most flags do not count then"),
    Flag(names=("detach", "d"), kind=BOOL, usage="return when the process runs", default=False),
    _PID_FILE,
    Flag(names=("process-label",), usage="SELinux label of the process"),
    Flag(names=("apparmor",), usage="AppArmor profile of the process"),
    Flag(names=("no-new-privs",), kind=BOOL, usage="forbid the process to gain privileges", default=False),
    Flag(names=("cap", "c"), kind=STRINGS, usage="add a capability to those of the process", default=()),
    _PRESERVE_FDS,
    Flag(
        names=("cgroup",),
        kind=STRINGS,
        usage="run in this cgroup below the container's: PATH, on v1 also CONTROLLER[,CONTROLLER]:PATH",
        default=(),
    ),
    Flag(names=("ignore-paused",), kind=BOOL, usage="exec in a paused container too", default=False),
)

_UPDATE = (
    Flag(
        names=("resources", "r"),
        usage="file, or - for stdin, with an object like linux.resources",
    ),
    Flag(names=("blkio-weight",), kind=INT, usage="share of block I/O, 10 to 1000", default=0),
    Flag(names=("cpu-period",), usage="length of a CPU period in microseconds"),
    Flag(names=("cpu-quota",), usage="CPU time in each period in microseconds, -1 for no limit"),
    Flag(names=("cpu-burst",), usage="unused CPU time that may be saved up, in microseconds"),
    Flag(names=("cpu-share",), usage="share of CPU time, usually 1024"),
    Flag(names=("cpu-rt-period",), usage="length of a real-time period in microseconds (cgroup v1)"),
    Flag(names=("cpu-rt-runtime",), usage="real-time CPU time in each of them in microseconds (cgroup v1)"),
    Flag(names=("cpuset-cpus",), usage="CPUs to use, as in 0-3,7"),
    Flag(names=("cpuset-mems",), usage="memory nodes to use"),
    Flag(names=("kernel-memory",), usage="ignored", hidden=True),
    Flag(names=("kernel-memory-tcp",), usage="ignored", hidden=True),
    Flag(names=("memory",), usage="limit of memory, in bytes or with a unit (512m), -1 for none"),
    Flag(names=("cpu-idle",), usage="1: run only when nobody else wants to, 0: as usual"),
    Flag(names=("memory-reservation",), usage="memory to leave when others need some"),
    Flag(names=("memory-swap",), usage="limit of memory and swap together, -1 for no limit of swap"),
    Flag(names=("pids-limit",), kind=INT, usage="limit of processes and threads, -1 for none", default=0),
    Flag(names=("l3-cache-schema",), usage="Intel RDT: L3 cache schema"),
    Flag(names=("mem-bw-schema",), usage="Intel RDT: memory bandwidth schema"),
)

_ID = "<container-id>"

COMMANDS = {
    command.name: command
    for command in (
        Command(
            name="create",
            usage="make a container from a bundle; start runs its program",
            arguments=_ID,
            minimum=1,
            maximum=1,
            flags=_CREATE,
            failure="pyoci create failed",
            sealed=True,
        ),
        Command(name="start", usage="run the program of a created container", arguments=_ID, minimum=1, maximum=1),
        Command(name="state", usage="print the state of a container as JSON", arguments=_ID, minimum=1, maximum=1),
        Command(
            name="kill",
            usage="send a signal (SIGTERM if none is named) to the container's first process",
            arguments=f"{_ID} [signal]",
            minimum=1,
            maximum=2,
            flags=(Flag(names=("all", "a"), kind=BOOL, usage="succeed if it is stopped", default=False, hidden=True),),
        ),
        Command(
            name="delete",
            usage="remove what a stopped container left",
            arguments=_ID,
            minimum=1,
            maximum=1,
            flags=(Flag(names=("force", "f"), kind=BOOL, usage="kill it first if it runs", default=False),),
        ),
        Command(
            name="run",
            usage="create and start a container, wait for it and delete it",
            arguments=_ID,
            minimum=1,
            maximum=1,
            flags=_RUN,
            failure="pyoci run failed",
            sealed=True,
        ),
        Command(name="pause", usage="suspend every process of a container", arguments=_ID, minimum=1, maximum=1),
        Command(name="resume", usage="let a paused container go on", arguments=_ID, minimum=1, maximum=1),
        Command(
            name="ps",
            usage="list the processes of a container",
            arguments=f"{_ID} [ps options]",
            minimum=1,
            maximum=sys.maxsize,
            flags=(Flag(names=("format", "f"), usage="table or json", default="table"),),
            interleaved=False,
        ),
        Command(
            name="exec",
            usage="run one more process in a container",
            arguments=f"{_ID} <command> [command options]  || -p process.json {_ID}",
            minimum=1,
            maximum=sys.maxsize,
            flags=_EXEC,
            failure="exec failed",
            status=255,
            sealed=True,
            interleaved=False,
        ),
        Command(
            name="list",
            usage="list the containers below --root",
            flags=(
                Flag(names=("format", "f"), usage="table or json", default="table"),
                Flag(names=("quiet", "q"), kind=BOOL, usage="print ids only", default=False),
            ),
        ),
        Command(
            name="events",
            usage="print what a container uses, every few seconds, and when it runs out of memory",
            arguments=_ID,
            minimum=1,
            maximum=1,
            flags=(
                Flag(names=("interval",), kind=DURATION, usage="time from one print to the next", default=5 * 10**9),
                Flag(names=("stats",), kind=BOOL, usage="print once and exit", default=False),
            ),
        ),
        Command(name="update", usage="change a container's limits", arguments=_ID, minimum=1, maximum=1, flags=_UPDATE),
        Command(
            name="spec",
            usage="write a config.json to start from",
            flags=(
                _BUNDLE,
                Flag(names=("rootless",), kind=BOOL, usage="for a user other than root", default=False),
            ),
        ),
        Command(name="features", usage="print what this runtime can do, as the specification's JSON"),
        Command(
            name="plan",
            usage="print the steps that create would take, without taking any",
            arguments="[container-id]",
            maximum=1,
            flags=(_BUNDLE, _FORMAT),
        ),
        Command(
            name="validate",
            usage="print everything that is wrong with a bundle's config.json",
            flags=(_BUNDLE, _FORMAT),
        ),
    )
}

# Commands of runc that a later version will have. Not in the table: a probe such as podman's
# `checkpoint --help` must learn that they are missing.
MISSING = frozenset(("checkpoint", "restore"))

__all__ = ["COMMANDS", "GLOBAL", "HELP", "MISSING", "VERSION"]
