"""The rest of run, once the container is created: start it, and unless detached wait for its end and delete it."""

from __future__ import annotations

from pyoci import os
from pyoci.container import poststart, start, state
from pyoci.container.console import ConsoleOwner
from pyoci.container.create import CreateOptions
from pyoci.container.delete import remove
from pyoci.container.foreground import Foreground
from pyoci.container.state import Container
from pyoci.errors import Error
from pyoci.kernel.process import pidfd_open


def carry_on(
    options: CreateOptions, container: Container, terminal: ConsoleOwner, foreground: Foreground | None
) -> int:
    """The exit status of run; `foreground`: None when detached. Raises Error."""
    pidfd = pidfd_open(container.pid)
    if foreground is not None:
        foreground.begin(container.pid, pidfd, terminal)
    relay = start.relay_for(container)
    try:
        directory = state.open_directory(container.root, container.id)
        try:
            start.release(container, directory, relay)
        finally:
            os.close(directory)
        poststart.run(container)
        if foreground is None:
            if relay is not None:
                relay.wait()
            return 0
        status = foreground.wait(relay)
    finally:
        if relay is not None:
            relay.close()
        if foreground is not None:
            foreground.close()
        os.close(pidfd)
    if not options.keep:
        remove(container)
    return status


def remove_failed(container: Container) -> None:
    """Remove a container that did not start, or whose poststart hook failed; the first error counts."""
    try:
        remove(container)
    except (Error, OSError):
        pass
