"""Hooks that the runtime runs while it creates a container: prestart and createRuntime."""

from __future__ import annotations

from pyoci.config.hooks import Hook
from pyoci.steps.hooks.run import run_hooks
from pyoci.steps.hooks.state import HookState
from pyoci.steps.host.context import HostContext, HostStep


class RunHooks(HostStep):
    """Run the hooks of one kind, one after the other, in the bundle; the first failure is the last.

    The environment of one without `env` is the runtime's own.
    """

    kind: str  # "createRuntime"
    hooks: tuple[Hook, ...]
    state: HookState
    status: str

    def describe(self) -> str:
        return f"run {len(self.hooks)} {self.kind} hooks: " + ", ".join(hook.path for hook in self.hooks)

    def execute(self, context: HostContext) -> None:
        text = self.state.text(self.status, context.pid)
        run_hooks(self.kind, self.hooks, text, None, context.bundle, interrupts=context.interrupts)
