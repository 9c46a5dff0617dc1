"""run: create, start, and unless detached wait for the end and delete.

What comes after create is imported while the container's process is at work: the runtime would only wait meanwhile.
"""

from __future__ import annotations

from pyoci import pack
from pyoci.container import create
from pyoci.container.options import RunOptions
from pyoci.container.process.handshake import ENDING
from pyoci.container.streams.console import ConsoleOwner
from pyoci.kernel import prctl, signals
from pyoci.kernel.signals import Interrupted, Interrupts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.container.streams.foreground import Foreground


def run(options: RunOptions) -> int:
    """The exit status of the program, 128 and its signal if it died of one; 0 when detached. Raises Error."""
    if not options.detach and not options.no_subreaper:
        prctl.set_child_subreaper()
    terminal = ConsoleOwner(options.create.console_socket, options.detach)
    try:
        return _Run(options, terminal).carry_out()
    except Interrupted as interrupted:
        signals.die(interrupted)
        raise
    finally:
        terminal.close()


class _Run:
    """One run under way."""

    def __init__(self, options: RunOptions, terminal: ConsoleOwner) -> None:
        self.options = options
        self.terminal = terminal
        self.foreground: Foreground | None = None

    def carry_out(self) -> int:
        interrupts = Interrupts(ENDING)
        container = create.make(
            self.options.create, self.terminal, interrupts, self._prepare, foreground=not self.options.detach
        )
        from pyoci.container import supervise

        try:
            # From here on state.json knows all there is to remove: a signal may interrupt anything.
            signals.handle(signals.not_ignored(ENDING), _interrupt)
            interrupts.close()
            interrupts.check()
            return supervise.supervise(container, self.terminal, self.foreground, self.options.keep)
        except (Exception, Interrupted):
            supervise.remove_failed(container)
            raise

    def _prepare(self) -> None:
        pack.preload("supervise")
        from pyoci.container import supervise  # noqa: F401
        from pyoci.container.streams import foreground

        if not self.options.detach:
            self.foreground = foreground.Foreground()


def _interrupt(number: int) -> None:
    signals.ignore(ENDING)  # a second one must not stop the removing
    raise Interrupted(number)
