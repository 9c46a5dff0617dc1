"""Run one container and read what its program reports about itself."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests import reporter
from tests.container.box import Box

Config = dict[str, Any]
Change = Callable[[Config], object]
Seen = dict[str, Any]
Look = Callable[..., Seen]


def changes(*every: Change) -> Change:
    """All of them, in order."""

    def change(config: Config) -> None:
        for one in every:
            one(config)

    return change


def process(**members: object) -> Change:
    """Set members of `process`."""
    return lambda config: config["process"].update(members)


def namespaces(*types: str) -> Change:
    """These new namespaces and no others."""
    return lambda config: config["linux"].update(namespaces=[{"type": one} for one in types])


def user_namespace(first: int = 100000, size: int = 65536) -> Change:
    """A new user namespace; the spec's other namespaces stay."""

    def change(config: Config) -> None:
        linux = config["linux"]
        linux["namespaces"].append({"type": "user"})
        linux["uidMappings"] = linux["gidMappings"] = [{"containerID": 0, "hostID": first, "size": size}]

    return change


def writable(config: Config) -> None:
    """The root file system can be written."""
    config["root"]["readonly"] = False


@pytest.fixture
def look(box: Box) -> Look:
    """`look(change, "/path")`: what the program of a container with that change sees, and lstat of these paths.

    `options`: of run. Everything else goes to subprocess.Popen.
    """
    count = 0

    def run(change: Change | None = None, *paths: str, options: tuple[str, ...] = (), **popen: Any) -> Seen:
        nonlocal count
        count += 1
        bundle = box.bundle("report", *paths, change=change)
        done = box("run", *options, "--bundle", str(bundle), f"look-{count}", **popen)
        assert (done.returncode, done.stderr) == (0, ""), done
        [seen] = parse(done)
        return seen

    return run


def parse(done: subprocess.CompletedProcess[str]) -> list[Seen]:
    """The reporter's JSON lines in the output of a command."""
    return reporter.parse(done.stdout.encode("utf-8", "surrogateescape"))
