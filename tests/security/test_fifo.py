"""What `start` believes comes through exec.fifo: nobody but the container's process may write to it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pyoci import channel
from pyoci.errors import Error
from tests.container.box import until
from tests.security.harness import Arena

pytestmark = pytest.mark.root

STRANGER = 4321
MESSAGE = "a message that somebody else has made up"
FORGED = b"E" + channel.encode("error", channel.encode_error(Error(MESSAGE)))
# Opens the fifo as another user and holds it, or says why not; then writes what is to be believed.
WRITER = """
import os, sys
os.setgroups([])
os.setresgid(*3 * [int(sys.argv[1])])
os.setresuid(*3 * [int(sys.argv[1])])
try:
    fifo = os.open(sys.argv[2], os.O_WRONLY)
except OSError as error:
    print(error.strerror, flush=True)
    sys.exit()
os.write(fifo, bytes.fromhex(sys.argv[3]))
print("written", flush=True)
"""


def created(arena: Arena, user: int) -> Path:
    """A created container below a root that everybody may traverse, as containerd's is; its fifo."""
    arena.root.chmod(0o711)
    arena.create(arena.bundle("sleep 60", change=lambda config: config["process"].update(user={"uid": user, "gid": 7})))
    return arena.root / "c/exec.fifo"


def writer(user: int, fifo: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-I", "-c", WRITER, str(user), str(fifo), FORGED.hex()]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("user", [0, 1000])
@pytest.mark.parametrize("attacker", [STRANGER, 1000])
def test_nobody_else_can_open_it(arena: Arena, user: int, attacker: int) -> None:
    """Whether the program's user or another one: it waits in no fifo, and `start` says what the process does."""
    fifo = created(arena, user)
    attack = writer(attacker, fifo)
    try:
        assert attack.communicate(timeout=20)[0] == "Permission denied\n"
    finally:
        attack.kill()
    done = arena("start", "c")
    assert (done.returncode, done.stderr) == (0, "")
    assert arena.status("c") == "running"


def test_what_it_would_do(arena: Arena) -> None:
    """The same with the modes opened by hand: the attack above is one."""
    fifo = created(arena, 0)
    fifo.parent.chmod(0o711)
    fifo.chmod(0o622)
    attack = writer(STRANGER, fifo)
    until(lambda: Path(f"/proc/{attack.pid}/syscall").read_text().split()[0] in ("257", "56"), "it waits in open(2)")
    done = arena("start", "c")
    assert attack.communicate(timeout=20)[0] == "written\n"
    assert done.returncode == 1 and MESSAGE in done.stderr


def test_modes(any_arena: Arena) -> None:
    """In every kind of user namespace: the directory is the runtime's user's, the fifo the program's user's."""
    any_arena.create(any_arena.bundle("true"))
    modes = [oct((any_arena.root / name).stat().st_mode & 0o777) for name in ("c", "c/exec.fifo", "c/state.json")]
    assert modes == ["0o700", "0o640", "0o600"]
    assert os.stat(any_arena.root / "c/exec.fifo").st_uid == 0
    done = any_arena("start", "c")
    assert (done.returncode, done.stderr) == (0, "")
