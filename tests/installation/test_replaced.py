"""An installation that is replaced under a command: the command ends with what it was started with.

As package managers do it, with new files under the old names, and as `cp` does it, into the files that are open. Shared
objects that are mapped cannot be cut short: that kills whatever has mapped them, here as everywhere.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.container.box import Box, Done, Running, until
from tests.container.test_hooks import shell
from tests.container.test_together import hook
from tests.installation.conftest import Installation

pytestmark = pytest.mark.root

Ruin = Callable[[Installation, int], None]


def rename(installation: Installation, pid: int) -> None:
    """Everything is another file with other content now, the interpreter and the C libraries included."""
    for path in installation.files():
        new = path.with_name(path.name + ".new")
        new.write_bytes(b"raise ImportError('the new version')\n")
        new.rename(path)


def truncate(installation: Installation, pid: int) -> None:
    """Every file is cut short in place, but what is mapped and the program that runs (ETXTBSY)."""
    mapped = Path(f"/proc/{pid}/maps").read_text()
    for path in installation.files():
        if str(path) not in mapped and path not in (installation.program, installation.interpreter):
            os.truncate(path, 0)


def remove(installation: Installation, pid: int) -> None:
    installation.prefix.rename(installation.prefix.with_name("gone"))
    for path in installation.prefix.with_name("gone").rglob("*"):
        if path.is_file():
            path.unlink()


@pytest.fixture(params=[rename, truncate, remove], ids=lambda ruin: ruin.__name__)
def ruin(request: pytest.FixtureRequest) -> Ruin:
    """One of the ways to lose an installation that a process uses."""
    act: Ruin = request.param
    return act


def begin(box: Box, installation: Installation, *argv: str) -> Running:
    """The command under way is the installation's; all others are the installed runtime's."""
    own, box.pyoci = box.pyoci, str(installation.program)
    running = box.begin(*argv)
    box.pyoci = own
    return running


def silent(done: Done) -> int:
    assert done.stderr == ""
    return done.returncode


def test_the_ruin_is_one(installation: Installation, box: Box, ruin: Ruin) -> None:
    """Control: what starts afterwards does not work."""
    assert begin(box, installation, "list").end().returncode == 0
    ruin(installation, os.getpid())
    if installation.program.exists() and installation.program.stat().st_size > 1000:
        assert begin(box, installation, "list").end().returncode != 0


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_run(installation: Installation, box: Box, ruin: Ruin, ending: int) -> None:
    """The program's status, the poststop hook, and nothing left."""
    stopped = box.directory / "stopped"
    bundle = box.bundle("trap", "7", change=hook("poststop", shell(f"cat >{stopped}")))
    running = begin(box, installation, "run", "--bundle", str(bundle), "a")
    until(lambda: os.path.exists(box.root / "a/state.json") and box.status("a") == "running", "it runs")
    ruin(installation, running.pid)
    if ending == signal.SIGKILL:
        assert box("kill", "a", "KILL").stderr == ""
    else:
        running.signal(ending)  # which the runtime passes on
    assert silent(running.end()) == (7 if ending == signal.SIGTERM else 137)
    assert '"status":"stopped"' in stopped.read_text().replace(" ", "")
    assert not (box.root / "a").exists()


def test_run_whose_poststop_hook_fails(installation: Installation, box: Box, ruin: Ruin) -> None:
    """The error is told as ever."""
    bundle = box.bundle("trap", "0", change=hook("poststop", shell("exit 3")))
    running = begin(box, installation, "--debug", "run", "--bundle", str(bundle), "a")
    until(lambda: os.path.exists(box.root / "a/state.json") and box.status("a") == "running", "it runs")
    ruin(installation, running.pid)
    running.signal(signal.SIGTERM)
    done = running.end()
    assert re.search(r"poststop hook #0.*exit status 3", done.stderr), done.stderr
    assert "internal error" not in done.stderr and "Traceback" not in done.stderr


def test_exec(installation: Installation, box: Box, ruin: Ruin) -> None:
    assert box("run", "--detach", "--bundle", str(box.bundle("sleep")), "a").stderr == ""
    running = begin(box, installation, "exec", "a", "/reporter", "write", "/proc/self/comm", "here", ",", "trap", "5")
    until(lambda: b"here" in names_in(box, "a"), "the program runs")
    ruin(installation, running.pid)
    running.signal(signal.SIGTERM)
    assert silent(running.end()) == 5


