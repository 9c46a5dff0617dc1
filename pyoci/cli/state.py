"""state: print the state of a container. Nothing else may be printed: go-runc parses both streams together."""

from __future__ import annotations

from pyoci import jsonfile
from pyoci.cli.output import emit
from pyoci.container import state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyoci.cli.options import Options


def main(options: Options) -> int:
    """Print the JSON object, indented by two, without a line end: byte for byte what runc prints."""
    container = state.load(options.text("root"), options.arguments[0])
    emit(jsonfile.dumps_indent(description(container, ""), 2))
    return 0


def description(container: state.Container, owner: str) -> dict[str, Any]:
    """The members of `state` and of `list -f json`, in runc's order. The pid of a stopped container is 0."""
    status = state.status(container)
    members: dict[str, Any] = {
        "ociVersion": container.oci_version,
        "id": container.id,
        "pid": 0 if status == "stopped" else container.pid,
        "status": status,
        "bundle": container.bundle,
        "rootfs": container.rootfs,
        "created": container.created,
    }
    if container.annotations:
        members["annotations"] = dict(sorted(container.annotations.items()))
    members["owner"] = owner
    return members
