"""Which runtime a name stands for, and how it is shown in the table."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from conformance import build


@dataclass(frozen=True)
class Runtime:
    """A runtime under test. label: heads its column; cgroups: the view it needs, "host" or "v2"."""

    label: str
    path: Path
    cgroups: str = "host"


def find(name: str) -> Runtime:
    """The runtime `name`: pyoci ($PYOCI or the project's), runc (the newest), runc@VERSION, crun, or a path.

    Raises LookupError if there is none.
    """
    if "/" in name:
        path = Path(name)
    elif name == "pyoci":
        path = Path(os.environ.get("PYOCI", build.HERE.parent / ".venv/bin/pyoci"))
    elif name.partition("@")[0] == "runc":
        path = build.runc(name.partition("@")[2] or build.NEWEST_RUNC)
    else:
        path = Path(shutil.which(name) or f"/usr/bin/{name}")
    if not path.is_file():
        raise LookupError(f"{name}: there is no {path}")
    # crun refuses a hierarchy that mixes cgroup v1 and v2 whatever is asked of it.
    return Runtime(label=label(path), path=path.absolute(), cgroups="v2" if path.name == "crun" else "host")


def label(path: Path) -> str:
    """`runc 1.6.0-rc.1`: from the first line that `--version` prints, or the directory that build.runc made."""
    if path.parent.parent == build.CACHE:
        return path.parent.name.replace("-v", " ", 1)
    words = subprocess.run([str(path), "--version"], check=True, capture_output=True, text=True).stdout.split()
    version = words[2] if words[1:2] == ["version"] else words[1] if len(words) > 1 else "?"
    return f"{path.name} {version.split('+')[0]}"
