"""For all tests: where temporary files go, what needs root, the installed runtime and the reporter."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import tempfile
from pathlib import Path

import hypothesis
import pytest

from tests import reporter as reporter_program
from tests import schema_modules

schema_modules.make()  # before any test module imports pyoci.config

PROJECT = Path(__file__).parent.parent
SCRATCH = Path(os.environ.get("PYOCI_TEST_SCRATCH", "/var/tmp/pyoci-tests"))
KEPT_RUNS = 3  # directories of failed runs

hypothesis.settings.register_profile("pyoci", deadline=None, print_blob=True)
hypothesis.settings.load_profile("pyoci")

_own_basetemp = pytest.StashKey[Path]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Temporary directories below /var/tmp/pyoci-tests, each run with one of its own: a /tmp may be mounted noexec,
    is in memory, and is emptied by others."""
    default_signals()
    if config.option.basetemp is None:
        SCRATCH.mkdir(mode=0o755, parents=True, exist_ok=True)
        directory = Path(tempfile.mkdtemp(prefix="run-", dir=SCRATCH))
        directory.chmod(0o755)
        config.option.basetemp = str(directory / "t")
        config.stash[_own_basetemp] = directory


def default_signals() -> None:
    """make starts programs with the C library's own two signals ignored (posix_spawn of glibc does it), a shell's `&`
    with SIGINT ignored, nohup with SIGHUP. The launcher ends the first for the runtime; here it is for what is tested
    in this process, and the others for tests that send them to the runtime. A SIGHUP that is caught is one that
    programs do not ignore and that does not end us. sigaction(3) refuses the numbers of the first two."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda number, frame: None)
    rt_sigaction = {"x86_64": 13, "aarch64": 134}[os.uname().machine]
    for number in (32, 33):
        ctypes.CDLL(None).syscall(rt_sigaction, number, (ctypes.c_ulong * 4)(), None, 8)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """What passed is removed, what failed is kept, of that the newest few."""
    own = session.config.stash.get(_own_basetemp, None)
    if own is None:
        return
    if exitstatus == pytest.ExitCode.OK:
        remove_tree(own)
    runs = sorted((changed(path), path) for path in SCRATCH.glob("run-*"))
    for when, old in runs[:-KEPT_RUNS]:
        if when < own.parent.stat().st_mtime - 3600:
            remove_tree(old)


def changed(path: Path) -> float:
    """When; for one that another session has just removed, the end of time."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")


def remove_tree(directory: Path) -> None:
    """Removes a directory, unless something is mounted below it: nobody wants to learn what a leaked mount leads to."""
    mounts = [os.fsdecode(line.split()[4]) for line in Path("/proc/self/mountinfo").read_bytes().split(b"\n") if line]
    if any(mount == str(directory) or mount.startswith(f"{directory}/") for mount in mounts):
        raise RuntimeError(f"a test has left a mount below {directory}")
    shutil.rmtree(directory, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without root only the pure tests can run; the others say so."""
    if os.geteuid() == 0:
        return
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(pytest.mark.skip(reason="needs root: run as root to test what the kernel does"))


@pytest.fixture
def tmp_path(tmp_path: Path) -> Path:
    """pytest's directory, made passable for other users: a container's user walks through it to its rootfs."""
    several = "PYTEST_XDIST_WORKER" in os.environ  # then each process has a directory of its own in the run's
    for directory in (tmp_path, tmp_path.parent, tmp_path.parent.parent)[: 3 if several else 2]:
        directory.chmod(0o755)
    return tmp_path


@pytest.fixture(scope="session")
def pyoci() -> str:
    """Path of the installed runtime: $PYOCI, else the one that `make` has built."""
    path = os.environ.get("PYOCI", str(PROJECT / ".venv/bin/pyoci"))
    if not os.access(path, os.X_OK):
        pytest.fail(f"{path} does not exist: run `make` first, or name an installed runtime in $PYOCI", pytrace=False)
    return path


@pytest.fixture(scope="session")
def reporter() -> Path:
    """Path of the static reporter; tests/reporter/reporter.c says what it can do."""
    return reporter_program.build()
