"""What the command line asks of create and run."""

from __future__ import annotations

from pyoci.record import Record


class CreateOptions(Record):
    """The options of create, which are run's, too; see cli/commands.py for what each means. Paths are absolute."""

    root: str
    id: str
    bundle: str
    console_socket: str = ""
    pidfd_socket: str = ""
    pid_file: str = ""
    no_pivot: bool = False
    no_new_keyring: bool = False
    preserve_fds: int = 0
    rootless: str = "auto"
    systemd_cgroup: bool = False
    trace: str = ""


class RunOptions(Record):
    """The options of run: those of create, and its own."""

    create: CreateOptions
    detach: bool = False
    keep: bool = False
    no_subreaper: bool = False
