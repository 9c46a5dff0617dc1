"""process.user.additionalGids where setgroups(2) is forbidden (user_namespaces(7)): imported only then."""

from __future__ import annotations

from pyoci import os
from pyoci.config.process import User
from pyoci.errors import ConfigError
from pyoci.log import log


def without(user: User) -> None:
    """Refuse additional groups of an unprivileged runtime, in runc's words; ignore them with a warning below somebody
    else's user namespace: engines there ask for the groups of the image's user whatever they can have. Raises
    ConfigError.
    """
    if os.geteuid() != 0:
        raise ConfigError(
            "cannot set any additional groups in a rootless container",
            pointer="/process/user/additionalGids",
            hint="the kernel lets only newgidmap(1) allow it: map a range of /etc/subgid, or leave additionalGids out",
        )
    log.warning("ignoring additionalGids: setgroups is denied in this user namespace")
