"""Whether the runtime is in a user namespace is told by the namespace, not by its id map."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.container.box import boxes
from tests.security.harness import arenas

pytestmark = pytest.mark.root

MAPS = {"full": "0 0 4294967295", "half": "0 0 65536"}
HERE = Path(__file__).parent.parent.parent
ASK = "from pyoci import host; found = host.read(); print(found.user_namespace, found.privileged())"


def in_namespace(mappings: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as root of a new user namespace with these mappings, its first mount namespace beside it."""
    script = 'read -r _ && exec "$@"'
    child = subprocess.Popen(
        ["unshare", "--user", "--mount", "sh", "-c", f"echo; {script}", "sh", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=HERE,
    )
    assert child.stdin is not None and child.stdout is not None
    child.stdout.readline()  # it is there
    for kind in ("uid", "gid"):
        Path(f"/proc/{child.pid}/{kind}_map").write_text(mappings)
    out, err = child.communicate("\n", timeout=60)
    return subprocess.CompletedProcess(command, child.returncode, out, err)


@pytest.mark.parametrize("name", MAPS)
def test_a_namespace_is_one_whatever_its_map(name: str) -> None:
    done = in_namespace(MAPS[name], sys.executable, "-c", ASK)
    assert (done.stdout, done.stderr) == ("True False\n", "")


def test_the_initial_one_is_none() -> None:
    done = subprocess.run([sys.executable, "-c", ASK], cwd=HERE, capture_output=True, text=True, check=True)
    assert done.stdout == "False True\n"


def test_devices_are_bound_where_nodes_cannot_be_made(pyoci: str, tmp_path: Path, reporter: Path) -> None:
    """With an identity map mknod(2) fails all the same; the container has the devices, nosuid and noexec."""
    places = arenas(pyoci, tmp_path, f"pyoci-security-userns-{os.getpid()}", reporter, "nested")
    arena = next(places)
    done = arena.run(arena.bundle("ls -l /dev/null; grep ' /dev/null ' /proc/self/mountinfo"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "1,   3" in done.stdout
    options = done.stdout.splitlines()[1].split()[5]
    assert "nosuid" in options and "noexec" in options
    assert next(places, None) is None


@pytest.mark.parametrize("deny", [True, False], ids=["rules that deny", "rules that allow all"])
def test_a_device_filter_that_cannot_be_loaded(pyoci: str, tmp_path: Path, reporter: Path, deny: bool) -> None:
    """In the initial user namespace a container that was to be confined is not made without its filter."""
    places = boxes(pyoci, tmp_path, f"pyoci-security-filter-{os.getpid()}", reporter, "v2")
    box = next(places)
    rules = [{"allow": not deny, "access": "rwm"}]

    def change(config: dict[str, Any]) -> None:
        config["linux"]["resources"] = {"devices": rules}

    bundle = str(box.bundle("exit", "0", change=change))
    inject = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=bpf", "-e", "inject=bpf:error=EPERM")
    done = box("run", "--bundle", bundle, "a")
    assert (done.returncode, done.stderr) == (0, "")
    usual, box.prefix = box.prefix, (*box.prefix, *inject)
    done = box("run", "--bundle", bundle, "a")
    box.prefix = usual
    if deny:
        assert done.returncode == 1 and "/linux/resources/devices" in done.stderr
    else:
        assert (done.returncode, done.stderr) == (0, "")
    assert next(places, None) is None
