"""process.apparmorProfile: what is written before the program starts, through the private procfs."""

from __future__ import annotations

import os
from errno import EINVAL, ENOENT

from pyoci.errors import StepError
from pyoci.kernel import procfs
from pyoci.steps.step import Context, Step


class SetAppArmorProfile(Step):
    """Ask for a profile at execve(2). attr/apparmor/exec, or attr/exec on a kernel that has only that one."""

    pointer: str = "/process/apparmorProfile"
    profile: str

    def describe(self) -> str:
        return f'apply apparmor profile "{self.profile}"'

    def execute(self, context: Context) -> None:
        name = "self/attr/apparmor/exec"
        try:
            os.stat(name, dir_fd=context.proc)
        except FileNotFoundError:
            name = "self/attr/exec"
        try:
            procfs.write(context.proc, name, f"exec {self.profile}")
        except OSError as error:
            reason = "profile not loaded" if error.errno == ENOENT else os.strerror(error.errno or EINVAL).lower()
            raise StepError(
                f'unable to apply apparmor profile "{self.profile}": {reason}',
                pointer=self.pointer,
                step=type(self).__name__,
                errno=error.errno or 0,
                hint=f"load it with apparmor_parser, or see /sys/kernel/security/apparmor/profiles for {self.profile}",
            ) from None
