"""Scheduler, I/O priority, personality, memory policy, CPUs: what the program of a container has of them."""

from __future__ import annotations

import glob
import os
import struct
from errno import EINVAL, EPERM
from typing import Any

import pytest

from pyoci import config
from pyoci.config.process import ExecCpuAffinity, Scheduler
from pyoci.errors import StepError
from pyoci.kernel import scheduling as kernel
from pyoci.kernel.seccomp import prepare
from pyoci.steps.host.scheduling import SetInitialAffinity
from pyoci.steps.init.scheduling import SetFinalAffinity, SetMemoryPolicy, SetScheduler
from tests.container.box import V2_ONLY, Box
from tests.container.exec.started import process_file
from tests.isolation import in_namespace
from tests.steps.look import Change, Config, Look, changes, process, user_namespace
from tests.steps.scene import carry_out, context

pytestmark = pytest.mark.root

SCHED_SETAFFINITY = {"x86_64": 203, "aarch64": 122}.get(os.uname().machine, -1)
NONE = {"policy": 0, "flags": 0, "nice": 0, "priority": 0, "runtime": 0, "deadline": 0, "period": 0}


def scheduler(**members: object) -> Change:
    return process(scheduler=members)


def linux(**members: object) -> Change:
    return lambda config: config["linux"].update(members)


# -- scheduler


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"policy": "SCHED_OTHER", "nice": 7}, {"nice": 7}),
        ({"policy": "SCHED_OTHER", "nice": -4}, {"nice": -4}),
        ({"policy": "SCHED_BATCH", "nice": 19}, {"policy": 3, "nice": 19}),
        ({"policy": "SCHED_IDLE"}, {"policy": 5}),
        ({"policy": "SCHED_FIFO", "priority": 10}, {"policy": 1, "priority": 10}),
        (
            {"policy": "SCHED_RR", "priority": 99, "flags": ["SCHED_FLAG_RESET_ON_FORK"]},
            {"policy": 2, "priority": 99, "flags": 1},
        ),
        (
            {"policy": "SCHED_DEADLINE", "runtime": 10**7, "deadline": 10**8, "period": 2 * 10**8}
            | {"flags": ["SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN"]},
            {"policy": 6, "runtime": 10**7, "deadline": 10**8, "period": 2 * 10**8, "flags": 6},
        ),
    ],
    ids=lambda value: str(value.get("policy")),
)
@pytest.mark.parametrize("uid", [0, 1000])
def test_policies(box: Box, look: Look, wanted: dict[str, Any], found: dict[str, int], uid: int) -> None:
    """Set before the ids: the program itself may not, and has it all the same."""
    box.prefix = (*V2_ONLY, "sh")  # a new v1 cgroup has no real-time CPU time
    seen = look(changes(scheduler(**wanted), process(user={"uid": uid, "gid": uid})))
    box.prefix = ()
    assert seen["sched_attr"] == NONE | found
    assert seen["uid"] == [uid] * 3


def test_a_cgroup_without_real_time(box: Box) -> None:
    """v1 with CONFIG_RT_GROUP_SCHED."""
    bundle = box.bundle("report", change=scheduler(policy="SCHED_FIFO", priority=1))
    done = box("run", "--bundle", str(bundle), "a")
    if not glob.glob("/sys/fs/cgroup/cpu*/cpu.rt_runtime_us"):
        assert done.returncode == 0
        return
    assert "error setting scheduler: operation not permitted" in done.stderr.splitlines()[0]
    assert "linux.resources.cpu.realtimeRuntime" in done.stderr


def test_without_it_everything_is_the_callers(look: Look) -> None:
    seen = look(None, preexec_fn=lambda: os.nice(3))
    assert (seen["sched_attr"], seen["memory_policy"]) == (NONE | {"nice": 3}, {"mode": 0, "nodes": []})


