"""What is counted, not timed: imported modules, system calls of the container's process, mount events."""

from __future__ import annotations

import os
import re
import select
import subprocess
from pathlib import Path

from tools.bench_lib import view, works
from tools.bench_lib.works import Subject

_LINE = re.compile(r"(?P<pid>\d+) +(?:(?P<call>\w+)\(|<\.\.\. (?P<resumed>\w+) resumed>)(?P<rest>.*)")


def child_calls(subject: Subject, program: str = "/bin/true") -> list[str]:
    """Names of the system calls of the process that executes `program`, from its clone to that execve, itself included.

    Raises LookupError if no process did (strace is missing: FileNotFoundError).
    """
    trace = f"{view.WORK}/strace"
    arguments = ["run", "--bundle", f"{view.WORK}/true", "traced"]
    argv = ["strace", "-f", "-s", "64", "-o", trace, subject.path, "--root", subject.root, *arguments]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    return calls_before(Path(trace).read_text(errors="replace"), program)


def calls_before(trace: str, program: str) -> list[str]:
    """The same from the text of `strace -f`: a call that was interrupted and resumed counts once."""
    calls: dict[str, list[str]] = {}
    for line in trace.splitlines():
        match = _LINE.match(line)
        if match and match["call"]:
            own = calls.setdefault(match["pid"], [])
            own.append(match["call"])
            if match["call"] == "execve" and match["rest"].startswith(f'"{program}"') and " = -1" not in line:
                return own
    raise LookupError(f"no process executed {program}")


def mount_events(subject: Subject, count: int) -> int:
    """How many of `count` create commands changed the mount table of the runtime's own mount namespace."""
    changed = 0
    with open("/proc/self/mountinfo") as table:
        poll = select.poll()
        poll.register(table, select.POLLERR | select.POLLPRI)
        for number in range(count):
            while poll.poll(0):
                pass
            works.runtime(subject, "create", "--bundle", f"{view.WORK}/true", f"m{number}")
            changed += bool(poll.poll(0))
            works.runtime(subject, "delete", "--force", f"m{number}")
    return changed


def modules(python: str, package: str, *arguments: str) -> list[str]:
    """Modules that pyoci imports beyond those of the bare interpreter, in the order in which they are done.

    The interpreter is started as the launcher starts it, but with -X importtime; it believes to be sealed.
    """
    environment = {"PATH": os.environ["PATH"], "PYOCI_ARGV0": "pyoci", "PYOCI_UMASK": "022", "PYOCI_SEALED": "overlay"}
    flags = ["-I", "-S", "-B", "-X", "utf8", "-X", "importtime"]
    bare = set(_imported([python, *flags, "-c", "pass"], environment))
    return [name for name in _imported([python, *flags, package, *arguments], environment) if name not in bare]


def _imported(argv: list[str], environment: dict[str, str]) -> list[str]:
    """From lines such as `import time:       123 |        456 |   package.module`."""
    with open(f"{view.WORK}/imports", "w+") as file:
        subprocess.run(
            argv, env=environment, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=file
        )
        file.seek(0)
        rows = [line.split("|") for line in file if line.startswith("import time:")]
    return [row[2].strip() for row in rows if row[1].strip() != "cumulative"]


def interpreter_of(pyoci: str) -> tuple[str, str]:
    """The interpreter and the package that the launcher executes, from strace of `pyoci --version`."""
    trace = f"{view.WORK}/launcher"
    argv = ["strace", "-s", "4096", "-e", "trace=execve,execveat", "-o", trace, pyoci, "--version"]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    for line in Path(trace).read_text().splitlines():
        words = re.findall(r'"([^"]*)"', line)
        if "-I" in words:
            package = next(word for word in words[words.index("-I") :] if word.startswith("/"))
            return words[words.index("-I") - 1], package
    raise LookupError(f"{pyoci} executed no interpreter")
