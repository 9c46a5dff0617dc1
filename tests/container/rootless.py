"""A box whose commands are another user's: unprivileged, on version 2 perhaps with cgroups of its own, or root of a
user namespace and nothing else."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyoci.cli import spec
from tests import snapshot
from tests.container.box import Box

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
