"""The device rules of a container, put in force: files on v1, a BPF program on v2."""

from __future__ import annotations

from pyoci import os
from pyoci.cgroups.devices import program as device_program
from pyoci.cgroups.devices import rules as device_rules
from pyoci.cgroups.devices.rules import container_rules, default_rules
from pyoci.cgroups.files import Tree, failure
from pyoci.errors import StepError
from pyoci.kernel import bpf
from pyoci.kernel.namespace import in_user_namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.cgroups.devices.rules import DeviceFilter
    from pyoci.config.resources import DeviceRule
    from pyoci.undo import Undo

__all__ = ["apply", "container_rules", "default_rules"]

_POINTER = "/linux/resources/devices"


def apply(paths: dict[str, str], rules: tuple[DeviceRule, ...], undo: Undo) -> None:
    """Let the cgroup use the devices that the ordered `rules` allow and no others.

    In a user namespace the kernel does not let us, and the container can make no device nodes anyway: its errors are
    ignored there, as is a filter that denies nothing. Raises StepError; ConfigError for an impossible rule.
    """
    wanted = device_rules.reduce(rules)
    if "devices" not in paths and "" not in paths:
        raise StepError("mountpoint for devices not found", pointer=_POINTER)
    try:
        if "devices" in paths:
            _apply_v1(paths["devices"], wanted)
        else:
            _apply_v2(paths[""], wanted, undo)
    except StepError:
        if ("devices" not in paths and not _denies(wanted)) or in_user_namespace():
            return
        raise


def _denies(wanted: DeviceFilter) -> bool:
    return not wanted.allow or bool(wanted.exceptions)


def _apply_v1(path: str, wanted: DeviceFilter) -> None:
    at = _POINTER
    try:
        with Tree() as tree, tree.open(path) as directory:
            for file, text, pointer in device_rules.v1_writes(wanted):
                at = pointer
                directory.write(file, text)
    except OSError as error:
        raise failure("cannot set the device rules", error, at) from error


def _apply_v2(path: str, wanted: DeviceFilter, undo: Undo) -> None:
    """Attach the program to the cgroup, in the place of the one that is there.

    Several old ones cannot be replaced together: ours is added first and they are taken away then, so that there is no
    moment without a filter. A cgroup without any needs none that allows everything.
    """
    try:
        with Tree() as tree, tree.open(path) as directory:
            ids = bpf.attached(directory.descriptor)
            if ids or _denies(wanted):
                _replace(directory.descriptor, ids, device_program.compile(wanted))
                if not ids:
                    undo.add(_detach_all, path)
    except OSError as error:
        notes = getattr(error, "__notes__", [])
        raise failure("cannot set the device filter", error, _POINTER, "\n".join(notes[1:])) from error


def _replace(cgroup: int, ids: list[int], code: bytes) -> None:
    opened: list[int] = []
    try:
        for id in ids:
            old = bpf.open_program(id)
            if old is not None:
                opened.append(old)
        single = opened[0] if len(opened) == 1 else None
        program = bpf.load_device_program(code)
        try:
            bpf.attach(cgroup, program, single)
        finally:
            os.close(program)
        if single is None:
            for old in opened:
                bpf.detach(cgroup, old)
    finally:
        for old in opened:
            os.close(old)


def _detach_all(path: str) -> None:
    """Undo: there was no program before ours."""
    with Tree() as tree, tree.open(path) as directory:
        for id in bpf.attached(directory.descriptor):
            program = bpf.open_program(id)
            if program is not None:
                try:
                    bpf.detach(directory.descriptor, program)
                finally:
                    os.close(program)
