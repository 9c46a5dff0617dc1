"""Hooks that the container's process runs, in the container's namespaces: createContainer and startContainer."""

from __future__ import annotations

from pyoci import channel, os
from pyoci.config.hooks import Hook
from pyoci.errors import Error
from pyoci.kernel.spawn import Unready
from pyoci.log import log
from pyoci.steps.hooks.run import run_hooks
from pyoci.steps.hooks.state import HookState
from pyoci.steps.init.context import InitContext, InitStep, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.steps.hooks.run import Starter


class RunContainerHooks(InitStep):
    """Run the hooks of one kind, one after the other. The first failure is the last."""

    kind: str  # "createContainer"
    hooks: tuple[Hook, ...]
    state: HookState
    status: str
    env: tuple[str, ...] | None  # for a hook without "env"; None: the program's
    in_root: bool  # it starts in the container's root, which is not ours yet; else in the current directory
    before: tuple[InitStep, ...] = ()  # taken by the hook's process right before execve(2)

    def describe(self) -> str:
        return f"run {len(self.hooks)} {self.kind} hooks: " + ", ".join(hook.path for hook in self.hooks)

    def execute(self, context: InitContext) -> None:
        def before() -> None:
            # We are the hook's process here: the channel and the file of --trace are not open in it.
            log.silence()
            context.trace = -1
            try:
                run(self.before, context)
            except Error as error:
                raise Unready(channel.encode("error", channel.encode_error(error))) from None

        env = self.env
        if env is None:
            assert context.image is not None
            env = context.image.environment()
        run_hooks(
            self.kind,
            self.hooks,
            self.state.text(self.status, os.getpid()),
            env,
            context.root if self.in_root else -1,
            before if self.before else None,
            starter=self.starter(context),
        )

    def starter(self, context: InitContext) -> Starter | None:
        """Who starts the hooks' programs, if it is not the process that runs them."""
        return None


class RunNotifiedHooks(RunContainerHooks):
    """The same; the filter that the hooks load has a listener."""

    def starter(self, context: InitContext) -> Starter:
        """A Relay: the hooks are made by a process that knows where their listener has to go."""
        from pyoci.steps.hooks.relay import Relay

        assert context.handover is not None
        return Relay(context.handover)
