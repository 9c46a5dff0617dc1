"""process.terminal: a pseudo-terminal made inside the container, its master sent out (config.md, "Process").

Nothing is opened by a name that the image could have prepared: the multiplexer must be devpts's own (CVE-2025-52565),
the slave is opened through its master, and /dev/console is bound by descriptor, links refused (CVE-2026-88264).
"""

from __future__ import annotations

import stat

from pyoci import os
from pyoci.errors import StepError
from pyoci.kernel import mount, path, terminal
from pyoci.kernel.constants import DEVPTS_SUPER_MAGIC
from pyoci.kernel.path import filesystem_type
from pyoci.steps.init.context import InitContext, InitStep

_PTMX_INODE = 2


class OpenTerminal(InitStep):
    """Allocate the pseudo-terminal and send its master to the runtime, with the slave's name."""

    pointer: str = "/process/terminal"
    size: tuple[int, int] | None  # height, width
    uid: int

    def describe(self) -> str:
        return "open a pseudo-terminal"

    def execute(self, context: InitContext) -> None:
        master = self._multiplexer(context)
        try:
            terminal.unlock(master)
            slave = terminal.open_peer(master)
            if self.size is not None and all(self.size):
                terminal.set_size(master, *self.size)
            os.fchown(slave, self.uid, -1)
            context.channel.send("console", f"/dev/pts/{terminal.index(master)}", descriptors=(master,))
        finally:
            os.close(master)
        context.terminal = slave

    def _multiplexer(self, context: InitContext) -> int:
        """Open devpts's multiplexer. Looked at first: to open a device, or a FIFO, may have effects or never end."""
        try:
            found = path.open_in_root(context.root, b"/dev/pts/ptmx", os.O_PATH | os.O_NOFOLLOW)
        except FileNotFoundError as error:
            raise self._refused("open /dev/pts/ptmx: no such file or directory", error.errno or 0) from None
        try:
            status = os.fstat(found)
            real = stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(5, 2) and status.st_ino == _PTMX_INODE
            if not real or filesystem_type(found) != DEVPTS_SUPER_MAGIC:
                raise self._refused("/dev/pts/ptmx is not the multiplexer of a devpts", 0)
            return os.open(f"self/fd/{found}", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=context.proc)
        finally:
            os.close(found)

    def _refused(self, reason: str, errno: int) -> StepError:
        return StepError(
            f"open a pseudo-terminal: {reason}",
            errno=errno,
            hint="mount a devpts on /dev/pts (options newinstance,ptmxmode=0666)",
        )


class BindConsole(InitStep):
    """Put the slave on /dev/console."""

    pointer: str = "/process/terminal"

    def describe(self) -> str:
        return "bind the terminal on /dev/console"

    def execute(self, context: InitContext) -> None:
        directory = path.open_in_root(context.root, b"/dev", os.O_PATH | os.O_DIRECTORY)
        try:
            target = self._target(directory)
        finally:
            os.close(directory)
        try:
            tree = mount.clone_tree(context.terminal)
            mount.attach(tree, target)
            os.close(tree)
        finally:
            os.close(target)

    def _target(self, directory: int) -> int:
        flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY | os.O_CLOEXEC
        try:
            os.close(os.open("console", flags, 0o620, dir_fd=directory))
        except FileExistsError:
            pass
        target = os.open("console", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        if stat.S_ISLNK(os.fstat(target).st_mode):
            os.close(target)
            raise StepError(
                "bind the terminal on /dev/console: it is a symbolic link",
                hint="remove the link from the root file system",
            )
        return target


class TakeTerminal(InitStep):
    """Make the slave the controlling terminal and the standard streams."""

    pointer: str = "/process/terminal"

    def describe(self) -> str:
        return "take the terminal as standard streams"

    def execute(self, context: InitContext) -> None:
        terminal.make_controlling(context.terminal)
        for number in range(3):
            os.dup2(context.terminal, number, inheritable=True)
        if context.terminal > 2:
            os.close(context.terminal)


class OpenContainerRoot(InitStep):
    """exec: the directory below which the names of the container are looked up."""

    def describe(self) -> str:
        return "open /"

    def execute(self, context: InitContext) -> None:
        context.root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


class TakeStreams(InitStep):
    """exec: make the slave the standard streams, so that the container never sees the process with the caller's."""

    pointer: str = "/process/terminal"

    def describe(self) -> str:
        return "take the terminal as standard streams"

    def execute(self, context: InitContext) -> None:
        for number in range(3):
            os.dup2(context.terminal, number, inheritable=True)
        if context.terminal > 2:
            os.close(context.terminal)
        context.terminal = 0


class ControlTerminal(InitStep):
    """exec: make the standard streams' terminal the controlling one, which only the leader of a session can."""

    pointer: str = "/process/terminal"

    def describe(self) -> str:
        return "make the terminal the controlling one"

    def execute(self, context: InitContext) -> None:
        terminal.make_controlling(context.terminal)
