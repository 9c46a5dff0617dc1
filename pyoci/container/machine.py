"""What a config counts on and this machine does not have, for `validate`: create finds the same out by trying.

The reasons and hints are those of create's errors, made by the same functions. Only looks; mounts and opens nothing of
an image. What it cannot see, as a directory of another user, it says nothing about.
"""

from __future__ import annotations

import stat

from pyoci import os
from pyoci.cgroups.limits import hints
from pyoci.config import id_list
from pyoci.config.violation import Violation
from pyoci.kernel import textfile
from pyoci.pathname import below, clean
from pyoci.plan.mounts import source
from pyoci.steps.init import mounts, sources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyoci.config import Config
    from pyoci.config.filesystem import Mount
    from pyoci.config.limits import Cpu

_OWN = ("cgroup", "cgroup2")  # what these show is the machine's own kind of cgroups, whichever is asked for


def lacks(
    config: Config, bundle: str, system: str = "/sys/devices/system", filesystems: str = ""
) -> Iterator[Violation]:
    """File systems, sources of bind mounts, processors and memory nodes that are not here. bundle: absolute."""
    known = textfile.read_if_there(filesystems or "/proc/filesystems")
    for number, mount in enumerate(config.mounts):
        if mount.remount:  # of what is mounted already
            continue
        if mount.bind:
            yield from _source(mount, config, bundle, config.mounts[:number])
        elif known and mount.type and mount.type not in _OWN:
            reason, hint = mounts.unknown(mount.type, known)
            if reason:
                yield Violation(pointer=f"{mount.pointer}/type", reason=reason, hint=hint)
    if config.linux.resources.cpu is not None:
        yield from _sets(config.linux.resources.cpu, system)


def _source(mount: Mount, config: Config, bundle: str, earlier: tuple[Mount, ...]) -> Iterator[Violation]:
    name = source(mount, bundle)
    rootfs = clean(os.path.join(bundle, config.root.path)) if config.root is not None else ""
    if rootfs and (inside := below(clean(name), rootfs)):
        missing = _is_missing_inside(rootfs, inside, [clean(one.destination) for one in earlier])
    else:
        missing = _is_missing(name)
    if missing:
        yield Violation(
            pointer=f"{mount.pointer}/source", reason=sources.missing(clean(name)), hint=sources.ON_THIS_HOST
        )


def _is_missing(name: str) -> bool:
    try:
        os.stat(name)
    except FileNotFoundError:
        return True
    except OSError:  # what keeps us from looking need not keep create from it
        return False
    return False


def _is_missing_inside(rootfs: str, inside: str, earlier: list[str]) -> bool:
    """The same of a name below the root file system, where links lead to elsewhere than they do on the host.

    A mount before this one may bring it, and makes the directories on the way to its own place.
    """
    if not os.path.isdir(rootfs) or any(_is_on_the_way(inside, place) for place in earlier):
        return False
    path = rootfs
    for part in inside.split("/")[1:]:
        path = f"{path}/{part}"
        try:
            if stat.S_ISLNK(os.lstat(path).st_mode):
                return False
        except FileNotFoundError:
            return True
        except OSError:
            return False
    return False


def _is_on_the_way(one: str, other: str) -> bool:
    """Whether one of two clean paths lies below the other, or is it."""
    return below(one, other.rstrip("/")) != "" or below(other, one.rstrip("/")) != ""


def _sets(cpu: Cpu, system: str) -> Iterator[Violation]:
    for key, text, file in (("cpus", cpu.cpus, "cpu"), ("mems", cpu.mems, "node")):
        has = os.fsdecode(textfile.read_if_there(f"{system}/{file}/online")).strip()
        found = hints.no_list(text)
        if found is None and has and not _is_within(text, has):
            found = hints.not_there(f"cpuset.{key}", text, "this machine", has)
        if found is not None:
            yield Violation(pointer=f"{cpu.pointer}/{key}", reason=found[0], hint=found[1])


def _is_within(text: str, has: str) -> bool:
    """Whether the kernel's list `has`, which is merged as far as it can be, has everything that `text` names."""
    ours = id_list.ranges(has)
    return all(any(low <= first and last <= high for low, high in ours) for first, last in id_list.ranges(text.strip()))
