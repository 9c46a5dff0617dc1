"""validate: everything that is wrong with a bundle's config.json, or odd about it, at once.

Reads the file; looks whether the root filesystem is there, what else of this machine the file counts on and it does
not have, and which system calls libseccomp knows. All that is warned of only: the file may be for another machine.
"""

from __future__ import annotations

import os

from pyoci import jsonfile
from pyoci.cli import version
from pyoci.cli.bundle import bundle
from pyoci.cli.output import emit
from pyoci.config.violation import Violation
from pyoci.errors import ConfigError, Error, UsageError
from pyoci.log import printable, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyoci.cli.options import Options
    from pyoci.config import Config


def main(options: Options) -> int:
    """Print violations and warnings on standard output; 1 if there is a violation, 0 if there are only warnings."""
    form = options.text("format")
    if form not in ("text", "json"):
        raise UsageError("invalid format option", pointer="--format", hint="it is text or json")
    violations, warnings = check(bundle(options))
    emit(as_json(violations, warnings) if form == "json" else as_text(violations, warnings))
    return 1 if violations else 0


def check(directory: str) -> tuple[list[Violation], list[Violation]]:
    """Violations and warnings. Raises Error if the file cannot be read; a file that is not JSON is one violation."""
    try:
        from pyoci.config import report
    except ImportError as error:
        hint = "python3-jsonschema in Debian, jsonschema on PyPI"
        raise Error(f"validate needs the Python package {error.name}", hint=hint) from None
    path = os.path.join(directory, "config.json")
    try:
        faults: list[ConfigError] = []
        raw = jsonfile.read(path, what="config.json", faults=faults)
    except ConfigError as error:
        if not os.path.exists(path) or os.path.isdir(path):
            raise
        return [report.from_error(error)], []
    violations, warnings, config = report.judged(raw, faults)
    if config is None:
        return violations, warnings
    from pyoci.container import machine

    return violations, [*warnings, *_root(directory, config), *machine.lacks(config, directory), *_calls(config)]


def _root(directory: str, config: Config) -> Iterator[Violation]:
    """The root filesystem is not a part of the file, and of the bundle it is."""
    if config.root is None:  # a violation
        return
    path = os.path.join(directory, config.root.path)
    if not os.path.isdir(path):
        reason = f"{path} is not a directory" if os.path.lexists(path) else f"{path} is not there"
        yield Violation(pointer="/root/path", reason=reason)


def _calls(config: Config) -> Iterator[Violation]:
    """Names of system calls that the installed libseccomp does not know, and will ignore."""
    if config.linux.seccomp is None:
        return
    if not version.libseccomp():  # create says so
        return
    from pyoci.kernel import libseccomp
    from pyoci.seccomp import names

    slips = {pointer: guess for pointer, _, guess in names.slips(config.linux.seccomp)}
    others = []
    for pointer, name in names.unknown(config.linux.seccomp):
        if pointer in slips:
            reason, hint = f"unknown system call {quote(name)}, ignored", f"did you mean {slips[pointer]!r}?"
            yield Violation(pointer=pointer, reason=reason, hint=hint)
        else:
            others.append(name)
    unseen = max(0, len(slips) + len(others) - names.MOST)
    if unseen:
        reason = f"too many unknown names: the last {unseen} were not compared with the known ones"
        yield Violation(pointer="/linux/seccomp/syscalls", reason=reason)
    if others:
        shown = ", ".join(others[:20]) + (f" and {len(others) - 20} more" if len(others) > 20 else "")
        reason = f"libseccomp {libseccomp.version()}, the installed one, does not know, and ignores: {shown}"
        yield Violation(pointer="/linux/seccomp/syscalls", reason=reason)


def as_text(violations: list[Violation], warnings: list[Violation]) -> str:
    """One line each, its hint below it, and a last line that counts."""
    lines = []
    for found, prefix in ((violations, ""), (warnings, "warning: ")):
        for violation in found:
            lines.append(prefix + _one_line(str(violation)))
            if violation.hint:
                lines.append("    " + _one_line(violation.hint))
    lines.append(f"{_count(violations, 'violation')}, {_count(warnings, 'warning')}")
    return "\n".join(lines) + "\n"


def _one_line(text: str) -> str:
    """`text`, which may quote the file, with nothing in it that could steer a terminal or look like another line."""
    return printable(text).replace("\n", "\\n")


def _count(found: list[Violation], noun: str) -> str:
    return f"{len(found) or 'no'} {noun}{'' if len(found) == 1 else 's'}"


def as_json(violations: list[Violation], warnings: list[Violation]) -> str:
    """{"violations": [{"pointer", "reason", "hint"}], "warnings": [...]}; hint is "" where there is none."""
    document = {
        name: [{"pointer": found.pointer, "reason": found.reason, "hint": found.hint} for found in group]
        for name, group in (("violations", violations), ("warnings", warnings))
    }
    return jsonfile.dumps_indent(document, 2) + "\n"
