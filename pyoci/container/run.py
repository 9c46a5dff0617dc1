"""run: create, start, and unless detached wait for the end and delete."""

from __future__ import annotations

import os

from pyoci.container import create, poststart, start, state
from pyoci.container.birth import ENDING
from pyoci.container.console import ConsoleOwner
from pyoci.container.create import CreateOptions
from pyoci.container.delete import remove
from pyoci.container.foreground import Foreground
from pyoci.container.state import Container
from pyoci.errors import Error
from pyoci.kernel import process, signals
from pyoci.kernel.process import pidfd_open
from pyoci.kernel.signals import Interrupted, Interrupts


def run(options: CreateOptions) -> int:
    """The exit status of the program, 128 and its signal if it died of one; 0 when detached. Raises Error."""
    if not options.detach and not options.no_subreaper:
        process.set_child_subreaper()
    terminal = ConsoleOwner(options.console_socket, options.detach)
    interrupts = Interrupts(ENDING)
    try:
        container = create.make(options, terminal, interrupts, start=True)
        try:
            # From here on state.json knows all there is to remove: a signal may interrupt anything.
            signals.handle(signals.not_ignored(ENDING), _interrupt)
            interrupts.close()
            interrupts.check()
            return _started(options, container, terminal)
        except (Exception, Interrupted):
            _remove(container)
            raise
    except Interrupted as interrupted:
        signals.die(interrupted)
        raise
    finally:
        terminal.close()


def _interrupt(number: int) -> None:
    signals.ignore(ENDING)  # a second one must not stop the removing
    raise Interrupted(number)


def _started(options: CreateOptions, container: Container, terminal: ConsoleOwner) -> int:
    """Start it; in the foreground wait and clean up."""
    pidfd = pidfd_open(container.pid)
    foreground = None if options.detach else Foreground(container.pid, pidfd, terminal)
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


def _remove(container: Container) -> None:
    """Remove a container that did not start, or whose poststart hook failed; the first error counts."""
    try:
        remove(container)
    except (Error, OSError):
        pass
