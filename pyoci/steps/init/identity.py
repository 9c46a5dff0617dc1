"""Who the program runs as: groups, ids, capabilities, noNewPrivileges, the session keyring (config.md, "User")."""

from __future__ import annotations

from errno import EINVAL, ENOSYS, EPERM, EROFS

from pyoci import os
from pyoci.config.capabilities import Capabilities
from pyoci.errors import StepError, os_error_text
from pyoci.kernel import capability, keyring, prctl, textfile
from pyoci.kernel.constants import SIGKILL
from pyoci.steps.init.context import InitContext, InitStep
from pyoci.steps.init.rootfs import is_null

CAP_SYS_ADMIN = 1 << 21


class JoinSessionKeyring(InitStep):
    """A session keyring of the container's own; a kernel without keyrings has none to share.

    keyctl(2) joins the oldest keyring of that name that it may search, whoever has made it and whatever is in it, and
    makes one only if there is none. So create takes a name that nobody can have used before, keyring_name(), and exec,
    which wants the one that there is, takes the same.

    `existing`: for exec. Whoever has the container's user id may take every permission away from its keyring, without a
    capability: so nothing is looked at or changed there. Then exec gets a new one, of that name, or without a name if
    that one is refused; never the caller's.
    """

    name: str
    existing: bool = False

    def describe(self) -> str:
        return "join the container's session keyring"  # without its name, which is another one each time

    def execute(self, context: InitContext) -> None:
        try:
            if self.existing:
                self._find(context)
            else:
                keyring.join_session(self.name)
        except OSError as error:
            if error.errno != ENOSYS:
                raise

    def _find(self, context: InitContext) -> None:
        try:
            keyring.find_session(self.name)
        except OSError as error:
            if error.errno == ENOSYS:
                raise
            keyring.new_session()
            why = os_error_text(error)
            context.channel.send("warning", f"unable to join session keyring: {why}: the process has a new one")


def keyring_name(id: str) -> str:
    """A name for the session keyring of a new container: runc's, and what nobody can guess."""
    return f"_ses.{id}.{os.urandom(16).hex()}"


class SetUmask(InitStep):
    """umask(2) of the program."""

    pointer: str = "/process/user/umask"
    umask: int

    def describe(self) -> str:
        return f"set the umask {self.umask:04o}"

    def execute(self, context: InitContext) -> None:
        os.umask(self.umask)


class NoNewPrivileges(InitStep):
    """PR_SET_NO_NEW_PRIVS."""

    pointer: str = "/process/noNewPrivileges"

    def describe(self) -> str:
        return "forbid new privileges"

    def execute(self, context: InitContext) -> None:
        prctl.set_no_new_privileges()


class LimitBoundingSet(InitStep):
    """Drop everything from the bounding set that execve(2) must not give back."""

    pointer: str = "/process/capabilities/bounding"
    capabilities: int

    def describe(self) -> str:
        return f"limit the bounding set to {self.capabilities:#x}"

    def execute(self, context: InitContext) -> None:
        capability.limit_bounding(self.capabilities)


class OwnStandardStreams(InitStep):
    """Give the standard streams to the user, so that /proc/self/fd/1 can be opened again; the group stays.

    /dev/null is shared by everybody and keeps its owner. EPERM (another user namespace's file), EROFS and EINVAL (a
    file without an owner the kernel could change) are forgiven, as runc does.
    """

    pointer: str = "/process/user/uid"
    uid: int

    def describe(self) -> str:
        return f"give the standard streams to uid {self.uid}"

    def execute(self, context: InitContext) -> None:
        for number in range(3):
            status = os.fstat(number)
            if status.st_uid == self.uid or is_null(status):
                continue
            try:
                os.fchown(number, self.uid, -1)
            except OSError as error:
                if error.errno not in (EPERM, EROFS, EINVAL):
                    raise


class SetUser(InitStep):
    """setgroups(2), setresgid(2), setresuid(2), keeping the permitted capabilities for the steps that follow.

    setgroups is called for an empty list as well: else the caller's groups leak into the container. It is left out only
    where the kernel forbids it (a user namespace with "deny"), which of a joined one is not known before.
    """

    pointer: str = "/process/user"
    uid: int
    gid: int
    groups: tuple[int, ...]
    set_groups: bool = True

    def describe(self) -> str:
        groups = "".join(f",{group}" for group in self.groups)
        return f"become uid {self.uid}, gid {self.gid}{groups}"

    def execute(self, context: InitContext) -> None:
        prctl.set_keep_capabilities(True)
        if self.set_groups:
            self._set_groups(context)
        self._set(os.setresgid, "gid", self.gid)
        self._set(os.setresuid, "uid", self.uid)
        prctl.set_keep_capabilities(False)
        # A change of ids clears both: the kernel makes the process dumpable as fs.suid_dumpable says.
        prctl.set_dumpable(False)
        prctl.set_parent_death_signal(SIGKILL)

    def _set_groups(self, context: InitContext) -> None:
        try:
            os.setgroups(list(self.groups))
        except PermissionError as error:
            if not _denied(context.proc):
                raise
            if self.groups:
                raise StepError(
                    "cannot set any additional groups: setgroups is denied in this user namespace",
                    pointer="/process/user/additionalGids",
                    errno=EPERM,
                    hint="leave additionalGids out",
                ) from error

    def _set(self, call: SetIds, kind: str, number: int) -> None:
        try:
            call(number, number, number)
        except OSError as error:
            if error.errno != EINVAL:
                raise
            raise StepError(
                f"cannot set{kind} to unmapped {kind} {number} in user namespace",
                pointer=f"/process/user/{kind}",
                errno=EINVAL,
                hint=f"add a mapping that contains {number} to /linux/{kind}Mappings",
            ) from None


def _denied(proc: int) -> bool:
    return textfile.read("self/setgroups", proc) == b"deny\n"


class SetCapabilities(InitStep):
    """The five sets, as the program will have them; CAP_SYS_ADMIN is kept besides while a filter is still to be loaded.

    What is kept does not reach the program: execve(2) computes its sets from bounding, inheritable and ambient.
    """

    pointer: str = "/process/capabilities"
    capabilities: Capabilities
    keep: int = 0

    def describe(self) -> str:
        sets = self.capabilities
        return (
            f"set capabilities effective {sets.effective:#x} permitted {sets.permitted:#x} "
            f"inheritable {sets.inheritable:#x} ambient {sets.ambient:#x}"
        )

    def execute(self, context: InitContext) -> None:
        sets = self.capabilities
        _, held, _ = capability.get()
        keep = self.keep & held
        permitted = sets.permitted & held | keep
        # What this process does not hold cannot be granted; the specification wants a warning for it, no failure.
        # Nor what is inheritable and not in the bounding set: the kernel would refuse all of it (EPERM).
        capability.set(sets.effective & permitted | keep, permitted, sets.inheritable & held & sets.bounding)
        capability.set_ambient(sets.ambient)  # those outside permitted and inheritable are refused


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    SetIds = Callable[[int, int, int], None]
