"""Start a program and wait for it: hooks on the host, hooks in the container, newuidmap.

One function serves all of them, so all are born alike: default signals, a process group of their own, three
descriptors and nothing else.
"""

from __future__ import annotations

from pyoci import os
from pyoci.kernel import clone as _clone
from pyoci.kernel.execute import Image
from pyoci.kernel.process import close_from
from pyoci.kernel.signals import reset

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable
else:
    import _signal  # the signal module imports enum


_UNREADY = b"!"  # before its report; else what has failed is execve(2), and its errno comes


class Unready(Exception):
    """What came before the program has failed; `report` is for whoever has given it to say."""

    def __init__(self, report: bytes) -> None:
        super().__init__(report)
        self.report = report


def spawn(
    path: bytes,
    image: Image,
    stdio: tuple[int, int, int],
    directory: int = -1,
    before: Callable[[], object] | None = None,
) -> tuple[int, int]:
    """Run the program at `path` with `stdio` as its descriptors 0 to 2; return its pid and a pidfd.

    `directory` is its working directory (-1: ours); `before` runs in the new process right before execve(2). Raises
    the OSError of the execve(2) that failed, with its call as the note, or the Unready that `before` has raised.
    """
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        pid, pidfd = _clone.clone(lambda: _child(path, image, stdio, directory, before, writing))
    except OSError:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    try:
        failed = b""
        while chunk := os.read(reading, 65536):
            failed += chunk
    finally:
        os.close(reading)
    if failed:
        os.close(pidfd)
        os.waitpid(pid, 0)
        if failed[:1] == _UNREADY:
            raise Unready(failed[1:])
        errno = int(failed)
        error = OSError(errno, os.strerror(errno), path)
        error.add_note(f'execve("{path.decode("utf-8", "backslashreplace")}")')
        raise error
    return pid, pidfd


def be_born(stdio: tuple[int, int, int], directory: int = -1) -> None:
    """In a new process: default signals, none blocked, `stdio` as descriptors 0 to 2, `directory` (-1: ours)."""
    reset()
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
    if directory >= 0:
        os.fchdir(directory)
    # Copies above the range first: a source may be one of the targets.
    copies = [os.dup(descriptor) if descriptor < 3 else descriptor for descriptor in stdio]
    for target, source in enumerate(copies):
        os.dup2(source, target, inheritable=True)


def _child(
    path: bytes,
    image: Image,
    stdio: tuple[int, int, int],
    directory: int,
    before: Callable[[], object] | None,
    report: int,
) -> None:
    try:
        os.setpgid(0, 0)
        be_born(stdio, directory)
        os.dup2(report, 3, inheritable=False)
        report = 3
        close_from(4)
        if before is not None:
            image.warm()  # it may load a filter
            before()
        image.execve(path)
    except Unready as unready:
        os.write(report, _UNREADY + unready.report)
        os._exit(127)
    except OSError as error:
        os.write(report, str(error.errno).encode())
        os._exit(127)
