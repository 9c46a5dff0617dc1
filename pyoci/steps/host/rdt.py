"""linux.intelRdt: the container's group in resctrl (config-linux.md, "IntelRdt")."""

from __future__ import annotations

from pyoci import os
from pyoci.config.linux import IntelRdt
from pyoci.errors import StepError, os_error_text
from pyoci.kernel import resctrl, textfile
from pyoci.rdt.group import Group, schemata
from pyoci.steps.host.context import HostContext, HostStep
from pyoci.steps.step import Step


class MakeRdtGroup(HostStep):
    """Make the group, and give it its schemata. One that config.json names and that exists has to have them already."""

    pointer: str = "/linux/intelRdt"
    rdt: IntelRdt
    group: Group

    def describe(self) -> str:
        lines = " ".join(schemata(self.rdt))
        return f"make the resctrl group {self.group.path}" + (f" with {lines}" if lines else "")

    def execute(self, context: HostContext) -> None:
        rdt, group = self.rdt, self.group
        self._check_resources()
        lines = schemata(rdt)
        exists = os.path.isdir(group.path)
        if rdt.clos_id and not lines and not exists:
            raise self._failed(
                "clos dir not accessible (must be pre-created when schemata, l3CacheSchema and memBwSchema are empty)",
                f"stat {group.path}: no such file or directory",
            )
        if not exists or group.make:
            exists = not self._make(context, group.path)
        if lines and exists and rdt.clos_id:
            self._compare(lines)
        elif lines:
            self._write(lines)
        if group.monitor and not os.path.isdir(group.monitor):
            self._make(context, group.monitor)

    def _check_resources(self) -> None:
        for key, name, value, feature in (
            ("l3CacheSchema", "L3", self.rdt.l3_cache_schema, "CAT"),
            ("memBwSchema", "MB", self.rdt.mem_bw_schema, "MBA"),
        ):
            if value and not os.path.isdir(f"{self.group.mount}/info/{name}"):
                raise StepError(
                    f"intelRdt.{key} is specified in config, but Intel RDT/{feature} is not enabled",
                    pointer=f"{self.pointer}/{key}",
                    hint=f"this machine has no {self.group.mount}/info/{name}",
                )

    def _make(self, context: HostContext, path: str) -> bool:
        """Whether the group is ours: the first container of a class may be made beside the second."""
        try:
            resctrl.make_group(path)
        except FileExistsError as error:
            if not self.rdt.clos_id or path != self.group.path:
                raise self._failed(f"mkdir {path}", os_error_text(error), error) from None
            return False
        except OSError as error:
            raise self._failed(f"mkdir {path}", os_error_text(error), error) from None
        context.undo.add(resctrl.remove_group, path)
        return True

    def _compare(self, lines: list[str]) -> None:
        """Whoever shares the group decides about it: the specification wants an error, not a change."""
        found = resctrl.resources(textfile.read(f"{self.group.path}/schemata"))
        for name, values in resctrl.resources(os.fsencode("\n".join(lines))).items():
            for id, value in values.items():
                has = found.get(name, {}).get(id)
                if has != value:
                    raise self._failed(
                        f"the schemata of {self.group.path}, which exists, do not match",
                        f"{name}:{id}={value} is wanted, {has or 'nothing'} is there",
                    )

    def _write(self, lines: list[str]) -> None:
        text = "".join(f"{line}\n" for line in lines)
        try:
            resctrl.write(f"{self.group.path}/schemata", text)
        except OSError as error:
            shown = text.replace("\n", "\\n")
            raise self._failed(f'intelrdt: unable to write "{shown}"', os_error_text(error), error) from None

    def _failed(self, what: str, why: str, error: OSError | None = None) -> StepError:
        return _failed(self, self.group.mount, what, why, error)


class JoinRdtGroup(HostStep):
    """Put the process into the group, and into the one that counts. Its children are born there."""

    pointer: str = "/linux/intelRdt"
    paths: tuple[str, ...]

    def describe(self) -> str:
        return f"enter the resctrl group {self.paths[-1]}"

    def execute(self, context: HostContext) -> None:
        for path in self.paths:
            try:
                resctrl.write(f"{path}/tasks", str(context.pid))
            except OSError as error:
                what = f"intelrdt: unable to add pid {context.pid}"
                raise _failed(self, resctrl.find(), what, os_error_text(error), error) from None


def _failed(step: Step, mount: str, what: str, why: str, error: OSError | None) -> StepError:
    """runc's words, and the kernel's own about the last change."""
    said = resctrl.last_status(mount) if error is not None else ""
    return StepError(
        f"unable to apply Intel RDT configuration: {what}: {why}" + (f", last_cmd_status: {said}" if said else ""),
        errno=(error.errno or 0) if error is not None else 0,
        hint=f"what the hardware offers is described below {mount}/info",
    )
