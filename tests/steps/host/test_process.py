"""What the runtime does to the container's process from outside."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyoci.config.namespaces import TimeOffset
from pyoci.config.process import Rlimit
from pyoci.config.seccomp import Seccomp
from pyoci.errors import StepError
from pyoci.kernel import capability, namespace
from pyoci.kernel.clone import clone
from pyoci.steps.host.context import HostContext
from pyoci.steps.host.process import RaiseHardLimits, SetOomScoreAdj, SetTimeOffsets
from pyoci.steps.host.seccomp import CompileFilter
from pyoci.steps.init.context import InitContext
from tests.container.box import Box
from tests.isolation import CLONE_NEWTIME
from tests.steps.look import Look, process
from tests.steps.scene import carry_out

pytestmark = pytest.mark.root

CAP_SYS_RESOURCE = 1 << 24


@pytest.fixture
def waiting() -> Iterator[HostContext]:
    """A context whose process waits, in a new time namespace, until the test ends."""
    reading, writing = os.pipe()
    ready, told = os.pipe()

    def body() -> None:
        os.close(writing)
        namespace.unshare(CLONE_NEWTIME)
        os.write(told, b"x")
        os.read(reading, 1)

    made: HostContext = HostContext(None, None, InitContext(None))  # type: ignore[arg-type]
    made.pid, made.pidfd = clone(body)
    made.proc = os.open("/proc", os.O_PATH)
    os.read(ready, 1)
    yield made
    os.close(writing)
    os.waitpid(made.pid, 0)
    for descriptor in (reading, ready, told, made.pidfd, made.proc):
        os.close(descriptor)


def test_oom_score(waiting: HostContext) -> None:
    carry_out(waiting, SetOomScoreAdj(value=345))
    assert Path(f"/proc/{waiting.pid}/oom_score_adj").read_text() == "345\n"


def test_an_oom_score_that_is_refused(waiting: HostContext) -> None:
    with pytest.raises(StepError) as caught:
        carry_out(waiting, SetOomScoreAdj(value=5000))
    assert caught.value.pointer == "/process/oomScoreAdj"


def test_clock_offsets(waiting: HostContext) -> None:
    offsets = (
        TimeOffset(pointer="/linux/timeOffsets/monotonic", clock="monotonic", secs=5, nanosecs=7),
        TimeOffset(pointer="/linux/timeOffsets/boottime", clock="boottime", secs=-3, nanosecs=0),
    )
    carry_out(waiting, SetTimeOffsets(offsets=offsets))
    lines = [line.split() for line in Path(f"/proc/{waiting.pid}/timens_offsets").read_text().splitlines()]
    assert lines == [["monotonic", "5", "7"], ["boottime", "-3", "0"]]


def test_an_offset_before_the_beginning_of_time(waiting: HostContext) -> None:
    offset = TimeOffset(pointer="/linux/timeOffsets/boottime", clock="boottime", secs=-(10**12), nanosecs=0)
    with pytest.raises(StepError) as caught:
        carry_out(waiting, SetTimeOffsets(offsets=(offset,)))
    assert caught.value.pointer == "/linux/timeOffsets"


def limit(soft: int, hard: int) -> RaiseHardLimits:
    one = Rlimit(pointer="/process/rlimits/0", type="RLIMIT_CORE", resource=resource.RLIMIT_CORE, soft=soft, hard=hard)
    return RaiseHardLimits(rlimits=(one,))


def test_a_lower_limit_is_left_to_the_process(waiting: HostContext) -> None:
    before = resource.prlimit(waiting.pid, resource.RLIMIT_CORE)
    carry_out(waiting, limit(0, 0))
    assert resource.prlimit(waiting.pid, resource.RLIMIT_CORE) == before


def test_a_higher_limit_is_raised_or_refused_with_a_reason(box: Box) -> None:
    """With CAP_SYS_RESOURCE it works, without it the error names the limit and the capability."""
    wanted = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 500}]
    bundle = box.bundle("report", change=process(rlimits=wanted))
    box.prefix = ("sh", "-c", 'ulimit -Hn 400; ulimit -n 300; exec "$@"', "sh")
    done = box("run", "--bundle", str(bundle), "limits")
    box.prefix = ()
    if capability.get()[0] & CAP_SYS_RESOURCE:
        assert '"NOFILE":[100,500]' in done.stdout
        return
    assert done.returncode == 1
    assert "error setting rlimit type 7: operation not permitted" in done.stderr
    assert "/process/rlimits/0" in done.stderr and "CAP_SYS_RESOURCE" in done.stderr


def test_the_filter_is_handed_over_with_its_flags(tmp_path: Path) -> None:
    made = HostContext(None, None, InitContext(None))  # type: ignore[arg-type]
    made.root = str(tmp_path)
    carry_out(made, CompileFilter(seccomp=Seccomp(default_action="SCMP_ACT_ALLOW", flags=("SECCOMP_FILTER_FLAG_LOG",))))
    assert made.init.filter is not None
    assert made.init.filter[1] == 2


@pytest.mark.parametrize("offsets", [False, True])
@pytest.mark.parametrize("value", [10, 1000])
def test_the_program_has_the_oom_score(look: Look, value: int, offsets: bool) -> None:
    """In one stage and in two."""

    def change(config: dict[str, Any]) -> None:
        config["process"]["oomScoreAdj"] = value
        if offsets:
            config["linux"]["namespaces"].append({"type": "time"})
            config["linux"]["timeOffsets"] = {"monotonic": {"secs": 1}}

    assert look(change)["oom_score_adj"] == str(value)
