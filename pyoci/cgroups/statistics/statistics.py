"""What a container has used: the JSON of `events`. Nothing of it is imported by any other command."""

from __future__ import annotations

from pyoci.cgroups.files import Tree
from pyoci.cgroups.statistics import v1, v2
from pyoci.cgroups.statistics.shape import Statistics, members
from pyoci.errors import Error, os_error_text, system_call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def read(paths: dict[str, str]) -> dict[str, Any]:
    """The members of "data" for the cgroup `paths` (controller -> directory, "" for v2), in runc's shape.

    On a hybrid machine the v1 controllers tell. A container without cgroups has used nothing that is known.
    Raises Error.
    """
    try:
        with Tree() as tree:
            if set(paths) == {""}:
                return members(v2.read(tree, paths[""]))
            return members(v1.read(tree, paths))
    except OSError as error:
        raise _failed(Error(os_error_text(error), call=system_call(error), errno=error.errno or 0)) from error
    except Error as error:
        raise _failed(error) from None


def _failed(error: Error) -> Error:
    return error.prefixed("unable to get container cgroup stats")


__all__ = ["Statistics", "members", "read"]
