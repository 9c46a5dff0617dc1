"""Hooks: programs run at six moments, with the container's state on stdin (config.md, "POSIX-platform Hooks")."""

from __future__ import annotations

import select
import time

from pyoci import channel, environment, os
from pyoci.config.hooks import Hook
from pyoci.errors import HookError
from pyoci.kernel import program_file
from pyoci.kernel.constants import SIGKILL
from pyoci.kernel.ending import ending
from pyoci.kernel.execute import Image
from pyoci.kernel.process import pidfd_send_signal
from pyoci.kernel.spawn import Unready, spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from pyoci.kernel.signals import Interrupts

    class Starter(Protocol):
        """Who starts the programs of hooks, if it is not the process that runs them."""

        def spawn(
            self,
            path: bytes,
            image: Image,
            stdio: tuple[int, int, int],
            directory: int,
            before: Callable[[], object] | None,
        ) -> tuple[int, int]:
            """As kernel.spawn.spawn()."""
            ...

        def finish(self) -> None:
            """Once the hook has ended. Raises OSError, Unready if it was not the hook's program that has."""
            ...


_GRACE = 0.1  # seconds to collect output after the end: a grandchild may hold the pipe for ever
_OUTPUT_LIMIT = 64 << 10


def run_hooks(
    kind: str,
    hooks: tuple[Hook, ...],
    state: str,
    env: tuple[str, ...] | None,
    directory: int = -1,
    before: Callable[[], object] | None = None,
    interrupts: Interrupts | None = None,
    first: int = 0,
    starter: Starter | None = None,
) -> None:
    """Run `hooks` in order. Raises HookError with runc's words for the one that fails, counted from `first`;
    Interrupted.
    """
    for index, hook in enumerate(hooks, first):
        failed = f"error running {kind} hook #{index}"
        try:
            reason, why = _run(hook, state, env, directory, before, interrupts, starter)
        except Unready as unready:  # the failure is that of a step which was taken for the hook
            error = channel.decode_error(channel.decode(unready.report)[1])
            raise HookError(
                f"{failed}: {error.message}",
                pointer=error.pointer,
                step=error.step,
                call=error.call,
                errno=error.errno,
                hint=error.hint or f"the hook is {hook.path}",
            ) from None
        if reason:
            hint = f"the hook is {hook.path}{why and f': {why}'}"
            raise HookError(f"{failed}: {reason}", pointer=hook.pointer, hint=hint)


def _run(
    hook: Hook,
    state: str,
    env: tuple[str, ...] | None,
    directory: int,
    before: Callable[[], object] | None,
    interrupts: Interrupts | None,
    starter: Starter | None,
) -> tuple[str, str]:
    """Run one hook; why it failed in runc's words, "" if it did not, and what is known beyond them."""
    if hook.env is not None:
        env = hook.env
    elif env is None:
        env = tuple(f"{name}={value}" for name, value in environment.variables().items())
    image = Image(hook.args or (hook.path,), env, spare=0)
    pipes = [os.pipe2(os.O_CLOEXEC) for _ in range(3)]
    ours = [pipes[0][1], pipes[1][0], pipes[2][0]]
    theirs = (pipes[0][0], pipes[1][1], pipes[2][1])
    try:
        start = spawn if starter is None else starter.spawn
        pid, pidfd = start(os.fsencode(hook.path), image, theirs, directory, before)
    except BaseException as error:
        for descriptor in ours:
            os.close(descriptor)
        if isinstance(error, OSError):
            return _not_started(hook, error)
        raise
    finally:
        for descriptor in theirs:
            os.close(descriptor)
    conversation = _Conversation(pid, pidfd, ours, state.encode("utf-8", "surrogateescape"), interrupts)
    try:
        in_time = conversation.run(hook.timeout)
        status = os.waitpid(pid, 0)[1]
    except BaseException:  # the runtime is interrupted: a hook of a container that will not be has no business
        conversation.kill()
        os.waitpid(pid, 0)
        raise
    finally:
        conversation.close()
    if starter is not None:
        try:
            starter.finish()
        except OSError as error:
            return _not_started(hook, error)
    output = [bytes(text).decode("utf-8", "backslashreplace") for text in conversation.output]
    if not in_time:
        return f"hook ran past specified timeout of {hook.timeout:.1f}s", ""
    if status == 0:
        return "", ""
    return f"{ending(status)}, stdout: {output[0]}, stderr: {output[1]}", ""