def test_nice_replaces_the_callers(look: Look) -> None:
    """`nice` that is not given is 0, as sched_setattr(2) has no way to leave it alone."""
    seen = look(scheduler(policy="SCHED_OTHER"), preexec_fn=lambda: os.nice(3))
    assert seen["sched_attr"] == NONE


def run(box: Box, change: Change) -> str:
    """A run that fails, and leaves nothing."""
    done = box("run", "--bundle", str(box.bundle("report", change=change)), "a")
    assert done.returncode == 1
    assert os.listdir(box.root) == []
    return done.stderr


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({"policy": "SCHED_FIFO", "priority": 100}, "invalid argument"),
        ({"policy": "SCHED_ISO"}, "invalid argument"),
        ({"policy": "SCHED_DEADLINE", "runtime": 5, "deadline": 4}, "invalid argument"),
    ],
    ids=["priority", "iso", "deadline"],
)
def test_what_the_kernel_refuses(box: Box, wanted: dict[str, Any], reason: str) -> None:
    said = run(box, scheduler(**wanted)).splitlines()
    assert said[0].endswith(f'error setting scheduler: {reason}"')
    assert "  pointer: /process/scheduler" in said
    assert any(line.startswith("  call: sched_setattr(0, ") for line in said)


def test_utilisation_clamps(look: Look, box: Box) -> None:
    """The flags without values, as config.json has them: the kernel's own answer, whatever it is built with."""
    change = scheduler(policy="SCHED_OTHER", flags=["SCHED_FLAG_UTIL_CLAMP_MIN"])
    done = box("run", "--bundle", str(box.bundle("report", change=change)), "a")
    assert done.returncode == 0 or "operation not supported" in done.stderr


def test_a_cpuset_and_a_policy_that_wants_every_cpu() -> None:
    wanted = Scheduler(pointer="/process/scheduler", policy="SCHED_DEADLINE", runtime=10**7, deadline=10**8)

    def body() -> None:
        os.sched_setaffinity(0, {0})
        carry_out(context(), SetScheduler(pointer=wanted.pointer, scheduler=wanted, cpus="0"))

    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("with one CPU a cpuset of one is all of them")
    with pytest.raises(StepError) as caught:
        in_namespace(body, 0)
    assert caught.value.message == "process scheduler can't be used together with AllowedCPUs"
    assert (caught.value.errno, caught.value.pointer) == (EPERM, "/process/scheduler")
    assert "0" in caught.value.hint


def test_a_policy_that_a_user_namespace_may_not_have(box: Box) -> None:
    """CAP_SYS_NICE there counts for nothing; the hint says so."""

    def owned(config: Config) -> None:
        for bundle in box.directory.glob("bundle-*"):
            os.chown(bundle / "rootfs", 100000, 100000)
        config["mounts"] = [one for one in config["mounts"] if one["type"] != "cgroup"]

    said = run(box, changes(scheduler(policy="SCHED_FIFO", priority=1), user_namespace(), owned))
    assert "error setting scheduler: operation not permitted" in said.splitlines()[0]
    assert "CAP_SYS_NICE" in said


# -- I/O priority


@pytest.mark.parametrize(
    ("kind", "priority", "number"),
    [("IOPRIO_CLASS_RT", 0, 1 << 13), ("IOPRIO_CLASS_BE", 7, 2 << 13 | 7), ("IOPRIO_CLASS_IDLE", 3, 3 << 13 | 3)],
)
def test_io_priority(look: Look, kind: str, priority: int, number: int) -> None:
    assert look(process(ioPriority={"class": kind, "priority": priority}))["io_priority"] == number


# -- personality


@pytest.mark.parametrize(("domain", "number"), [("LINUX", 0), ("LINUX32", 8)])
def test_personality(look: Look, domain: str, number: int) -> None:
    assert look(linux(personality={"domain": domain}))["personality"] == number


