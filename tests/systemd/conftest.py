"""Containers whose cgroups systemd makes, in the booted tree: of root, and of a user with a systemd of its own."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pyoci.cli import spec
from tests import snapshot

LIMIT = 30
TESTER = 1000
CGROUPS = Path("/sys/fs/cgroup")
CONNECTED = "03"  # of /proc/net/unix
Done = subprocess.CompletedProcess[str]
_numbers = itertools.count()


class Scopes:
    """pyoci --systemd-cgroup for one test; `user`: as the user tester, without privileges."""

    def __init__(self, pyoci: str, directory: Path, reporter: Path, user: bool) -> None:
        self.pyoci = pyoci
        self.directory = directory
        self.reporter = reporter
        self.user = user
        self.mark = f"pyoci-test-{os.getpid()}-{next(_numbers)}"
        self.root = directory / "root"
        self.environment = {"PATH": os.environ["PATH"]}
        self.prefix: tuple[str, ...] = ()
        self.manager = CGROUPS
        self.sockets: tuple[str, ...] = ("/run/systemd/private", "/run/dbus/system_bus_socket")
        if user:
            self.environment |= {"HOME": "/home/tester", "XDG_RUNTIME_DIR": f"/run/user/{TESTER}"}
            self.prefix = ("setpriv", f"--reuid={TESTER}", f"--regid={TESTER}", "--init-groups")
            self.sockets = tuple(f"/run/user/{TESTER}/{name}" for name in ("systemd/private", "bus"))
            self.manager /= f"user.slice/user-{TESTER}.slice/user@{TESTER}.service"

    def __call__(self, *words: str, systemd: bool = True, **options: Any) -> Done:
        """`pyoci WORDS`; what is not about making a container leaves out --systemd-cgroup, as engines do."""
        driver = ["--systemd-cgroup"] if systemd and words[0] in ("create", "run") else []
        return self.end(self.begin(*driver, *words, **options))

    def begin(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        options = {"env": self.environment, **options}
        command = [*self.prefix, self.pyoci, "--root", str(self.root), *words]
        paths = [self.directory / f"{name}-{next(_numbers)}" for name in ("out", "err")]
        out, err = (open(path, "w+") for path in paths)  # noqa: SIM115 - end() closes them
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=self.directory, text=True, **options
        )
        process.files = (out, err)  # type: ignore[attr-defined]
        return process

    def end(self, process: subprocess.Popen[str]) -> Done:
        status = process.wait(LIMIT)
        texts = []
        for file in process.files:  # type: ignore[attr-defined]
            file.seek(0)
            texts.append(file.read())
            file.close()
        return Done(process.args, status, *texts)

    def bundle(self, *args: str, change: Callable[[dict[str, Any]], object] | None = None) -> str:
        """A bundle whose program is the reporter with `args`."""
        path = self.directory / f"bundle-{next(_numbers)}"
        (path / "rootfs").mkdir(parents=True)
        shutil.copy(self.reporter, path / "rootfs/reporter")
        config = spec.example(v2=True)
        if self.user:
            config = spec.rootless(config, TESTER, TESTER)
        config["process"].update(terminal=False, args=["/reporter", *args])
        config["root"]["readonly"] = False
        config["linux"]["cgroupsPath"] = f":{self.mark}:{path.name}"
        if change is not None:
            change(config)
        (path / "config.json").write_text(json.dumps(config))
        if self.user:
            for one in (path, *path.rglob("*")):
                os.chown(one, TESTER, TESTER)
        return str(path)

    def unit(self, bundle: str) -> str:
        return f"{self.mark}-{Path(bundle).name}.scope"

    def slice(self) -> Path:
        return self.manager / ("user.slice" if self.user else "system.slice")

    def state(self, id: str) -> dict[str, Any]:
        done = self("state", id)
        assert done.returncode == 0, done.stderr
        loaded: dict[str, Any] = json.loads(done.stdout)
        return loaded

    def saved(self, id: str) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.root / id / "state.json").read_text())
        return loaded

    def systemctl(self, *words: str, status: int | None = 0) -> str:
        user = ["--user"] if self.user else []
        done = run([*self.prefix, "systemctl", *user, *words], env=self.environment)
        assert status is None or done.returncode == status, done.stderr
        return done.stdout

    def show(self, unit: str) -> dict[str, str]:
        """The unit's properties."""
        return dict(line.split("=", 1) for line in self.systemctl("show", unit).splitlines())

    def cgroup(self, pid: int) -> str:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        return next(line[3:] for line in lines if line.startswith("0::"))

    def snapshot(self) -> set[str]:
        """What must be the same before and after: units, cgroups, connections to systemd, the state."""
        return {
            *(f"unit {line}" for line in self.units()),
            *(f"cgroup {path}" for path in CGROUPS.rglob("*") if path.is_dir() and self.mark in str(path)),
            *(f"connection {line}" for line in connections(self.sockets)),
            *(f"state {path}" for path in snapshot.files(self.root) if "@seccomp" not in path),
        }

    def units(self) -> list[str]:
        text = self.systemctl("list-units", "--all", "--plain", "--no-legend", f"{self.mark}*")
        return [line.split()[0] for line in text.splitlines()]

    def differences(self, before: set[str]) -> set[str]:
        """After a moment in which nothing becomes better any more."""
        deadline = time.monotonic() + 10
        while (left := self._changes(before)) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left

    def _changes(self, before: set[str]) -> set[str]:
        """Fewer connections are none: systemctl, which asked before, may have had one that was just ending."""
        now = self.snapshot()
        return {line for line in now ^ before if line in now or not line.startswith("connection")}


