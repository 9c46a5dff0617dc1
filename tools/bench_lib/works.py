"""The pieces of work that are timed, and how: one posix_spawn and one wait per command, nothing else in between."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tools.bench_lib import view

Parts = dict[str, float]
"""Milliseconds by command; their sum is the work's time."""


class Failed(Exception):
    """A command that is being measured failed; the text has its standard error."""


@dataclass(frozen=True)
class Subject:
    """A runtime, its global flags, and the directory of its state."""

    label: str
    path: str
    flags: tuple[str, ...] = ()

    @property
    def root(self) -> str:
        """The subject's directory of state, which is its alone."""
        return f"{view.WORK}/state-{self.label.replace(' ', '-')}"


def command(argv: list[str], environment: dict[str, str] | None = None) -> float:
    """Milliseconds from before the spawn of `argv` until it was reaped. Raises Failed."""
    errors = f"{view.WORK}/stderr"
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
    ]
    environment = _ENVIRONMENT if environment is None else environment
    started = time.perf_counter_ns()
    pid = os.posix_spawn(argv[0], argv, environment, file_actions=actions)
    _, status = os.waitpid(pid, 0)
    elapsed = time.perf_counter_ns() - started
    if status:
        with open(errors) as file:
            raise Failed(f"{' '.join(argv)}: exit status {os.waitstatus_to_exitcode(status)}: {file.read().strip()}")
    return elapsed / 1e6


_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}


def runtime(subject: Subject, *arguments: str) -> float:
    """One command of a runtime."""
    return command([subject.path, *subject.flags, "--root", subject.root, *arguments])


def run(subject: Subject, name: str) -> Parts:
    """`run` of /bin/true."""
    return {"run": runtime(subject, "run", "--bundle", f"{view.WORK}/true", name)}


def life(subject: Subject, name: str) -> Parts:
    """create, start, delete of /bin/true; waiting for its end is not counted."""
    pid_file = f"{view.WORK}/pid"
    parts = {"create": runtime(subject, "create", "--bundle", f"{view.WORK}/true", "--pid-file", pid_file, name)}
    with open(pid_file) as file:
        process = os.pidfd_open(int(file.read()))
    parts["start"] = runtime(subject, "start", name)
    _wait(process)
    parts["delete"] = runtime(subject, "delete", name)
    return parts


def forced(subject: Subject, name: str) -> Parts:
    """create, start, delete --force of a program that sleeps."""
    return {
        "create": runtime(subject, "create", "--bundle", f"{view.WORK}/sleep", name),
        "start": runtime(subject, "start", name),
        "delete -f": runtime(subject, "delete", "--force", name),
    }


def state(subject: Subject, name: str) -> Parts:
    """`state` of a running container."""
    runtime(subject, "create", "--bundle", f"{view.WORK}/sleep", name)
    runtime(subject, "start", name)
    parts = {"state": runtime(subject, "state", name)}
    runtime(subject, "delete", "--force", name)
    return parts


def execution(subject: Subject, name: str) -> Parts:
    """`exec` of /bin/true in a running container."""
    runtime(subject, "create", "--bundle", f"{view.WORK}/sleep", name)
    runtime(subject, "start", name)
    parts = {"exec": runtime(subject, "exec", name, "/bin/true")}
    runtime(subject, "delete", "--force", name)
    return parts


WORKS: dict[str, Callable[[Subject, str], Parts]] = {
    "run": run,
    "create + start + delete": life,
    "create + start + delete -f": forced,
    "exec": execution,
    "state": state,
}


def interleaved(subjects: list[Subject], works: Iterable[str], count: int, idle: float) -> dict[str, list[list[Parts]]]:
    """Work -> subject by subject `count` times. Subjects take turns, the first of a turn changes; idle in seconds."""
    times: dict[str, list[list[Parts]]] = {}
    for name in works:
        found: list[list[Parts]] = [[] for _ in subjects]
        for turn in range(count):
            for place in range(len(subjects)):
                index = (turn + place) % len(subjects)
                if idle:
                    time.sleep(idle)
                found[index].append(WORKS[name](subjects[index], f"b{turn}"))
        times[name] = found
    return times


def floor(count: int, pyoci: Subject, python: str) -> tuple[list[float], list[float], list[float]]:
    """`run` of pyoci, the start of its interpreter, and the kernel's work alone (floor.c); in turns, milliseconds each.

    Raises CalledProcessError if floor.c does not build, Failed if the kernel refuses a part of it.
    """
    binary, source = f"{view.WORK}/floor", os.path.join(os.path.dirname(__file__), "floor.c")
    subprocess.run(["gcc", "-O2", "-static", "-o", binary, source], check=True)
    turns = [
        (
            sum(run(pyoci, f"f{number}").values()),
            command([python, "-I", "-S", "-B", "-X", "utf8", "-c", ""]),
            command([binary, f"{view.WORK}/true", "/sys/fs/cgroup/floor"]),
        )
        for number in range(count)
    ]
    whole, interpreter, kernel = zip(*turns, strict=True)
    return list(whole), list(interpreter), list(kernel)


def _wait(process: int) -> None:
    poll = select.poll()
    poll.register(process, select.POLLIN)
    if not poll.poll(10_000):
        raise Failed("the container's program did not end within 10 seconds")
    os.close(process)
