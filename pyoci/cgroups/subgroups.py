"""exec --cgroup: cgroups below those of the container. Pure."""

from __future__ import annotations

from pyoci.errors import Error
from pyoci.pathname import clean

OPTION = "--cgroup"


def parse(arguments: tuple[str, ...]) -> dict[str, str]:
    """The arguments of --cgroup as controller -> path below the container's cgroup.

    One path without a controller ("" here) counts in every hierarchy. Raises Error in runc's words.
    """
    found: dict[str, str] = {}
    for argument in arguments:
        controllers, colon, path = argument.partition(":")
        if not colon:
            if len(arguments) != 1:
                raise Error(f"invalid --cgroup argument: {argument} (missing <controller>: prefix)", pointer=OPTION)
            return {"": argument}
        for controller in controllers.split(","):
            if not controller:
                raise Error(f"invalid --cgroup argument: {argument} (empty <controller> prefix)", pointer=OPTION)
            if controller in found:
                raise Error(
                    f"invalid --cgroup argument(s): controller {controller} specified multiple times", pointer=OPTION
                )
            found[controller] = path
    return found


def place(paths: dict[str, str], wanted: dict[str, str]) -> dict[str, str]:
    """Where the process goes: `paths` of the container, with the sub-cgroups `wanted`. Raises Error.

    Compared by components: /a/web-evil is not below /a/web.
    """
    if "" in wanted:
        return {controller: _join(path, wanted[""]) for controller, path in paths.items()}
    placed = dict(paths)
    for controller, sub in wanted.items():
        if controller not in paths:
            known = ", ".join(sorted(name for name in paths if name))
            hint = f"the container has {known}" if known else "cgroup v2 has no controllers of its own: give the path"
            raise Error(f"unknown controller {controller} in SubCgroupPaths", pointer=OPTION, hint=hint)
        placed[controller] = _join(paths[controller], sub)
    # Controllers of one hierarchy share its cgroups.
    for controller, path in paths.items():
        others = {placed[other] for other in wanted if paths[other] == path}
        if len(others) > 1:
            raise Error(
                f"invalid --cgroup argument(s): {controller} would be in {' and '.join(sorted(others))}", pointer=OPTION
            )
        if others:
            placed[controller] = others.pop()
    return placed


def _join(base: str, sub: str) -> str:
    joined = clean(f"{base}/{sub}")
    if joined != base and not joined.startswith(f"{base}/"):
        raise Error(f"bad sub cgroup path: {sub}", pointer=OPTION, hint=f"it has to stay below {base}")
    return joined
