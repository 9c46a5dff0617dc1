"""What is said about a container that is not there, in the way, or damaged, and what to do about it.

Imported only when there is something to say. The first lines are runc's.
"""

from __future__ import annotations

from errno import EACCES

from pyoci import environment, os
from pyoci.container import records
from pyoci.errors import ConfigError, DamagedError, Error, NotFoundError, StateError

# Where runtimes and their engines keep containers, below /run and below a user's $XDG_RUNTIME_DIR.
_SYSTEM = "/run/pyoci"  # --root of root, as of all who have no $XDG_RUNTIME_DIR
_ROOTS = ("pyoci", "runc", "crun", "containerd/runc/*", "k3s/containerd/runc/*", "docker/runtime-*/*")
_FILES = ("state.json", "status")  # of pyoci, runc and youki; of crun


def command(root: str, *words: str) -> str:
    """A command line to type; whoever gives advice does not know whether `root` is the default."""
    return f"`pyoci --root {root} {' '.join(words)}`"


def missing(root: str, id: str) -> NotFoundError:
    """Which container is not where, and where one of that name is."""
    texts = [f"there is no {id} below {root}"]
    found = [place for place in _places() if place != root and _holds(place, id)]
    if found:
        texts.append("; ".join(f"one is below {place} (--root {place})" for place in found[:3]))
    elif os.geteuid() != 0 and not environment.variable("XDG_RUNTIME_DIR"):
        texts.append("$XDG_RUNTIME_DIR is not set, and without it a user's own containers are not looked for")
    return NotFoundError(hint=", but ".join(texts) if found else "; ".join(texts))


def _places() -> list[str]:
    """The directories that may be somebody's --root."""
    own = environment.variable("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}"
    found = []
    for top in dict.fromkeys(("/run", own)):
        for pattern in _ROOTS:
            level = [top]
            for part in pattern.split("/"):
                level = [one for place in level for one in _matches(place, part)]
            found += level
    return found


def _matches(directory: str, part: str) -> list[str]:
    """`part` is a name, or the beginning of names and "*"."""
    if not part.endswith("*"):
        return [f"{directory}/{part}"]
    try:
        return [f"{directory}/{name}" for name in sorted(os.listdir(directory)) if name.startswith(part[:-1])]
    except OSError:
        return []


def _holds(root: str, id: str) -> bool:
    return any(os.path.lexists(f"{root}/{id}/{name}") for name in _FILES)


def closed(root: str, id: str) -> Error:
    """Which directory an ordinary user may not open: --root, or that of the container `id` in it; "" for any."""
    inside = bool(id) and os.access(root, os.X_OK, effective_ids=True)
    path = f"{root}/{id}" if inside else root
    if not inside and root == _SYSTEM and not environment.variable("XDG_RUNTIME_DIR"):
        hint = f"$XDG_RUNTIME_DIR is not set, and without it --root is root's own, {_SYSTEM}: "
        hint += f"export XDG_RUNTIME_DIR=/run/user/{os.geteuid()}, or name a directory with --root"
    else:
        hint = f"uid {os.geteuid()} may not open it: it is somebody else's"
    return Error(f"open {path}: permission denied", pointer="--root", errno=EACCES, hint=hint)


def without_state(root: str, id: str) -> NotFoundError:
    """There is a directory of that name, and no state.json in it."""
    return NotFoundError(
        hint=f"{root}/{id} is there without a state.json: its create or delete is under way, or was killed; "
        f"{command(root, 'delete', '--force', id)} removes it in the second case"
    )


def damaged(root: str, id: str, problem: ConfigError | records.Damage, name: str = "state.json") -> DamagedError:
    """What is wrong with which file, and the way out."""
    path = f"{root}/{id}/{name}"
    out = f"{command(root, 'delete', '--force', id)} stops and removes whatever state.json still identifies"
    if isinstance(problem, records.Newer):
        return DamagedError(f"{path}{problem}", hint=f"use the newer pyoci; {out}")
    return DamagedError(problem.message if isinstance(problem, ConfigError) else f"{path}{problem}", hint=out)


def in_use(root: str, id: str, status: str) -> StateError:
    """create found a container of that name: what it is, and how to get rid of it.

    status: "" if nobody can tell; of another runtime's container a sentence that begins with its path.
    """
    delete = command(root, "delete", id)
    force = command(root, "delete", "--force", id)
    ways = {
        "": f"{root}/{id} is there, but no container that pyoci can read",
        "damaged": f"its state.json is damaged: {force} stops and removes whatever it still identifies",
        "stopped": f"it is stopped: {delete} removes it",
        "created": f"it is created: {delete} ends and removes it",
    }
    hint = status if status.startswith("/") else ways.get(status, f"it is {status}: {force} ends and removes it")
    return StateError("container with given ID already exists", hint=f"{hint}; or choose another ID")


def not_stopped(root: str, id: str, status: str) -> StateError:
    """delete without --force of a container that runs."""
    force = f"{command(root, 'delete', '--force', id)} ends it first"
    kill = f"{command(root, 'kill', id, 'KILL')} ends it"
    hint = {"paused": f"{command(root, 'resume', id)} lets it go on; {force}", "creating": force}
    return StateError(
        f"cannot delete container {id} that is not stopped: {status}", hint=hint.get(status, f"{kill}; {force}")
    )
