"""Security modules that config.json relies on have to be there, before anything else is done."""

from __future__ import annotations

from pyoci.errors import Error
from pyoci.steps.host.context import HostContext, HostStep
from pyoci.steps.init import apparmor, selinux


class RequireAppArmor(HostStep):
    """A profile that would not be applied is an error, before anything else is done."""

    pointer: str = "/process/apparmorProfile"
    profile: str

    def describe(self) -> str:
        return "require AppArmor"

    def execute(self, context: HostContext) -> None:
        if not apparmor.enabled(context.proc):
            raise apparmor.refused(
                self, self.profile, "apparmor is not enabled", 0, "remove the profile, or enable AppArmor"
            )


class RequireSelinux(HostStep):
    """A label that would not be applied is an error, before anything else is done."""

    def describe(self) -> str:
        return "require SELinux"

    def execute(self, context: HostContext) -> None:
        if not selinux.enabled(context.proc):
            what = "selinux label" if self.pointer.endswith("/selinuxLabel") else "mount label"
            raise Error(
                f"{what} is specified in config, but selinux is disabled or not supported",
                hint=f"remove it, or enable SELinux: {selinux.PLACE} has to be mounted, and a policy loaded",
            )
