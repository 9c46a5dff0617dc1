"""exec: run one more process in a container."""

from __future__ import annotations

from pyoci import pathname
from pyoci.container.exec import ExecOptions, execute
from pyoci.container.exec_process import ProcessOptions
from pyoci.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.cli.options import Options


def main(options: Options) -> int:
    """The program's exit status, or 128 and its signal; 0 with --detach."""
    return execute(exec_options(options))


def exec_options(options: Options) -> ExecOptions:
    """Paths are made absolute here. One "--" between the container and the program is dropped, as runc 1.6 does."""
    if options.number("preserve-fds") < 0:
        raise UsageError("--preserve-fds must not be negative", pointer="--preserve-fds")
    id, *args = options.arguments
    if args[:1] == ["--"]:
        del args[0]
    return ExecOptions(
        root=options.text("root"),
        id=id,
        process=ProcessOptions(
            args=tuple(args),
            file=_absolute(options.text("process")),
            cwd=options.text("cwd"),
            env=options.texts("env"),
            tty=options.flag("tty"),
            user=options.text("user") if "user" in options.given else None,
            additional_gids=options.texts("additional-gids"),
            process_label=options.text("process-label"),
            apparmor=options.text("apparmor"),
            no_new_privs=options.flag("no-new-privs") if "no-new-privs" in options.given else None,
            cap=options.texts("cap"),
        ),
        console_socket=_absolute(options.text("console-socket")),
        pidfd_socket=_absolute(options.text("pidfd-socket")),
        pid_file=_absolute(options.text("pid-file")),
        detach=options.flag("detach"),
        preserve_fds=options.number("preserve-fds"),
        cgroup=options.texts("cgroup"),
        ignore_paused=options.flag("ignore-paused"),
        rootless=options.text("rootless"),
        umask=options.umask,
    )


def _absolute(path: str) -> str:
    return pathname.absolute(path) if path else ""
