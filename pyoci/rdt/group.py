"""Where a container is in resctrl, and what its group has (config-linux.md, "IntelRdt")."""

from __future__ import annotations

from pyoci import os
from pyoci.config.linux import IntelRdt
from pyoci.errors import Error, os_error_text
from pyoci.kernel import resctrl, textfile
from pyoci.record import Record
from pyoci.undo import Undo


class Group(Record):
    """Where a container belongs: the mount of resctrl, its group, and one in it that counts, "" for none.

    make: the group is the container's own and does not exist yet; with the container it goes again.
    """

    mount: str
    path: str
    monitor: str = ""
    make: bool = False

    def removed(self) -> tuple[str, ...]:
        """What delete has to remove. Groups that config.json names stay: others may be in them."""
        if self.make:
            return (self.path,)
        return (self.monitor,) if self.monitor else ()


def group(rdt: IntelRdt, id: str) -> Group:
    """The group of the container `id` on this machine. Raises Error where resctrl is not mounted."""
    mount = resctrl.find()
    if not mount:
        raise Error(
            "intelRdt is specified in config, but Intel RDT is not enabled",
            pointer=rdt.pointer,
            hint=f"mount -t resctrl resctrl {resctrl.PLACE}, on hardware that can allocate cache or memory bandwidth",
        )
    path = mount if rdt.clos_id == "/" else f"{mount}/{rdt.clos_id or id}"
    monitor = f"{path}/mon_groups/{id}" if rdt.enable_monitoring else ""
    return Group(mount=mount, path=path, monitor=monitor, make=not rdt.clos_id and not os.path.lexists(path))


def change(path: str, lines: tuple[str, ...], undo: Undo) -> None:
    """Give the group of a container that runs other schemata; resources that are not named keep theirs (update)."""
    if not path:
        hint = "it was created without linux.intelRdt, and so without a group of resctrl"
        raise Error("the container has no Intel RDT configuration to update", hint=hint)
    file = f"{path}/schemata"
    before = textfile.read(file)
    undo.add(resctrl.write, file, before)
    try:
        resctrl.write(file, "".join(f"{line}\n" for line in lines))
    except OSError as error:
        said = resctrl.last_status(resctrl.find())
        raise Error(
            f'intelrdt: unable to write "{" ".join(lines)}": {os_error_text(error)}'
            + (f", last_cmd_status: {said}" if said else ""),
            hint=f"the group has {os.fsdecode(b' '.join(before.split()))}",
        ) from None


def schemata(rdt: IntelRdt) -> list[str]:
    """The lines in the specification's order."""
    return [line for line in (rdt.l3_cache_schema, rdt.mem_bw_schema, *rdt.schemata) if line]
