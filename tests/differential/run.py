"""Run one case with one runtime and return what its container saw."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from pyoci.cli import spec
from tests import reporter
from tests.differential import mount_cases as mount_cases  # more of them
from tests.differential import view
from tests.differential.cases import CASES, Case
from tests.isolation import mountinfo

# The bundle is on a private mount, what is bound into the container on a shared one, as most of a host is.
_SCENE = """set -e
for part in bundle shared; do mount --bind "$0/$part" "$0/$part"; done
mount --make-shared "$0/shared"
if test -f "$0/scene"; then . "$0/scene"; fi
exec "$@"
"""


class Outcome:
    def __init__(self, status: int, seen: dict[str, Any], error: str) -> None:
        self.status = status
        self.seen = seen
        self.error = error


def bundle(directory: Path, case: Case, id: str) -> tuple[Path, bool]:
    """Make the bundle; and whether the root is to be pivoted."""
    path = directory / "bundle"
    (path / "rootfs").mkdir(parents=True)
    (directory / "shared").mkdir()
    shutil.copy(reporter.build(), path / "rootfs/reporter")
    config = copy.deepcopy(spec.example(v2=False))
    config["process"].update(terminal=False, args=["/reporter", "report"])
    config["linux"]["cgroupsPath"] = f"/{id}"
    case(config, path)
    pivot = config.pop("pivot", True)
    (path / "config.json").write_text(json.dumps(config))
    return path, pivot


def outcome(runtime: str, directory: Path, name: str, id: str) -> Outcome:
    """`run` of the case; the directory and the id appear in it under one name for every runtime."""
    directory.mkdir()
    path, pivot = bundle(directory, CASES[name], id)
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _SCENE, str(directory)]
    command += [runtime, "--root", str(directory / "root"), "run", "--bundle", str(path)]
    command += [*([] if pivot else ["--no-pivot"]), id]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
    reports = reporter.parse(done.stdout)
    places = dict.fromkeys(sorted((within(directory), str(directory)), key=len, reverse=True), "DIRECTORY")
    places[id] = "ID"
    seen = view.normal(reports[0], places) if reports else {}
    return Outcome(done.returncode, seen, done.stderr.decode("utf-8", "replace"))


def within(directory: Path) -> str:
    """Its path from the root of its file system, which mountinfo shows: another one where that is not mounted on /."""
    above = [one for one in mountinfo() if directory.is_relative_to(one["point"])]
    mount = max(reversed(above), key=lambda one: len(one["point"]))  # of several in one place that on top
    return str(Path(mount["root"]) / directory.relative_to(mount["point"]))


def remove_cgroups(id: str) -> None:
    for hierarchy in os.listdir("/sys/fs/cgroup"):
        try:
            os.rmdir(f"/sys/fs/cgroup/{hierarchy}/{id}")
        except OSError:
            pass
