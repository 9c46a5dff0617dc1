"""A box whose commands are another user's: unprivileged, on version 2 perhaps with cgroups of its own, or root of a
user namespace and nothing else."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyoci.cli import spec
from tests import snapshot
from tests.container.box import Box, Done
from tests.steps.look import parse

NOBODY = 65534
Config = dict[str, Any]
Change = Callable[[Config], object]


class Rootless:
    """Makes `box` the user's. `view` "v2": where cgroup v2 is all there is; "delegated": and a part of it is
    the user's.

    `inside`: a command that goes into a user namespace, after which the ids are those in there. `environment`: words
    NAME=VALUE of the commands. The installation is bound to where any user may go: a checkout below /root is closed.
    """

    def __init__(
        self, box: Box, view: str = "host", uid: int = NOBODY, inside: str = "", environment: tuple[str, ...] = ()
    ) -> None:
        self.box = box
        self.uid = uid
        self.view = view
        place = box.directory / "installation"
        place.mkdir(exist_ok=True)
        lines = [f'mount --bind "$0" {place}']
        if view != "host":
            # Not a second time: the options would be those of every mount of it.
            lines.append("[ -e /sys/fs/cgroup/cgroup.controllers ] || mount -t cgroup2 c /sys/fs/cgroup")
        if view == "delegated":
            self._delegate()
            lines.append(f"echo $$ >/sys/fs/cgroup/{box.mark}/runtime/cgroup.procs")
        user = inside or f"setpriv --reuid={uid} --regid={uid} --clear-groups"
        lines.append(f'exec {user} env {shlex.join(environment)} "$@"')
        prefix = Path(os.environ.get("PYOCI", box.pyoci)).resolve().parents[1]
        self.box.prefix = (
            *("/usr/bin/unshare", "--mount", "--propagation", "private", "sh", "-ec"),
            "\n".join(lines),
            str(prefix),
        )
        self.box.pyoci = str(place / "bin/pyoci")
        self.give(box.root)

    @property
    def cgroup(self) -> Path:
        """What is delegated, as the test sees it."""
        unified = Path(snapshot.CGROUPS) / "unified"
        return (unified if unified.is_dir() else unified.parent) / self.box.mark

    def _delegate(self) -> None:
        """As systemd does it: the directory, and the files that let its owner move processes in it."""
        (self.cgroup / "runtime").mkdir(parents=True, exist_ok=True)
        for path in (self.cgroup, self.cgroup / "runtime"):
            os.chown(path, self.uid, self.uid)
            for name in ("cgroup.procs", "cgroup.threads", "cgroup.subtree_control"):
                os.chown(path / name, self.uid, self.uid)

    def close(self) -> None:
        """Containers, then the cgroup, before the box looks for what is left."""
        for name in os.listdir(self.box.root):
            if not name.startswith("@"):
                done = self.box("delete", "--force", name)
                assert done.returncode == 0, done.stderr
        if self.view == "delegated":
            for path in (self.cgroup / "runtime", self.cgroup):
                path.rmdir()

    def give(self, *paths: Path, uid: int | None = None) -> None:
        """They are the user's from now on, with everything below."""
        owner = self.uid if uid is None else uid
        for top in paths:
            for path in (top, *top.rglob("*")):
                os.chown(path, owner, owner, follow_symlinks=False)

    def bundle(self, *args: str, change: Change | None = None, owner: int | None = None, mapped: int = -1) -> Path:
        """A bundle as `pyoci spec --rootless` makes it, with the reporter; `mapped`: the user's id as it has it."""
        own = self.uid if mapped < 0 else mapped

        def all_changes(config: Config) -> None:
            v2 = self.view != "host" or not os.path.isdir(f"{snapshot.CGROUPS}/unified")
            example = spec.rootless(spec.example(v2=v2), own, own)
            example["process"].update(terminal=False, args=config["process"]["args"])
            example["root"]["readonly"] = False
            config.clear()
            config.update(example)
            if change is not None:
                change(config)

        path = self.box.bundle(*args, change=all_changes)
        self.give(path, uid=owner)
        return path


