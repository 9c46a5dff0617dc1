"""exec: exit statuses, errors and environment as with runc, on the same container."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyoci.cli import spec
from tests import reporter
from tests.differential import run, view
from tests.differential.test_runc import runc

pytestmark = pytest.mark.root
__all__ = ["runc"]

Done = subprocess.CompletedProcess[str]

# Words behind `exec`, with C for the container.
STATUSES = (
    "C /reporter exit 0",
    "C /reporter exit 7",
    "C /reporter exit 255",
    "C /reporter die 9",
    "C /reporter die 15",
    "-d C /reporter exit 7",
    "C nope",
    "C /nope",
    "C /dev",
    "C /dev/null",
    "-e PATH=/dev C null",
    "-e PATH=/dev C shm",
    "C",
    "nope /reporter",
    "--cwd x C /reporter exit 0",
    "--cwd /nope C /reporter exit 0",
    "--cwd /reporter C /reporter exit 0",
    "-e X C /reporter exit 0",
    "-e =x C /reporter exit 0",
    "-u x C /reporter exit 0",
    "-u 0:x C /reporter exit 0",
    "-d -t C /reporter exit 0",
    "--console-socket /x C /reporter exit 0",
    "--process /nope C",
    "--cap CAP_NOPE C /reporter exit 3",
    "--process-label a:b:c:d C /reporter exit 0",
    "C -- /reporter exit 4",
    "-- C /reporter exit 4",
)
# What the program sees.
VIEWS = (
    "",
    "-e A=1 -e TERM=x -e A=2",
    "-e HOME= -u 5",
    "-u 1000:1001 -g 7 -g 8",
    "--cwd /dev",
    "--cap CAP_NET_RAW",
    "--no-new-privs=false",
    "--no-new-privs",
    "--process @plain",
    "--process @full",
)
FILES: dict[str, dict[str, Any]] = {
    "plain": {"cwd": "/", "args": ["/reporter", "report"]},
    "full": {
        "cwd": "/dev",
        "args": ["/reporter", "report"],
        "env": ["A=1", "B=2", "A=3"],
        "user": {"uid": 7, "gid": 8, "additionalGids": [9], "umask": 7},
        "capabilities": {"bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"], "effective": ["CAP_KILL"]},
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 99, "hard": 100}],
        "oomScoreAdj": 500,
        "noNewPrivileges": True,
    },
}


class Container:
    """The same container, of one runtime."""

    def __init__(self, runtime: str, directory: Path, id: str) -> None:
        self.runtime = runtime
        self.directory = directory
        self.id = id
        bundle = directory / "bundle"
        (bundle / "rootfs").mkdir(parents=True)
        shutil.copy(reporter.build(), bundle / "rootfs/reporter")
        config = spec.example(v2=False)
        config["process"].update(terminal=False, args=["/reporter", "sleep"], oomScoreAdj=33)
        config["linux"]["cgroupsPath"] = f"/{id}"
        (bundle / "config.json").write_text(json.dumps(config))
        for name, content in FILES.items():
            (directory / name).write_text(json.dumps(content))
        done = self("run", "--detach", "--bundle", str(bundle), id)
        assert done.returncode == 0, done.stderr

    def __call__(self, *words: str) -> Done:
        output = self.directory / "output"
        with output.open("w") as file:  # a detached container keeps it
            done = subprocess.run(
                [self.runtime, "--root", str(self.directory / "root"), *words],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.PIPE if words[0] == "exec" and "-d" not in words else file,
                text=True,
                timeout=60,
                check=False,
                umask=0o22,
            )
        return Done(done.args, done.returncode, output.read_text(), done.stderr or "")

    def exec(self, words: str) -> Done:
        return self("exec", *[self.id if word == "C" else word for word in words.split()])

    def report(self, flags: str) -> dict[str, Any]:
        words = [str(self.directory / word[1:]) if word[0] == "@" else word for word in flags.split()]
        done = self("exec", *words, self.id, "/reporter", "report")
        assert done.returncode == 0, done.stderr
        (found,) = reporter.parse(done.stdout.encode())
        return view.normal(found, {str(self.directory): "DIRECTORY", self.id: "ID"})


@pytest.fixture(scope="module")
def both(runc: str, pyoci: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Container, Container]]:
    directory, name = tmp_path_factory.mktemp("exec"), f"pyoci-differential-exec-{os.getpid()}"
    made = []
    try:
        for which, runtime in (("ours", pyoci), ("theirs", runc)):
            made.append(Container(runtime, directory / which, f"{name}-{which}"))
        yield made[0], made[1]
    finally:
        for one in made:
            one("delete", "--force", one.id)
            run.remove_cgroups(one.id)


def message(done: Done) -> str:
    """The error, without what differs by name."""
    if "msg=" not in done.stderr:
        return ""
    return done.stderr.splitlines()[0].partition("msg=")[2].replace("pyoci", "runc")


@pytest.mark.parametrize("words", STATUSES)
def test_status_and_error(both: tuple[Container, Container], words: str) -> None:
    ours, theirs = (one.exec(words) for one in both)
    assert ours.returncode == theirs.returncode, f"{ours}\n{theirs}"
    if "environment" in message(theirs):  # ours is told before anything is begun
        assert message(ours) == message(theirs).replace("unable to start container process: ", "")
    elif "CAP_NOPE" in words:
        assert "ignoring unknown capabilities" in message(ours)
    else:
        assert message(ours) == message(theirs)


@pytest.mark.parametrize("flags", VIEWS)
def test_the_same_view(both: tuple[Container, Container], flags: str) -> None:
    ours, theirs = (one.report(flags) for one in both)
    for one in (ours, theirs):
        for key in ("mounts", "exe"):  # of the container: compared by test_runc.py
            one.pop(key, None)
    assert view.differences(ours, theirs) == []