def _not_started(hook: Hook, error: OSError) -> tuple[str, str]:
    text = os.strerror(error.errno or 0)
    # Looked up where we are: it is there that the hook's path counts.
    why = program_file.why(program_file.faults(os.fsencode(hook.path)), error.errno)
    return f"fork/exec {hook.path}: {text[:1].lower()}{text[1:]}", why


class _Conversation:
    """Feed stdin, collect stdout and stderr, watch for the end and the clock, in one poll loop."""

    def __init__(self, pid: int, pidfd: int, pipes: list[int], text: bytes, interrupts: Interrupts | None) -> None:
        self.pid, self.pidfd = pid, pidfd
        self.stdin, *self.outputs = pipes
        self.text = text
        self.output = (bytearray(), bytearray())
        self.open = set(pipes)
        self.poll = select.poll()
        self.poll.register(pidfd, select.POLLIN)
        self.poll.register(self.stdin, select.POLLOUT)
        for descriptor in self.outputs:
            self.poll.register(descriptor, select.POLLIN)
        for descriptor in pipes:
            os.set_blocking(descriptor, False)
        self.interrupts = interrupts
        if interrupts is not None:
            self.poll.register(interrupts.fileno(), select.POLLIN)

    def run(self, timeout: int | None) -> bool:
        """Until the hook has ended. False: it ran out of time and its process group was killed."""
        deadline = time.monotonic() + timeout if timeout else None
        in_time = True
        while not self._step(deadline):
            if deadline is not None and time.monotonic() >= deadline:
                in_time = False
                deadline = None
                self.kill()
        grace = time.monotonic() + _GRACE
        while self.open.intersection(self.outputs) and time.monotonic() < grace:
            self._step(grace)
        return in_time

    def kill(self) -> None:
        """The hook, and what it has started as far as that is in the process group that it began in."""
        try:
            os.killpg(self.pid, SIGKILL)
        except OSError:
            pass
        pidfd_send_signal(self.pidfd, SIGKILL)  # it may have gone to another group

    def _step(self, deadline: float | None) -> bool:
        """Handle what is ready before `deadline`; whether the hook has ended."""
        wait = None if deadline is None else max(0, int((deadline - time.monotonic()) * 1000) + 1)
        ended = False
        for descriptor, _ in self.poll.poll(wait):
            if self.interrupts is not None:
                self.interrupts.check()
            if descriptor == self.pidfd:
                ended = True
                self.poll.unregister(descriptor)  # it stays readable: the grace below would not sleep
            elif descriptor == self.stdin:
                self._write()
            elif descriptor in self.open:
                self._read(descriptor)
        return ended

    def _write(self) -> None:
        try:
            self.text = self.text[os.write(self.stdin, self.text) :]
        except BlockingIOError:
            return
        except BrokenPipeError:  # a hook need not read its state
            self.text = b""
        if not self.text:
            self._drop(self.stdin)

    def _read(self, descriptor: int) -> None:
        chunk = os.read(descriptor, 4096)
        if not chunk:
            self._drop(descriptor)
            return
        collected = self.output[self.outputs.index(descriptor)]
        if len(collected) < _OUTPUT_LIMIT:
            collected += chunk

    def _drop(self, descriptor: int) -> None:
        self.poll.unregister(descriptor)
        self.open.discard(descriptor)
        os.close(descriptor)

    def close(self) -> None:
        for descriptor in self.open:
            os.close(descriptor)
        os.close(self.pidfd)
