"""create: make a container from a bundle. Its program waits for start."""

from __future__ import annotations

from pyoci import pathname
from pyoci.cli.bundle import bundle
from pyoci.container.create import create
from pyoci.container.options import CreateOptions
from pyoci.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.cli.options import Options


def main(options: Options) -> int:
    """Make the container of a bundle; its process then waits for `start`. Returns 0, raises Error."""
    create(create_options(options))
    return 0


def create_options(options: Options) -> CreateOptions:
    """What create and run have in common. Paths are made absolute here, before anyone changes directory."""
    if options.number("preserve-fds") < 0:
        raise UsageError("--preserve-fds must not be negative", pointer="--preserve-fds")
    return CreateOptions(
        root=options.text("root"),
        id=options.arguments[0],
        bundle=bundle(options),
        console_socket=_absolute(options.text("console-socket")),
        pidfd_socket=_absolute(options.text("pidfd-socket")),
        pid_file=_absolute(options.text("pid-file")),
        no_pivot=options.flag("no-pivot"),
        no_new_keyring=options.flag("no-new-keyring"),
        preserve_fds=options.number("preserve-fds"),
        rootless=options.text("rootless"),
        systemd_cgroup=options.flag("systemd-cgroup"),
        trace=_absolute(options.text("trace")),
    )


def _absolute(path: str) -> str:
    return pathname.absolute(path) if path else ""
