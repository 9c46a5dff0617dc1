"""The constants are those of the system's headers."""

from __future__ import annotations

import subprocess
from pathlib import Path

from pyoci.kernel import constants

KERNEL = "mount fcntl openat2 sched prctl seccomp magic close_range pidfd".split()
LIBC = "sys/mount.h sys/statvfs.h".split()
ENUM = "FSCONFIG_"  # members of an enum, which #ifdef does not see


def compiled(names: list[str], headers: list[str], directory: Path) -> dict[str, int]:
    """The values that the C compiler gives to those of `names` that `headers` define."""
    lines = [
        "#define _GNU_SOURCE",
        "#include <stdio.h>",
        *(f"#include <{header}>" for header in headers),
        "int main() {",
    ]
    for name in names:
        show = f'printf("{name} %lld\\n", (long long)({name}));'
        lines += [show] if name.startswith(ENUM) else [f"#ifdef {name}", show, "#endif"]
    (directory / "c.c").write_text("\n".join([*lines, "}"]))
    subprocess.run(["cc", "-w", "-o", directory / "c", directory / "c.c"], check=True)
    text = subprocess.run([directory / "c"], capture_output=True, text=True, check=True).stdout
    return {name: int(value) % 2**64 for name, value in (line.split() for line in text.splitlines())}


def test_constants(tmp_path: Path) -> None:
    ours = {name: value % 2**64 for name, value in vars(constants).items() if name.isupper()}
    theirs = compiled(list(ours), [*(f"linux/{name}.h" for name in KERNEL), "asm-generic/resource.h"], tmp_path)
    theirs |= compiled([name for name in ours if not name.startswith(ENUM)], LIBC, tmp_path)
    assert {name: ours[name] for name in theirs} == theirs
    # ST_NOSYMFOLLOW stands in no header for programs; the others are too new for the oldest that we build with.
    assert set(ours) - set(theirs) <= {"ST_NOSYMFOLLOW", "OPEN_TREE_NAMESPACE", "MOVE_MOUNT_BENEATH"}