def connections(places: tuple[str, ...]) -> Iterator[str]:
    """A line for each connection to a socket with one of these names: those that nobody has closed."""
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
    for place in places:
        count = sum(line[-1] == place and line[5] == CONNECTED for line in lines)
        yield from (f"{place} {number}" for number in range(count))


def run(command: list[str], **options: Any) -> Done:
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False, **options)


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, f"waited {LIMIT} s until {what}"
        time.sleep(0.01)


def _need_booted() -> None:
    if "PYOCI_LANE" not in os.environ or not Path("/run/systemd/system").is_dir():
        pytest.skip("needs systemd: tests/lanes/booted pytest -m booted")


@pytest.fixture(scope="session")
def users_systemd() -> None:
    """The user tester has a systemd of its own, without being logged in."""
    assert run(["loginctl", "enable-linger", "tester"]).returncode == 0
    assert run(["systemctl", "start", f"user@{TESTER}"]).returncode == 0
    until(Path(f"/run/user/{TESTER}/systemd/private").exists, "the user's systemd listens")
    # Its bus starts when it is first used, and systemd then connects to it: that is not ours to count.
    environment = {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": f"/run/user/{TESTER}"}
    command = ["setpriv", f"--reuid={TESTER}", f"--regid={TESTER}", "--init-groups", "systemctl", "--user"]
    assert run([*command, "start", "dbus"], env=environment).returncode == 0


def scopes_of(pyoci: str, tmp_path: Path, reporter: Path, user: bool) -> Iterator[Scopes]:
    scopes = Scopes(pyoci, tmp_path, reporter, user)
    scopes.root.mkdir(mode=0o700)
    if user:
        os.chown(tmp_path, TESTER, TESTER)
        os.chown(scopes.root, TESTER, TESTER)
    before = scopes.snapshot()
    yield scopes
    for name in os.listdir(scopes.root):
        if name != "@seccomp":
            assert scopes("delete", "--force", name).returncode == 0
    assert scopes.differences(before) == set()


@pytest.fixture
def scopes(pyoci: str, tmp_path: Path, reporter: Path) -> Iterator[Scopes]:
    """Containers of root."""
    _need_booted()
    yield from scopes_of(pyoci, tmp_path, reporter, user=False)


@pytest.fixture(params=["root", "user"])
def either(request: pytest.FixtureRequest, pyoci: str, tmp_path: Path, reporter: Path) -> Iterator[Scopes]:
    """The same twice: of root, and of a user without privileges."""
    _need_booted()
    if request.param == "user":
        request.getfixturevalue("users_systemd")
    yield from scopes_of(pyoci, tmp_path, reporter, user=request.param == "user")