def names_in(box: Box, id: str) -> bytes:
    """Names of the processes of a container that has its own pid namespace, as the host sees them."""
    found = b""
    for line in box("ps", "--format", "json", id).stdout.strip("[]\n").split(","):
        try:
            found += Path(f"/proc/{int(line)}/comm").read_bytes()
        except FileNotFoundError:
            pass
    return found


@pytest.mark.parametrize("kind", ["prestart", "createRuntime"])
def test_create_that_a_hook_holds(installation: Installation, box: Box, ruin: Ruin, kind: str) -> None:
    gate, stopped = box.gate(), box.directory / "stopped"
    bundle = box.bundle("exit", "0", change=hook(kind, gate.hook, shell(f"touch {box.directory}/second")))
    running = begin(box, installation, "create", "--bundle", str(bundle), "a")
    gate.wait()
    ruin(installation, running.pid)
    gate.open()
    assert silent(running.end()) == 0
    assert (box.directory / "second").exists() and not stopped.exists()
    assert box("start", "a").stderr == ""
    box.wait("a", "stopped")


def test_create_whose_hook_fails(installation: Installation, box: Box, ruin: Ruin) -> None:
    """Everything is undone."""
    gate = box.gate()
    bundle = box.bundle("exit", "0", change=hook("createRuntime", gate.hook, shell("exit 3")))
    running = begin(box, installation, "--debug", "create", "--bundle", str(bundle), "a")
    gate.wait()
    ruin(installation, running.pid)
    gate.open()
    done = running.end()
    assert done.returncode == 1 and "hook #1" in done.stderr and "internal error" not in done.stderr, done.stderr
    assert not (box.root / "a").exists()


def test_create_with_seccomp_and_limits(installation: Installation, box: Box, ruin: Ruin) -> None:
    """What is imported for what a config asks for is there before the hook, and what removes it too."""
    gate = box.gate()

    def change(config: dict[str, object]) -> None:
        hook("createRuntime", gate.hook)(config)
        linux = config["linux"]
        assert isinstance(linux, dict)
        linux["resources"] = {"pids": {"limit": 20}, "memory": {"limit": 1 << 26}}
        linux["seccomp"] = {
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}],
        }

    bundle = box.bundle("exit", "4", change=change)
    running = begin(box, installation, "run", "--bundle", str(bundle), "a")
    gate.wait()
    ruin(installation, running.pid)
    gate.open()
    assert silent(running.end()) == 4


def test_start_that_a_hook_holds(installation: Installation, box: Box, ruin: Ruin) -> None:
    gate = box.gate()
    bundle = box.bundle("sleep", change=hook("poststart", gate.hook, shell("exit 3")))
    assert box("create", "--bundle", str(bundle), "a").stderr == ""
    running = begin(box, installation, "start", "a")
    gate.wait()
    ruin(installation, running.pid)
    gate.open()
    done = running.end()
    assert done.returncode == 1 and "poststart hook #1" in done.stderr, done.stderr
    box.wait("a", "stopped")


def test_delete_that_a_hook_holds(installation: Installation, box: Box, ruin: Ruin) -> None:
    gate = box.gate()
    bundle = box.bundle("sleep", change=hook("poststop", gate.hook, shell(f"touch {box.directory}/second")))
    assert box("run", "--detach", "--bundle", str(bundle), "a").stderr == ""
    running = begin(box, installation, "delete", "--force", "a")
    gate.wait()
    ruin(installation, running.pid)
    gate.open()
    assert silent(running.end()) == 0
    assert (box.directory / "second").exists() and not (box.root / "a").exists()


def test_events(installation: Installation, box: Box, ruin: Ruin) -> None:
    """A command that has no piece of its own in modules.pack."""
    assert box("run", "--detach", "--bundle", str(box.bundle("sleep")), "a").stderr == ""
    running = begin(box, installation, "events", "--interval", "1s", "a")
    output = running.output.with_suffix(".out")
    until(lambda: output.read_text().count("\n") >= 1, "there is one")
    ruin(installation, running.pid)
    before = output.read_text().count("\n")
    until(lambda: output.read_text().count("\n") > before + 1, "there are more")
    assert box("kill", "a", "KILL").stderr == ""
    assert silent(running.end()) == 0
