"""list: the containers below --root, as a table, as JSON or as ids."""

from __future__ import annotations

import pwd
from stat import S_ISDIR

from pyoci import jsonfile, os
from pyoci.cli.output import emit
from pyoci.cli.state import description
from pyoci.cli.table import table
from pyoci.container import state
from pyoci.errors import Error, os_error_text
from pyoci.log import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyoci.cli.options import Options


def main(options: Options) -> int:
    """Print the containers by id. What is not a readable container is told on stderr and left out."""
    form = options.text("format")
    rows = containers(options.text("root"), "root" in options.given)
    if options.flag("quiet"):
        emit("".join(f"{row['id']}\n" for row in rows))
    elif form == "table":
        emit(table(rows))
    elif form == "json":
        emit(jsonfile.dumps(rows or None) + "\n")  # null, not []: Go's empty slice
    else:
        raise Error("invalid format option", pointer="--format", hint="it is table or json")
    return 0


def containers(root: str, root_given: bool) -> list[dict[str, Any]]:
    """The description of every container. A default root that does not exist has none; a given one is an Error."""
    try:
        names = sorted(os.listdir(root))
    except FileNotFoundError as error:
        if not root_given:
            return []
        raise Error(f"open {root}: no such file or directory", pointer="--root", errno=error.errno or 0) from None
    except NotADirectoryError as error:
        raise state.no_directory(root, error) from None
    rows = []
    for name in names:
        if name.startswith("@"):  # ours, such as the cache of seccomp filters: no container has such a name
            continue
        row = _row(root, name)
        if row is not None:
            rows.append(row)
    return rows


def _row(root: str, name: str) -> dict[str, Any] | None:
    try:
        entry = os.lstat(f"{root}/{name}")
        if not S_ISDIR(entry.st_mode):
            return None
        return description(state.load(root, name), _owner(entry.st_uid))
    except (Error, OSError) as problem:
        if not os.path.lexists(f"{root}/{name}"):  # deleted while we looked
            return None
        text = _text(problem) if isinstance(problem, Error) else os_error_text(problem)
        os.write(2, f"load container {printable(name)}: {printable(text)}\n".encode("utf-8", "backslashreplace"))
        return None


def _text(problem: Error) -> str:
    return f"{problem.message} ({problem.hint})" if problem.hint else problem.message


def _owner(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"
