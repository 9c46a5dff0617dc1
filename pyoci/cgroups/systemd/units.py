"""The life of a container's unit: started around a waiting process, and stopped (changed: systemd/update.py).

systemd makes the unit's cgroup and gives it the properties that it knows; everything else is done in that cgroup
through cgroupfs, like that of any other container.
"""

from __future__ import annotations

import time

from pyoci import os
from pyoci.cgroups import files
from pyoci.cgroups.hierarchies import parse_own
from pyoci.cgroups.systemd import names as systemd_names
from pyoci.cgroups.systemd.bus import Bus, Refused
from pyoci.errors import Error, StepError
from pyoci.kernel import textfile
from pyoci.kernel.constants import SIGKILL
from pyoci.log import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.cgroups.hierarchies import Layout
    from pyoci.cgroups.systemd.names import Unit
    from pyoci.cgroups.systemd.properties import Property
    from pyoci.undo import Undo

_PATIENCE = 2.0  # seconds
_SYSTEMDS = ("", "name=systemd")  # hierarchies in which systemd watches its cgroups
_POINTER = "/linux/cgroupsPath"


def start(bus: Bus, unit: Unit, pid: int, properties: list[Property], undo: Undo) -> None:
    """Start the unit with the process `pid` in it and wait until it is there. Raises StepError, Interrupted.

    A unit of that name which has failed and was left is cleaned away first; one that is alive is somebody's and stays.
    """
    asked = [*properties, ("PIDs", ("au", [pid]))]
    try:
        job = _start(bus, unit.name, asked)
    except Refused as error:
        if error.name != "systemd1.UnitExists":
            raise _failed(unit, error) from error
        reset_failed(bus, unit.name)
        try:
            job = _start(bus, unit.name, asked)
        except Refused as again:
            raise _failed(unit, again) from again
    undo.add(abandon, unit)
    result = bus.wait_job(job, f"the start of {unit.name}")
    if result != "done":
        raise StepError(
            f"error creating systemd unit `{unit.name}`: got `{result}`",
            pointer=_POINTER,
            call="StartTransientUnit",
            hint=f"`journalctl -u {unit.name}` may say why",
        )


def _start(bus: Bus, name: str, properties: list[Property]) -> str:
    """The path of the job. Its answer is waited for even when we are to end: afterwards we know whether it is ours."""
    signature = "ssa(sv)a(sa(sv))"
    (job,) = bus.call("StartTransientUnit", signature, name, "replace", properties, [], interruptible=False)
    return str(job)


def _failed(unit: Unit, error: Refused) -> StepError:
    return StepError(
        f'unable to start unit "{unit.name}": {error.text}',
        pointer=_POINTER,
        call=error.call,
        hint=error.hint,
    )


def own_group(layout: Layout, pid: int) -> str:
    """The cgroup of a process in the hierarchy that systemd itself goes by: v2, or on v1 the one with its name."""
    own = parse_own(textfile.read(f"/proc/{pid}/cgroup"))
    return own.get(frozenset(() if layout.version == "v2" else ("name=systemd",)), "/")


def located(layout: Layout, unit: Unit, pid: int) -> dict[str, str]:
    """Controller -> directory of the unit's cgroup, asked of the kernel. Raises StepError if it is another one's."""
    group = own_group(layout, pid)
    if group.rpartition("/")[2] != unit.name:
        raise StepError(
            f"systemd has made {unit.name}, but the container's process is in the cgroup {group}",
            pointer=_POINTER,
            hint="something has moved it meanwhile",
        )
    return systemd_names.directories(layout, group)


def reset_failed(bus: Bus, name: str) -> None:
    """Let systemd forget a unit that has failed; for any other nothing changes."""
    try:
        bus.call("ResetFailedUnit", "s", name)
    except Refused as error:
        if error.name != "systemd1.NoSuchUnit":
            log.warning(f"unable to reset failed unit {name}: {error.text}")


def stop(unit: Unit, made: bool, cgroups: dict[str, str]) -> dict[str, str]:
    """Stop the unit, whose processes have ended, and let systemd forget it. Those of `cgroups` that are left to remove.

    `made`: it is known to be the container's own. If it is not, because the create was killed, the unit is gone with
    the container's process or it is somebody else's: it is not stopped.
    What systemd refuses, or that it cannot be reached, is a warning: the cgroups are removed all the same. But where
    systemd itself waits for the scope to become empty, a directory that is gone too soon would never be that.
    """
    try:
        with Bus(unit) as bus:
            if made:
                _stop(bus, unit.name)
                return cgroups
            reset_failed(bus, unit.name)
    except Error as error:
        log.warning(f"cannot stop {unit.name}: {error.message}")
        if made:
            _wait_gone([path for name, path in cgroups.items() if name in _SYSTEMDS])
            return cgroups
    return {name: path for name, path in cgroups.items() if name not in _SYSTEMDS}


def _wait_gone(paths: list[str]) -> None:
    """A systemd that we cannot reach, but that is there, removes them in a moment."""
    deadline = time.monotonic() + _PATIENCE
    while any(map(os.path.exists, paths)) and time.monotonic() < deadline:
        time.sleep(0.01)


def _stop(bus: Bus, name: str) -> None:
    try:
        (job,) = bus.call("StopUnit", "ss", name, "replace")
    except Refused as error:
        if error.name == "systemd1.NoSuchUnit":  # it has ended with its last process
            return
        raise
    result = bus.wait_job(str(job), f"the end of {name}")
    if result != "done":
        log.warning(f"error removing unit `{name}`: got `{result}`. Continuing...")
    reset_failed(bus, name)


def attach(unit: Unit, below: str, pid: int) -> None:
    """Move a process into the unit's cgroup, or into the one `below` ("/name") it. Raises StepError."""
    with Bus(unit) as bus:
        try:
            bus.call("AttachProcessesToUnit", "ssau", unit.name, below, [pid])
        except Refused as error:
            raise StepError(
                f'unable to attach process {pid} to unit "{unit.name}": {error.text}',
                pointer=_POINTER,
                call=error.call,
                hint=error.hint,
            ) from error


def abandon(unit: Unit) -> None:
    """Undo of start(): end what is in the unit, then the unit."""
    try:
        with Bus(unit) as bus:
            try:
                bus.call("KillUnit", "ssi", unit.name, "all", SIGKILL)
            except Refused:
                pass
            _stop(bus, unit.name)
    except Error as error:
        log.warning(f"cannot stop {unit.name}: {error.message}")


def delegate(path: str, uid: int) -> None:
    """v2: give the cgroup to `uid`, so that the container may make cgroups of its own below. Raises StepError."""
    names = ["cgroup.procs", "cgroup.subtree_control", "cgroup.threads"]
    try:
        names = [os.fsdecode(name) for name in textfile.lines(textfile.read("/sys/kernel/cgroup/delegate"))]
    except FileNotFoundError:
        pass
    try:
        with files.Tree() as tree, tree.open(path) as directory:
            os.fchown(directory.descriptor, uid, -1)
            for name in names:
                try:
                    os.chown(name, uid, -1, dir_fd=directory.descriptor, follow_symlinks=False)
                except FileNotFoundError:
                    pass
    except OSError as error:
        raise files.failure("cannot give the cgroup to its owner", error, _POINTER) from error
