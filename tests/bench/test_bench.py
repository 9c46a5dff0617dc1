"""tools/bench: what is counted and compared, and that measuring leaves nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci import config
from tests import snapshot
from tools.bench_lib import bundle, counts, report

TIMES = st.lists(st.floats(0.1, 1e4), min_size=1, max_size=20)

TRACE = """\
10 execve("/usr/bin/crun", ["crun", "run"], 0x7 /* 3 vars */) = 0
10 clone3({flags=CLONE_NEWPID, exit_signal=SIGCHLD}, 88) = 11
11 set_robust_list(0x7f, 24 <unfinished ...>
10 read(5,  <unfinished ...>
11 <... set_robust_list resumed>) = 0
11 mount("proc", "/proc", "proc", 0, NULL) = 0
11 execve("/bin/nothing", ["/bin/true"], 0x7 /* 2 vars */) = -1 ENOENT (No such file or directory)
11 execve("/bin/true", ["/bin/true"], 0x7 /* 2 vars */) = 0
11 brk(NULL) = 0x1
11 +++ exited with 0 +++
10 <... read resumed>"", 1) = 0
"""


def test_calls_of_the_process_that_executes_the_program() -> None:
    """Only that process counts, an interrupted call once, and nothing after execve."""
    assert counts.calls_before(TRACE, "/bin/true") == ["set_robust_list", "mount", "execve", "execve"]


def test_no_such_process() -> None:
    with pytest.raises(LookupError):
        counts.calls_before(TRACE, "/bin/false")


@given(TIMES, TIMES)
def test_ratio_is_between_medians_and_decides(ours: list[float], theirs: list[float]) -> None:
    """The ratio is first subject to reference; a budget is missed exactly above its limit."""
    found = [[{"run": time} for time in ours], [{"run": time} for time in theirs]]
    row = report.row("run", found, 1, report.Budget(1.0))
    assert row.ratio == row.medians[0] / row.medians[1]
    assert row.missed == (row.medians[0] > row.medians[1])
    assert report.row("run", found, None, report.Budget(1.0)).missed is False


def test_a_work_is_the_sum_of_its_parts() -> None:
    parts = [{"create": 3.0, "start": 1.0}, {"create": 5.0, "start": 3.0}, {"create": 4.0, "start": 2.0}]
    row = report.row("life", [parts], None, None)
    assert row.medians == (6.0,)
    assert row.parts == ({"create": 4.0, "start": 2.0},)


def test_table_shows_verdicts() -> None:
    slow = report.row("run", [[{"run": 2.0}], [{"run": 1.0}]], 1, report.Budget(1.0))
    text = report.table([slow], ["pyoci", "runc"], "runc")
    assert "FAIL" in text and "2.00" in text
    assert len({len(line) for line in text.splitlines() if line.endswith("FAIL")}) == 1


def test_the_measured_bundle_is_valid() -> None:
    """pyoci reads it without complaint."""
    read = config.read(bundle.config(["/bin/true"]))
    assert read.process is not None and read.process.args == ("/bin/true",)
    assert {namespace.type for namespace in read.linux.namespaces} >= {
        "pid",
        "network",
        "ipc",
        "uts",
        "mount",
        "cgroup",
    }


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="makes namespaces, mounts and cgroups")
def test_a_run_leaves_nothing(tmp_path: Path) -> None:
    """One short run with a runtime made for the purpose: figures come out, the cgroup is gone, mounts are as before."""
    runtime = tmp_path / "runtime"
    runtime.write_text(
        '#!/bin/sh\nif [ "$1" = --version ]; then echo fake 1; else mkdir -p /sys/fs/cgroup/left/behind; fi\n'
    )
    runtime.chmod(0o755)
    before = list(snapshot.mounts(str(tmp_path)))
    command = [
        sys.executable,
        "tools/bench",
        "run",
        "--runtimes",
        str(runtime),
        "-n",
        "3",
        "--idle",
        "1",
        "--no-counts",
    ]
    result = subprocess.run(
        [*command, "--json", str(tmp_path / "out.json")], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    data = json.loads((tmp_path / "out.json").read_text())
    assert [row["work"] for row in data["rows"]] == ["run", "run, 1 ms idle before"]
    assert list(snapshot.mounts(str(tmp_path))) == before
    names = [os.path.basename(path) for path in snapshot.cgroups("")]
    assert not [name for name in names if name == "left" or name.startswith("pyoci-bench.")]
