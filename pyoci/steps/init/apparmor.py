"""process.apparmorProfile: AppArmor's profile of the program, asked for through the private procfs."""

from __future__ import annotations

from errno import EINVAL, ENOENT

from pyoci import os
from pyoci.errors import StepError
from pyoci.kernel import procfs, textfile
from pyoci.steps.init.context import InitContext, InitStep
from pyoci.steps.step import Step

_ENABLED = "/sys/module/apparmor/parameters/enabled"
_NEW, _OLD = "self/attr/apparmor", "self/attr"  # a kernel before 5.8 has only the second, for whatever module there is


def enabled(proc: int) -> bool:
    """Told by the kernel module's parameter; where /sys is hidden, by AppArmor's own directory in procfs."""
    try:
        return textfile.read(_ENABLED).strip() == b"Y"
    except OSError:
        return _exists(proc, _NEW)


class SetAppArmorProfile(InitStep):
    """Ask for a profile at execve(2).

    `no_new_privileges`: under them a process that is confined already may only add a profile to its own one ("stack"),
    which execve(2) would otherwise refuse. One that is not confined may have any.
    """

    pointer: str = "/process/apparmorProfile"
    profile: str
    no_new_privileges: bool = False

    def describe(self) -> str:
        return f'apply apparmor profile "{self.profile}"'

    def execute(self, context: InitContext) -> None:
        directory = _NEW if _exists(context.proc, f"{_NEW}/exec") else _OLD
        verb = "stack" if self.no_new_privileges and confined(context.proc, directory) else "exec"
        try:
            procfs.write(context.proc, f"{directory}/exec", f"{verb} {self.profile}")
        except OSError as error:
            reason = "profile not loaded" if error.errno == ENOENT else os.strerror(error.errno or EINVAL).lower()
            hint = f"load it with apparmor_parser, or see /sys/kernel/security/apparmor/profiles for {self.profile}"
            raise refused(self, self.profile, reason, error.errno or 0, hint) from None


def confined(proc: int, directory: str) -> bool:
    """Whether this process has a profile itself. The word counts, not its beginning: "unconfined_foo" is one."""
    try:
        words = textfile.read(f"{directory}/current", proc).split()  # "docker-default (enforce)"
    except OSError:  # not there; EINVAL: no security module answers
        return False
    return words[:1] != [b"unconfined"]


def _exists(proc: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=proc)
    except OSError:
        return False
    return True


def refused(step: Step, profile: str, reason: str, errno: int, hint: str) -> StepError:
    """runc's words; podman looks for them."""
    return StepError(
        f'unable to apply apparmor profile "{profile}": {reason}',
        errno=errno,
        hint=hint,
    )