def without(*types: str) -> Change:
    """These namespaces are the host's."""

    def change(config: Config) -> None:
        spaces = config["linux"]["namespaces"]
        config["linux"]["namespaces"] = [one for one in spaces if one["type"] not in types]

    return change


def without_user(config: Config) -> None:
    """No user namespace and no mappings: the one that the runtime is in will do."""
    without("user")(config)
    del config["linux"]["uidMappings"], config["linux"]["gidMappings"]


# -- whole lives -----------------------------------------------------------------------------------------------------


def ok(done: Done) -> str:
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def refused(done: Done, *parts: str) -> None:
    """It failed, left nothing, and said all of this."""
    assert done.returncode not in (0, 255), done
    assert "internal error" not in done.stderr
    for part in parts:
        assert part in done.stderr


def maps(pid: int) -> list[list[str]]:
    """Of a process, as the test sees it."""
    return [line.split() for line in Path(f"/proc/{pid}/uid_map").read_text().splitlines()]


def live_without_cgroups(user: Rootless, bundle: Path, seen: list[list[str]], inside: list[list[str]]) -> None:
    """Everything that needs no cgroup works, and the rest says what is missing. `seen`, `inside`: the container's
    uid_map for the test and for itself."""
    box = user.box
    ok(box("create", "--bundle", str(bundle), "c"))
    assert (box.status("c"), maps(box.state("c")["pid"])) == ("created", seen)
    ok(box("start", "c"))
    assert box.status("c") == "running"
    [report] = parse(box("exec", "c", "/reporter", "report"))
    assert ([line.split() for line in report["uid_map"]], report["uid"]) == (inside, [0, 0, 0])
    assert box.mark not in "".join(report["cgroup"])
    assert "running" in ok(box("list"))
    assert ok(box("exec", "--detach", "c", "/reporter", "sleep")) == ""
    none = "cgroup of its own"
    refused(box("ps", "c"), "unable to get all container pids", none)
    refused(box("pause", "c"), "cannot toggle freezer: cgroups not configured for container", none)
    refused(box("resume", "c"), "container not paused")
    refused(
        box("update", "--pids-limit", "20", "c"), "cannot set pids limit: container could not join or create cgroup"
    )
    assert json.loads(ok(box("events", "--stats", "c")))["data"]["pids"] == {}
    ok(box("kill", "c", "KILL"))
    box.wait("c", "stopped")
    ok(box("delete", "c"))


def live_in_a_cgroup(user: Rootless, bundle: Path) -> None:
    """One beside the runtime's own, in which all that needs one works."""
    box = user.box
    ok(box("run", "--detach", "--bundle", str(bundle), "c"))
    pid = int(box.state("c")["pid"])
    own = user.cgroup / "c"
    assert (own / "cgroup.procs").read_text() == f"{pid}\n"
    assert [report["uid"] for report in parse(box("exec", "c", "/reporter", "report"))] == [[0, 0, 0]]
    ok(box("exec", "--detach", "c", "/reporter", "sleep"))
    both = (own / "cgroup.procs").read_text().split()
    assert len(both) == 2 and str(pid) in both
    assert {str(number) for number in json.loads(ok(box("ps", "--format", "json", "c")))} == set(both)
    ok(box("pause", "c"))
    assert "frozen 1" in (own / "cgroup.events").read_text()
    assert box.status("c") == "paused"
    ok(box("resume", "c"))
    assert json.loads(ok(box("events", "--stats", "c")))["data"]["cpu"]["usage"]["total"] > 0
    ok(box("delete", "--force", "c"))
    assert not own.exists()


def enter(namespace: int, uid: int) -> str:
    """A command that runs another one as root of the user namespace, whose owner is the user: the descriptor is the
    test's, and root opens it."""
    user = f"setpriv --reuid={uid} --regid={uid} --clear-groups"
    join = 'nsenter --user=/proc/self/fd/9 --preserve-credentials unshare --mount "$@"'
    return f"sh -c 'exec 9</proc/{os.getpid()}/fd/{namespace}; exec {user} {join}' sh"