def test_flags_of_a_personality_are_a_warning(box: Box) -> None:
    """The specification knows no flag; runc warns as well."""
    wanted = linux(personality={"domain": "LINUX32", "flags": ["ADDR_NO_RANDOMIZE"]})
    done = box("run", "--bundle", str(box.bundle("exit", "0", change=wanted)), "a")
    assert done.returncode == 0
    assert "level=warning" in done.stderr and "personality flags: ADDR_NO_RANDOMIZE" in done.stderr


# -- memory policy


@pytest.mark.parametrize(
    ("wanted", "mode", "nodes"),
    [
        ({"mode": "MPOL_DEFAULT"}, 0, []),
        ({"mode": "MPOL_PREFERRED"}, 4, []),  # without nodes the kernel calls it local
        ({"mode": "MPOL_PREFERRED", "nodes": "0"}, 1, [0]),
        ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}, 2 | 1 << 15, [0]),
        ({"mode": "MPOL_BIND", "nodes": "0-5,70", "flags": ["MPOL_F_NUMA_BALANCING"]}, 2 | 1 << 13, [*range(6)]),
        ({"mode": "MPOL_INTERLEAVE", "nodes": "0", "flags": ["MPOL_F_RELATIVE_NODES"]}, 3 | 1 << 14, [0]),
        ({"mode": "MPOL_LOCAL"}, 4, []),
        ({"mode": "MPOL_PREFERRED_MANY", "nodes": "0"}, 5, [0]),
        ({"mode": "MPOL_WEIGHTED_INTERLEAVE", "nodes": "0"}, 6, [0]),
    ],
    ids=lambda value: value.get("mode") if isinstance(value, dict) else None,
)
def test_memory_policy(look: Look, wanted: dict[str, Any], mode: int, nodes: list[int]) -> None:
    """Nodes that this machine has not are left out by the kernel as long as one is there."""
    assert look(linux(memoryPolicy=wanted))["memory_policy"] == {"mode": mode, "nodes": nodes}


@pytest.mark.parametrize("nodes", ["1023", "65535"])
def test_nodes_that_do_not_exist(box: Box, nodes: str) -> None:
    said = run(box, linux(memoryPolicy={"mode": "MPOL_BIND", "nodes": nodes})).splitlines()
    assert said[0].endswith(': set_mempolicy: invalid argument"'), said[0]
    assert "  pointer: /linux/memoryPolicy" in said
    assert "/sys/devices/system/node/online" in "".join(said)


@pytest.mark.parametrize(
    ("raw", "nodes"),
    [
        ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"]}, True),
        ({"mode": "MPOL_LOCAL", "flags": ["MPOL_F_STATIC_NODES"]}, False),
    ],
    ids=["each-other", "the-mode"],
)
def test_flags_that_exclude(raw: dict[str, Any], nodes: bool) -> None:
    policy = config.read({"linux": {"memoryPolicy": raw}}).linux.memory_policy
    assert policy is not None
    with pytest.raises(StepError) as caught:
        in_namespace(lambda: carry_out(context(), SetMemoryPolicy(pointer=policy.pointer, policy=policy)), 0)
    assert caught.value.errno == EINVAL
    assert "which flags go with which mode" in caught.value.hint
    assert ("nodes of this machine" in caught.value.hint) is nodes


# -- CPUs


def affinity(initial: str, final: str) -> ExecCpuAffinity:
    return ExecCpuAffinity(pointer="/process/execCPUAffinity", initial=initial, final=final)


@pytest.mark.parametrize(
    ("initial", "final", "cpus"),
    [
        ("0", "", {0}),
        ("", "0", {0}),
        ("0", "1,1024-2000", {1}),
        ("0-65535", "", None),
        ("", "", None),
    ],
)
def test_exec_affinity(initial: str, final: str, cpus: set[int] | None) -> None:
    """Both, one, or none: with neither, every CPU, whatever the caller has."""
    wanted = affinity(initial, final)
    everything = os.sched_getaffinity(0)

    def body() -> set[int]:
        os.sched_setaffinity(0, {min(everything)})
        if initial:
            carry_out(context(), SetInitialAffinity(pointer=wanted.pointer, affinity=wanted))
        carry_out(context(), SetFinalAffinity(pointer=wanted.pointer, affinity=wanted))
        return os.sched_getaffinity(0)

    assert in_namespace(body, 0) == (everything if cpus is None else cpus)


