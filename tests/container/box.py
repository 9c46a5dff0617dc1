"""A place for containers of one test: bundles, a state root, a mark that everything of theirs carries."""

from __future__ import annotations

import copy
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyoci.cli import spec
from tests import snapshot
from tests.container import tracer
from tests.snapshot import Snapshot

LIMIT = 60  # seconds: only a hang takes so long
SOON = 10  # seconds in which a command that must not wait for another process has to be done on a busy machine

Done = subprocess.CompletedProcess[str]
V2_ONLY = (
    "/usr/bin/unshare",
    "--mount",
    "--propagation",
    "private",
    "sh",
    "-c",
    'mount -t cgroup2 c /sys/fs/cgroup; exec "$@"',
)


class Box:
    """`view` "v2" runs every command where /sys/fs/cgroup is a cgroup v2 hierarchy and nothing else."""

    def __init__(self, pyoci: str, directory: Path, mark: str, reporter: Path, view: str = "host") -> None:
        self.pyoci = pyoci
        self.directory = directory
        self.mark = mark
        self.view = view
        self.root = directory / "root"
        self.reporter = directory / "reporter"
        self.prefix: tuple[str, ...] = (*V2_ONLY, "sh") if view == "v2" else ()
        self.gates: list[Gate] = []
        self.sockets: list[socket.socket] = []
        self.running: list[Running] = []
        self.numbers = itertools.count()  # whose next() is atomic: a test may run commands in threads
        shutil.copy(reporter, self.reporter)

    @contextmanager
    def as_user(self, uid: int) -> Iterator[None]:
        """Its commands are the user's. The installation is bound to where any user may go: a checkout below /root is
        closed to others."""
        own, place = self.pyoci, self.directory / "installation"
        place.mkdir()
        script = f"""mount --bind "$0" {place}; exec setpriv --reuid={uid} --regid={uid} --clear-groups "$@\""""
        prefix = Path(own).resolve().parents[1]
        self.prefix = ("/usr/bin/unshare", "--mount", "--propagation", "private", "sh", "-ec", script, str(prefix))
        self.pyoci = str(place / "bin/pyoci")
        yield
        self.prefix, self.pyoci = (), own

    def command(self, *argv: str) -> list[str]:
        return [*self.prefix, self.pyoci, "--root", str(self.root), *argv]

    def __call__(self, *argv: str, timeout: float = LIMIT, **options: Any) -> Done:
        """Run `pyoci ARGV` to its end; what it prints goes through files, because a container may keep a pipe open."""
        return self.end(self.begin(*argv, **options), timeout)

    def begin(self, *argv: str, tracer: Sequence[str] = (), **options: Any) -> Running:
        """Start `pyoci ARGV` and return at once."""
        self.count = next(self.numbers)
        output = self.directory / f"output-{self.count}"
        with output.with_suffix(".out").open("w") as out, output.with_suffix(".err").open("w") as err:
            process = subprocess.Popen(
                [*tracer, *self.command(*argv)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=self.directory,
                **options,
            )
        self.running.append(Running(process, output))
        return self.running[-1]

    def end(self, running: Running, timeout: float = LIMIT) -> Done:
        return running.end(timeout)

    def trace(self, *argv: str, **request: Any) -> tuple[Done, dict[str, Any]]:
        """Run `pyoci ARGV` under the tracer (tracer.py says what a request is); how it ended, and what was traced.

        The default counts the runtime's own calls, from the first directory it makes.
        """
        log = self.directory / "trace"
        log.unlink(missing_ok=True)
        default = {"inside": False, "calls": None, "begin": ["mkdir", "mkdirat"], "at": None}
        full = {**default, "signal": 0, "early": False, "errno": 0, "log": str(log), **request}
        done = self(*argv, tracer=[sys.executable, "-I", tracer.__file__, json.dumps(full)])
        answer: dict[str, Any] = json.loads(log.read_text())
        return Done(done.args, os.waitstatus_to_exitcode(answer["status"]), done.stdout, done.stderr), answer

    def bundle(self, *args: str, change: Callable[[dict[str, Any]], object] | None = None) -> Path:
        """A bundle whose program is the reporter with `args`; `change` edits its config.json."""
        path = self.directory / f"bundle-{next(self.numbers)}"
        (path / "rootfs").mkdir(parents=True)
        shutil.copy(self.reporter, path / "rootfs/reporter")
        config = spec.example(v2=False)
        config["process"].update(terminal=False, args=["/reporter", *args])
        config["linux"]["cgroupsPath"] = f"/{self.mark}/{path.name}"
        if change is not None:
            change(config)
        config = copy.deepcopy(config)  # the test's own values stay what they are
        without(config, os.environ.get("PYOCI_TEST_WITHOUT", ""))
        (path / "config.json").write_text(json.dumps(config))
        return path

    def own_bundle(self, uid: int) -> Path:
        """A bundle that an ordinary user has made for as_user(): all here is theirs, and they are its only user."""

        def change(config: dict[str, Any]) -> None:
            del config["linux"]["cgroupsPath"], config["linux"]["resources"]
            config["linux"]["namespaces"] = [{"type": kind} for kind in ("user", "pid", "mount", "ipc", "uts")]
            config["mounts"] = [one for one in config["mounts"] if one["type"] in ("proc", "tmpfs")]
            for kind in ("uidMappings", "gidMappings"):
                config["linux"][kind] = [{"containerID": 0, "hostID": uid, "size": 1}]

        bundle = self.bundle("sleep", change=change)
        for path in (self.root, self.directory, bundle, bundle / "rootfs"):
            os.chown(path, uid, uid)
        return bundle

    def state(self, id: str) -> dict[str, Any]:
        done = self("state", id)
        assert (done.returncode, done.stderr) == (0, ""), done
        loaded: dict[str, Any] = json.loads(done.stdout)
        return loaded

    def status(self, id: str) -> str:
        return str(self.state(id)["status"])

    def wait(self, id: str, status: str) -> None:
        """Until `state` says so."""
        until(lambda: self.status(id) == status, f"{id} is {status}")

    def gate(self, inside: Path | None = None) -> Gate:
        """A hook that stops until it is let through; `inside`: the rootfs of the container in which it runs."""
        gate = Gate(self.directory if inside is None else inside, len(self.gates), inside is not None)
        self.gates.append(gate)
        return gate

    def listen(self, name: str) -> None:
        """A stream socket in the box's directory: it listens, and nobody accepts."""
        self.sockets.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        self.sockets[-1].bind(str(self.directory / name))
        self.sockets[-1].listen()

    def snapshot(self) -> Snapshot:
        return snapshot.take(self.mark, self.directory, self.root)

    def differences(self, before: Snapshot) -> list[str]:
        return snapshot.differences(before, self.mark, self.directory, self.root)

    def clean(self) -> None:
        """Open every gate, delete every container, wait for every command, remove the cgroup that all had above."""
        for gate in self.gates:
            gate.abandon()
        for name in {name.removeprefix("@").partition(".")[0] for name in os.listdir(self.root)} - {"seccomp"}:
            done = self("delete", "--force", name)
            assert done.returncode == 0, done.stderr
        for running in self.running:
            running.end()
        self.remove_parents()
        for one in self.sockets:
            one.close()

    def remove_parents(self) -> None:
        """/MARK is made with the first container and, as a parent may be shared, stays when the last one goes."""
        for hierarchy in (*os.listdir(snapshot.CGROUPS), "."):  # ".": version 2 and nothing else, as in the guest
            path = f"{snapshot.CGROUPS}/{hierarchy}/{self.mark}"
            if os.path.isdir(path):  # not by rmdir's error: of a read-only tmpfs it is EROFS, whatever is not there
                os.rmdir(path)


def without(value: Any, pointer: str) -> None:
    """Take a property out of a config.json: "0" is any item, "x" any key (tools/check_coverage.py)."""
    first, _, rest = pointer.removeprefix("/").partition("/")
    if isinstance(value, list) and first == "0":
        if rest:
            for one in value:
                without(one, rest)
        else:
            value.clear()
    elif isinstance(value, dict):
        for key in list(value) if first == "x" else [first] if first in value else []:
            if rest:
                without(value[key], rest)
            else:
                del value[key]


class Running:
    """A command under way."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self.process = process
        self.output = output

    @property
    def pid(self) -> int:
        return self.process.pid

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def is_running(self) -> bool:
        return self.process.poll() is None

    def end(self, timeout: float = LIMIT) -> Done:
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            stack = Path(f"/proc/{self.pid}/wchan").read_text()
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            raise AssertionError(f"{self.process.args!r} has not ended after {timeout} s (waits in {stack})") from None
        out, err = self.output.with_suffix(".out"), self.output.with_suffix(".err")
        return Done(self.process.args, status, out.read_text("utf-8"), err.read_text("utf-8"))


class Gate:
    """A hook that says that it has arrived, and then waits for a file to be opened for writing.

    `directory` is the host's name of the place where it keeps its files: a hook inside the container sees it as /.
    """

    def __init__(self, directory: Path, number: int, inside: bool) -> None:
        self.arrived = directory / f"arrived-{number}"
        self.file = directory / f"gate-{number}"
        os.mkfifo(self.file, 0o666)
        seen = Path("/") if inside else directory
        program = "/reporter" if inside else str(directory / "reporter")
        arguments = ["write", str(seen / self.arrived.name), "x", ",", "read", str(seen / self.file.name)]
        self.hook = {"path": program, "args": [program, *arguments]}

    def wait(self) -> None:
        """Until the hook is there."""
        until(self.arrived.exists, f"a hook arrives at {self.file}")

    def open(self) -> None:
        """Let it through."""
        until(self._opened, f"a hook waits at {self.file}")

    def _opened(self) -> bool:
        try:
            os.close(os.open(self.file, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:  # ENXIO: not there yet
            return False
        return True

    def abandon(self) -> None:
        """Let it through if it is there."""
        if self.file.exists():
            self._opened()


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for it; a failed test if that takes for ever."""
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, f"waited {LIMIT} s until {what}"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether it runs, is stopped or sleeps; not: a zombie, or gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def boxes(pyoci: str, directory: Path, mark: str, reporter: Path, view: str) -> Iterator[Box]:
    """For a fixture: a box, and after the test everything is as it was before, or the test has failed."""
    box = Box(pyoci, directory, mark, reporter, view)
    box.root.mkdir()
    before = box.snapshot()
    yield box
    box.clean()
    left = box.differences(before)
    assert left == [], "\n".join(left)
