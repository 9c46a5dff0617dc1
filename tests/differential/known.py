"""Where pyoci and runc differ on purpose. Each entry: what the line of a difference looks like, and why it is so.

The reason stands in docs/differences.md, in the row that begins with `row`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# (row of docs/differences.md, cases in which it may be seen, pattern of the line)
KNOWN: tuple[tuple[str, str, str], ...] = (
    ("masks of directories", ".*", r"mounts: [+-] .* tmpfs tmpfs r[ow],size=4k,nr_inodes=[12](,uid=.*)?"),
    ("masks of directories", ".*", r"files/.*/mount_flags: 4143 instead of 4129"),
    ("`ro` of a file system of the kernel", ".*", r"mounts: [+-] \S+ root=/ ro,\S+ \[.*\] (sysfs|proc) \S+ r[ow]\S*"),
    ("`/sys/fs/cgroup` on v1", ".*", r"mounts: [+-] /sys/fs/cgroup root=/ r[ow],\S+ \[.*\] tmpfs tmpfs rw,mode=755.*"),
    ("`/sys/fs/cgroup` on v1", ".*", r"mounts: \+ /sys/fs/cgroup/unified .* cgroup2 .*"),
    ("`/sys/fs/cgroup` on v1", ".*", r"files//sys/fs/cgroup/(entries: \+ unified|mount_flags: .*|size: .*)"),
    (
        "devices in a user namespace",
        "user.*|.*user_namespace|.*_the_container",
        r"mounts: [+-] /(dev|proc)/\w+ root=/\w+ rw,\S+ \[.*\] (devtmpfs|tmpfs) .*",
    ),
    # What theirs is depends on how the machine mounts its /dev: plain, nosuid or noexec.
    ("devices in a user namespace", "user.*|.*user_namespace", r"files/.*/mount_flags: 4138 instead of 41(28|30|36)"),
    ("a path that is masked twice", "masks", r"mounts: - /proc/(fs|sys) \(2\) .*"),
    ("a mount without `source`", "tmpfs", r"mounts: [+-] /b .*"),
    ("`rro` and the like", "tmpfs", r"mounts: [+-] /d .*"),
    ("`rro` and the like", "tmpfs", r"files//d/mount_flags: 1057 instead of 1056"),
    ("bind mounts and propagation", "propagation_.*", r"mounts: [+-] /dev/[abc] root=DIRECTORY/shared/tree .*"),
)


def unknown(case: str, lines: Iterable[str]) -> list[str]:
    """The lines that no entry explains."""
    known = [re.compile(pattern) for _, cases, pattern in KNOWN if re.fullmatch(cases, case)]
    return [line for line in lines if not any(pattern.fullmatch(line) for pattern in known)]