@pytest.mark.parametrize(("initial", "final", "which"), [("60000", "", "initial"), ("", "1024", "final")])
def test_cpus_that_do_not_exist(initial: str, final: str, which: str) -> None:
    wanted = affinity(initial, final)
    kind = SetInitialAffinity if initial else SetFinalAffinity
    with pytest.raises(StepError) as caught:
        in_namespace(lambda: carry_out(context(), kind(pointer=wanted.pointer, affinity=wanted)), 0)
    assert caught.value.message == f"error setting {which} CPU affinity: invalid argument"
    assert caught.value.pointer == f"/process/execCPUAffinity/{which}"


@pytest.mark.parametrize("name", ["execCPUAffinity", None])
def test_a_pinned_caller_does_not_pin_the_container(look: Look, name: str | None) -> None:
    """Neither does execCPUAffinity, which is about exec alone."""
    everything = sorted(os.sched_getaffinity(0))
    change = process(execCPUAffinity={"initial": "0", "final": "0"}) if name else None
    seen = look(change, preexec_fn=lambda: os.sched_setaffinity(0, {everything[0]}))
    assert seen["affinity"] == everything


def test_a_sandbox_that_does_not_let_us(box: Box) -> None:
    """create and exec go on, and say so; what config.json asks for fails."""
    instructions = [(0x20, 0, 0, 0), (0x15, 0, 1, SCHED_SETAFFINITY), (0x06, 0, 0, 0x50000 | EPERM)]
    program = prepare(b"".join(struct.pack("=HBBI", *one) for one in [*instructions, (0x06, 0, 0, 0x7FFF0000)]))
    confined: dict[str, Any] = {"preexec_fn": lambda: program.load(0)}
    warning = "resetting the CPU affinity failed -- the container's process may inherit the runtime's: operation not"
    done = box("run", "--detach", "--bundle", str(box.bundle("sleep")), "a", **confined)
    assert done.returncode == 0 and warning in done.stderr
    done = box("exec", "a", "/reporter", "exit", "7", **confined)
    assert done.returncode == 7 and warning in done.stderr
    file = process_file(box, execCPUAffinity={"final": "0"})
    done = box("exec", "--process", file, "a", **confined)
    assert done.returncode == 255 and "error setting final CPU affinity" in done.stderr


# -- descriptions


def test_descriptions() -> None:
    raw = {
        "process": {
            "scheduler": {"policy": "SCHED_RR", "priority": 5, "flags": ["SCHED_FLAG_RESET_ON_FORK"]},
            "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 4},
        },
        "linux": {
            "personality": {"domain": "LINUX32"},
            "memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0-1", "flags": ["MPOL_F_STATIC_NODES"]},
        },
    }
    from pyoci.plan.process import priorities, scheduler

    found = config.read(raw)
    assert found.process is not None
    assert [
        step.describe() for step in scheduler(found.process, found.linux) + priorities(found.process, found.linux)
    ] == [
        "schedule by SCHED_RR, priority 5, SCHED_FLAG_RESET_ON_FORK",
        "set the I/O priority IOPRIO_CLASS_BE 4",
        "set the personality LINUX32",
        "set the memory policy MPOL_BIND MPOL_F_STATIC_NODES of the nodes 0-1",
    ]
    assert SetInitialAffinity(affinity=affinity("1", "2")).describe() == "run on the CPUs 1 at first"
    assert SetFinalAffinity(affinity=affinity("1", "2")).describe() == "run on the CPUs 2"
    assert SetFinalAffinity().describe() == "run on every CPU"


def test_a_set_of_nodes_is_whole_words() -> None:
    assert kernel.mask([0]) == b"\1" + bytes(7)
