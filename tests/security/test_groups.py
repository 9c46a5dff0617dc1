"""The caller's supplementary groups, in a user namespace where setgroups(2) is denied: they are dropped before it is
joined, because afterwards nobody can."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.container.box import until
from tests.security.harness import Arena

pytestmark = pytest.mark.root

GROUPS = (5, 6, 44)


@pytest.fixture(params=["deny", "allow"])
def holder(request: pytest.FixtureRequest) -> Iterator[str]:
    """A user namespace of somebody else's, as an engine may give it: its path."""
    process = subprocess.Popen(["unshare", "--user", "sleep", "1000"])
    try:
        until(lambda: Path(f"/proc/{process.pid}/comm").read_bytes() == b"sleep\n", "the namespace is there")
        Path(f"/proc/{process.pid}/setgroups").write_text(request.param)
        for kind in ("gid", "uid"):
            Path(f"/proc/{process.pid}/{kind}_map").write_text("0 0 65536")
        yield f"/proc/{process.pid}/ns/user"
    finally:
        process.kill()
        process.wait()


def groups(text: str) -> list[str]:
    (line,) = [line for line in text.split("\n") if line.startswith("Groups:")]
    return line.split()[1:]


@pytest.mark.parametrize("late", [False, True], ids=["alone", "with a uts namespace"])
def test_they_are_not_the_container_s(arena: Arena, holder: str, late: bool) -> None:
    def change(config: dict[str, Any]) -> None:
        kinds = ("pid", "mount", "uts", "ipc")
        config["linux"]["namespaces"] = [{"type": "user", "path": holder}, *({"type": kind} for kind in kinds)]
        config["mounts"] = [one for one in config["mounts"] if one["type"] in ("proc", "tmpfs")]
        if late:
            path = holder.replace("/user", "/uts")
            config["linux"]["namespaces"][3]["path"] = path
            config.pop("hostname")

    bundle = arena.bundle("/bin/sleep", "1000", change=change)
    done = arena("run", "--detach", "--bundle", str(bundle), "c", extra_groups=GROUPS)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert groups(Path(f"/proc/{arena.state('c')['pid']}/status").read_text()) == []
    done = arena("exec", "c", "/bin/cat", "/proc/self/status", extra_groups=GROUPS)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert groups(done.stdout) == []


def test_the_caller_has_them(arena: Arena) -> None:
    """The control: a command that drops none keeps them."""
    done = subprocess.run(["cat", "/proc/self/status"], extra_groups=GROUPS, capture_output=True, text=True, check=True)
    assert groups(done.stdout) == [str(one) for one in GROUPS]
    bundle = arena.bundle("/bin/cat", "/proc/self/status")
    assert groups(arena.run(bundle, extra_groups=GROUPS).stdout) == []
