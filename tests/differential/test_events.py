"""`events --stats` is, byte for byte, what runc prints of the same cgroup."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.container.box import V2_ONLY, until
from tests.differential import run
from tests.differential.test_runc import id, runc

__all__ = ["id", "runc"]  # fixtures

pytestmark = pytest.mark.root

PROJECT = Path(__file__).parents[2]
READ = """
import json, sys
from pyoci import jsonfile
from pyoci.cgroups.statistics import statistics
print(jsonfile.dumps({"type": "stats", "id": sys.argv[1], "data": statistics.read(json.loads(sys.argv[2]))}))
"""


def config(config: dict[str, object], bundle: Path) -> None:
    """Something of everything: files read and written, processes, times, limits."""
    process = config["process"]
    assert isinstance(process, dict)
    process["args"] = ["/reporter", "spawn", "3", ",", "write", "/tmp/x", "y" * 9000, ",", "sleep"]
    mounts = config["mounts"]
    assert isinstance(mounts, list)
    mounts.append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"})
    (bundle / "rootfs/tmp").mkdir()


LIMITS = {
    "pids": {"limit": 20},
    "memory": {"limit": 64 << 20, "swap": 128 << 20},
    "cpu": {"quota": 50000, "period": 100000, "shares": 512},
}


@pytest.mark.parametrize("view", ["host", "v2"])
def test_the_same_statistics(view: str, runc: str, id: str, tmp_path: Path) -> None:
    """The container sleeps meanwhile; if our own numbers change between two looks, we look again."""
    prefix = (*V2_ONLY, "sh") if view == "v2" else ()
    command = [*prefix, runc, "--root", str(tmp_path / "root")]
    bundle, _ = run.bundle(tmp_path, config, f"{id}-theirs")
    if view == "host":
        full = json.loads((bundle / "config.json").read_text())
        full["linux"]["resources"].update(LIMITS)
        (bundle / "config.json").write_text(json.dumps(full))
    begin = [*command, "run", "--detach", "--bundle", str(bundle), f"{id}-theirs"]
    with (tmp_path / "output").open("w") as output:
        done = subprocess.run(begin, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False, timeout=60)
    assert done.returncode == 0, (tmp_path / "output").read_text()
    try:
        state = json.loads((tmp_path / "root" / f"{id}-theirs" / "state.json").read_text())
        paths = json.dumps(state["cgroup_paths"])
        until(lambda: settled(state["init_process_pid"]), "the container sleeps")
        words = [*prefix, sys.executable, "-c", READ, f"{id}-theirs", paths]
        for _ in range(20):
            before = text([*words])
            theirs = text([*command, "events", "--stats", f"{id}-theirs"])
            ours = text([*words])
            if before == ours:
                break
            time.sleep(0.05)
        assert ours == theirs
    finally:
        subprocess.run([*command, "delete", "--force", f"{id}-theirs"], check=True, timeout=60)


def settled(pid: int) -> bool:
    """Whether the container's first process has come to its last command, which waits for signals."""
    try:
        return "sig" in Path(f"/proc/{pid}/wchan").read_text() or "pause" in Path(f"/proc/{pid}/wchan").read_text()
    except OSError:
        return False


def text(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout
