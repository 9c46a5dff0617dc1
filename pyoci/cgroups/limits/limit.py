"""A limit is a row: a property of linux.resources, the file it goes to, and the text that is written there.

Limit is a row of the tables limits/v1.py and limits/v2.py; Write is what a row makes of a config.
"""

from __future__ import annotations

from errno import EBUSY

from pyoci.errors import ConfigError, StepError
from pyoci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from pyoci.cgroups.files import Directory
    from pyoci.config.resources import Resources

    Text = Callable[[Any], "str | None"]

NO_FLAGS: dict[str, Any] = {}

# What to do where the kernel has no such file.
FAIL = "fail"
PASS = "pass"  # nothing: the kernel does the same without the file; no password  # noqa: S105
WARN = "warn"  # as runc: go on without, with a warning in the log


class Write(Record):
    """A value for one file of the container's cgroup.

    controller: the v1 hierarchy, "" on v2: the key in the mapping of paths.
    missing: FAIL, PASS or WARN, where the kernel has no such file.
    otherwise: written instead, where the kernel has no such file.
    retry_after: a file's name: refused with EINVAL, the value is written again once that file is.
    hint: what else may be the reason if the kernel refuses the value with EINVAL.
    """

    controller: str
    file: str
    text: str
    pointer: str
    missing: str = FAIL
    otherwise: Write | None = None
    retry_after: str = ""
    hint: str = ""

    @property
    def owner(self) -> str:
        """The controller, also on v2."""
        return self.controller or self.file.partition(".")[0]

    def carry_out(self, cgroup: Directory) -> None:
        """Write it. Raises OSError; StepError where there is more to say."""
        cgroup.write(self.file, self.text)

    def __str__(self) -> str:
        return f"{self.file}={self.text}"


class ReadBack(Write):
    """The kernel takes any number and makes it fit; another one than ours is an error."""

    def carry_out(self, cgroup: Directory) -> None:
        super().carry_out(cgroup)
        got = int(cgroup.read(self.file))
        if got != int(self.text):
            end = "maximum" if got < int(self.text) else "minimum"
            name = self.file.replace(".", "-")
            raise StepError(f"the {end} allowed {name} is {got}", pointer=self.pointer)


class UsedMemory(Write):
    """v1 does not lower a limit below what is used."""

    def carry_out(self, cgroup: Directory) -> None:
        try:
            super().carry_out(cgroup)
        except OSError as error:
            if error.errno != EBUSY:
                raise
            usage, peak = (int(cgroup.read(f"memory.{name}_in_bytes")) for name in ("usage", "max_usage"))
            raise StepError(
                f"unable to set memory limit to {self.text} (current usage: {usage}, peak usage: {peak})",
                pointer=self.pointer,
                errno=EBUSY,
            ) from error


class Lines(Write):
    """Every line by a write of its own, as a key of linux.resources.unified may want it."""

    def carry_out(self, cgroup: Directory) -> None:
        *lines, last = self.text.split("\n")
        for line in lines:
            cgroup.write(self.file, f"{line}\n")
        if last or not lines:
            cgroup.write(self.file, last)


class MustExceed(Write):
    """Writes nothing: refuses a limit (`text`) that is not above the number in `file`."""

    what: str

    def carry_out(self, cgroup: Directory) -> None:
        usage = int(cgroup.read(self.file))
        if int(self.text) <= usage:
            message = f"rejecting {self.what} limit {self.text} <= usage {usage}"
            raise StepError(message, pointer=self.pointer)

    def __str__(self) -> str:
        return f"{self.file}<{self.text}"


class Limit(Record):
    """A row.

    property: a pointer below linux.resources, without numbers.
    holder: where in Resources the property is read from, "" for Resources itself.
    text: what to write for the holder, or for each record in it; None leaves the file alone.
    file: may contain fields of the record in braces.
    default: texts that change nothing where there is no such file.
    otherwise: the row for a kernel that has no such file.
    flags: further fields of the Write.
    """

    property: str
    controller: str
    file: str
    holder: str
    text: Text
    default: tuple[str, ...] = ()
    otherwise: Limit | None = None
    kind: type[Write] = Write
    flags: dict[str, Any] = NO_FLAGS

    def writes(self, resources: Resources) -> Iterator[Write]:
        """What is to be written for these resources: nothing, one file, or one for each entry of a list."""
        held: Any = resources
        for name in self.holder.split(".") if self.holder else ():
            held = getattr(held, name, None)
        if type(held) is tuple:
            for record in held:
                yield from self._write(record, record.pointer)
        elif held is not None:
            yield from self._write(held, f"{resources.pointer}{self.property}")

    def _write(self, record: Any, pointer: str) -> Iterator[Write]:
        text = self.text(record)
        if text is None:
            return
        file = self.file.format_map(record.__dict__) if "{" in self.file else self.file
        if "/" in file:
            raise ConfigError(f'unified resource "{file}" must be a file name (no slashes)', pointer=pointer)
        fields = dict(self.flags)
        if text in self.default:
            fields["missing"] = PASS
        if self.otherwise is not None:
            [fields["otherwise"]] = self.otherwise._write(record, pointer)
        yield self.kind(
            controller=self.controller,
            file=file,
            text=text,
            pointer=pointer,
            **fields,
        )


def row(
    property: str,
    controller: str,
    file: str,
    holder: str,
    text: Text,
    default: tuple[str, ...] = (),
    otherwise: Limit | None = None,
    kind: type[Write] = Write,
    **flags: Any,
) -> Limit:
    """A Limit by its fields in their order, as the tables of both versions have them."""
    return Limit(
        property=property,
        controller=controller,
        file=file,
        holder=holder,
        text=text,
        default=default,
        otherwise=otherwise,
        kind=kind,
        flags=flags,
    )
