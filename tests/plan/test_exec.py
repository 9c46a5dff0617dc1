"""The plan of exec: nothing that needs a privilege, or shows the host, is left for what the container can see."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci import config
from pyoci.config.process import Process
from pyoci.plan.exec import NAMESPACES
from pyoci.plan.inputs import ExecInputs
from pyoci.plan.plan import Plan
from pyoci.steps.host.scheduling import ScheduleProcess
from pyoci.steps.host.seccomp import CompileFilter
from pyoci.steps.init import enter, identity, launch, scheduling
from pyoci.steps.step import Step
from tests.plan.configs import entering

SETS = {"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"]}
SCHEDULERS = (
    {"policy": "SCHED_DEADLINE", "runtime": 1, "deadline": 2, "period": 3},
    {"policy": "SCHED_BATCH", "flags": ["SCHED_FLAG_RESET_ON_FORK"]},
    {"policy": "SCHED_OTHER", "nice": 3},
)
RLIMIT = {"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2}

# (earlier, later, why), by the names of steps
BEFORE = (
    ("AdjustOomScore", "MakeUndumpable", "afterwards its files belong to root"),
    ("MakeUndumpable", "JoinContainer", "whoever is in the namespaces could attach to it"),
    ("MakeUndumpable", "EnterCgroups", "the container may list its cgroups"),
    ("LeaveSession", "JoinContainer", "its child has not the caller's terminal when it is first seen"),
    ("CompileFilter", "MakeUndumpable", "before there is a process"),
    ("OpenCgroups", "EnterCgroups", "by descriptors that the runtime opened"),
    ("EnterCgroups", "ResetAffinity", "a cpuset changes the CPUs"),
    ("EnterCgroups", "SetFinalAffinity", "final is about the cgroup"),
    ("SetInitialAffinity", "MakeUndumpable", "stage 1 is born with it"),
    ("DropGroups", "JoinContainer", "a user namespace may deny it"),
    ("SwitchProcfs", "JoinContainer", "what is read and written is the runtime's procfs"),
    ("JoinContainer", "BecomeRoot", "of the container's user namespace"),
    ("JoinContainer", "EnterRoot", "a mount namespace changes the root"),
    ("JoinContainer", "OpenTerminal", "it is of the container's devpts"),
    ("JoinContainer", "SetHome", "/etc/passwd is the container's"),
    ("BecomeRoot", "JoinSessionKeyring", "keys belong to the user namespace's root"),
    ("OpenTerminal", "TakeStreams", "there is nothing to take before"),
    ("TakeStreams", "OwnStandardStreams", "the caller's own are left alone"),
    ("SetAppArmorProfile", "NoNewPrivileges", "under them a profile may only be stacked"),
    ("RequireAppArmor", "MakeUndumpable", "before there is a process"),
    ("RequireSelinux", "MakeUndumpable", "the same"),
    ("SwitchProcfs", "SetAppArmorProfile", "it is asked for in the runtime's procfs"),
    ("SwitchProcfs", "SetProcessLabel", "the same"),
    ("SwitchProcfs", "SetKeyringLabel", "the same"),
    ("SetKeyringLabel", "JoinSessionKeyring", "the keyring has the label"),
    ("SetProcessLabel", "SetUser", "SELinux may want privileges for it"),
    ("SetAppArmorProfile", "CloseHostDescriptors", "which closes that procfs"),
    ("SetProcessLabel", "CloseHostDescriptors", "the same"),
    ("LimitBoundingSet", "SetUser", "it needs CAP_SETPCAP"),
    ("EnterCgroups", "SetScheduler", "what a cgroup allows counts"),
    ("JoinContainer", "SetScheduler", "as root of the user namespace"),
    ("OwnStandardStreams", "SetUser", "it needs CAP_CHOWN"),
    ("SetUser", "SetCapabilities", "a change of ids changes the sets"),
    ("CloseHostDescriptors", "LoadFilterEarly", "what the filter allows is enough for the rest only"),
    ("SetCapabilities", "StartSession", "the first step that the container sees"),
    ("CloseHostDescriptors", "StartSession", "the same"),
    ("RaiseHardLimits", "SetRlimits", "only the runtime may"),
    ("StartSession", "ControlTerminal", "only the leader of a session may"),
    ("SetUmask", "FindProgram", "as for the first process"),
    ("Await", "FindProgram", "the program's directories may block for ever"),
    ("FindProgram", "ExecuteProgram", ""),
    ("SetRlimits", "ClearParentDeathSignal", "nothing but two calls is left under them"),
)
# Steps that stage 2 takes: all there are.
SEEN = {
    *("StartSession", "ControlTerminal", "SetUmask", "Await", "ChangeDirectory", "FindProgram"),
    *("SetRlimits", "ClearParentDeathSignal", "ExecuteProgram"),
    "SetScheduler",  # without a privilege: what resets itself in a fork
}


@st.composite
def processes(draw: st.DrawFn) -> dict[str, Any]:
    raw: dict[str, Any] = {"args": ["a"], "cwd": "/"}
    for member, value in (
        ("terminal", True),
        ("capabilities", SETS),
        ("noNewPrivileges", True),
        ("rlimits", [RLIMIT]),
        ("apparmorProfile", "p"),
        ("selinuxLabel", "a:b:c:d"),
        ("oomScoreAdj", 5),
        ("env", ["HOME=/x", "PATH=/bin"]),
        ("user", {"uid": 5, "gid": 6, "additionalGids": [7]}),
        ("scheduler", draw(st.sampled_from(SCHEDULERS))),
        ("ioPriority", {"class": "IOPRIO_CLASS_RT", "priority": 1}),
        ("execCPUAffinity", draw(st.sampled_from([{"initial": "0"}, {"final": "1"}, {}]))),
    ):
        if draw(st.booleans()):
            raw[member] = value
    return raw


@st.composite
def plans(draw: st.DrawFn) -> tuple[Process, Plan, ExecInputs]:
    linux: dict[str, Any] = {}
    if draw(st.booleans()):
        linux["seccomp"] = {"defaultAction": draw(st.sampled_from(["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"]))}
    if draw(st.booleans()):
        linux["personality"] = {"domain": "LINUX32"}
    whole = config.read({"process": draw(processes()), "linux": linux})
    assert whole.process is not None
    joins = tuple(kind for kind in NAMESPACES if draw(st.booleans()))
    inputs = ExecInputs(
        id="c",
        joins=joins,
        inodes=tuple((4, number) for number in range(len(joins))),
        drop_groups=draw(st.booleans()),
        set_groups=draw(st.booleans()),
        chroot="mnt" not in joins,
        umask=0o27,
        cgroups=draw(st.sampled_from([{}, {"": "/sys/fs/cgroup/c"}, {"pids": "/sys/fs/cgroup/pids/c"}])),
        keyring=draw(st.sampled_from(["", "_ses.c.1"])),
        preserve=draw(st.integers(0, 3)),
        privileged=draw(st.booleans()),
    )
    return whole.process, entering(whole, inputs), inputs


def name(step: Step) -> str:
    return type(step).__name__


def filtered_early(plan: Plan) -> bool:
    return any(name(step) == "LoadFilterEarly" for step in plan.first)


@given(plans())
def test_the_order(made: tuple[Process, Plan, ExecInputs]) -> None:
    names = [name(step) for _, step in made[1].steps()]
    for earlier, later, why in BEFORE:
        if earlier in names and later in names:
            assert names.index(earlier) < names.index(later), why


def test_the_order_is_about_steps_that_there_are() -> None:
    """A name that no plan has would make its rows hold for nothing."""
    everything = {"args": ["a"], "cwd": "/", "terminal": True, "capabilities": SETS, "noNewPrivileges": True}
    everything |= {"rlimits": [RLIMIT], "apparmorProfile": "p", "selinuxLabel": "a:b:c:d", "oomScoreAdj": 5}
    everything |= {"scheduler": SCHEDULERS[-1]}
    seccomp = {"defaultAction": "SCMP_ACT_ALLOW"}
    names = set()
    for more in ({"execCPUAffinity": {"initial": "0", "final": "1"}}, {"noNewPrivileges": False}):
        whole = config.read({"process": everything | more, "linux": {"seccomp": seccomp}})
        inputs = ExecInputs(
            id="c",
            joins=tuple(NAMESPACES),
            set_groups=True,
            chroot=True,
            umask=0,
            cgroups={"": "/sys/fs/cgroup/c"},
            keyring="_ses.c.1",
        )
        names |= {name(step) for _, step in entering(whole, inputs).steps()}
    assert {word for row in BEFORE for word in row[:2]} <= names


@given(plans())
def test_what_the_container_can_see_is_little(made: tuple[Process, Plan, ExecInputs]) -> None:
    """Stage 2 changes no id, capability, label or namespace, and opens no file but by names of the container."""
    steps = made[1].inside + made[1].finish + made[1].launch
    assert {name(step) for step in steps} <= SEEN
    last = [name(step) for step in made[1].first if name(step) != "LoadFilterEarly"]
    assert "CloseHostDescriptors" in (last[-2:] if filtered_early(made[1]) else last[-1:])
    assert name(steps[-1]) == "ExecuteProgram" and name(steps[-2]) == "ClearParentDeathSignal"


@given(plans())
def test_capabilities_beyond_the_process_s(made: tuple[Process, Plan, ExecInputs]) -> None:
    """None but CAP_SYS_ADMIN, and that only for a filter that could not be loaded otherwise."""
    process, plan, _ = made
    kept = [step.keep for step in plan.first if isinstance(step, identity.SetCapabilities)]
    if process.capabilities is None:
        assert kept == []
        return
    filtered = any(name(step) == "CompileFilter" for step in plan.prepare)
    wanted = [identity.CAP_SYS_ADMIN if filtered and not process.no_new_privileges else 0]
    assert kept == (wanted if not filtered_early(plan) else [*wanted, 0])


@given(plans())
def test_a_filter_that_allows_what_is_left_is_loaded_before(made: tuple[Process, Plan, ExecInputs]) -> None:
    """And then CAP_SYS_ADMIN is given up before the container can see the process."""
    process, plan, _ = made
    filters = [step.seccomp for step in plan.prepare if isinstance(step, CompileFilter)]
    allows = any(one.default_action == "SCMP_ACT_ALLOW" for one in filters)
    late = any(name(step) == "SetScheduler" for step in plan.inside)  # which it may not allow
    wanted = allows and not process.no_new_privileges and process.capabilities is not None and not late
    assert filtered_early(plan) is wanted
    if filtered_early(plan):
        assert [name(step) for step in plan.first[-2:]] == ["LoadFilterEarly", "SetCapabilities"]


@pytest.mark.parametrize("sets", [SETS, None])
@pytest.mark.parametrize("no_new_privileges", [True, False])
@pytest.mark.parametrize(
    ("call", "early"), [("getppid", True), ("execve", False), ("clone", False), ("sendmsg", False)]
)
def test_who_sends_a_listener(call: str, early: bool, no_new_privileges: bool, sets: Any) -> None:
    """The runtime, which gets it from stage 1; a helper where the filter asks the agent for what exec itself calls."""
    seccomp = {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/a"}
    seccomp["syscalls"] = [{"names": [call], "action": "SCMP_ACT_NOTIFY"}]  # type: ignore[assignment]
    process = {"args": ["a"], "cwd": "/", "noNewPrivileges": no_new_privileges, "capabilities": sets}
    whole = config.read({"process": process, "linux": {"seccomp": seccomp}})
    plan = entering(whole, ExecInputs(id="c", joins=(), set_groups=True, chroot=True, umask=0, cgroups={}))
    assert filtered_early(plan) is early
    assert ("SendListener" in [name(step) for step in plan.admit]) is early
    assert [name(step) for step in plan.helper] == ([] if early else ["HandOverListener"])
    armed = {"FindAgent", "NameProcess", "ArmListener"} & {name(step) for _, step in plan.steps()}
    assert len(armed) == (0 if early else 3)


@given(plans())
def test_everything_is_joined(made: tuple[Process, Plan, ExecInputs]) -> None:
    _, plan, inputs = made
    (joined,) = [step for step in plan.first if name(step) == "JoinContainer"]
    assert isinstance(joined, enter.JoinContainer)
    assert joined.flags == tuple(NAMESPACES[kind] for kind in inputs.joins)
    assert (joined.kinds, joined.inodes) == (inputs.joins, inputs.inodes)
    assert (name(plan.first[0]) == "AdjustOomScore") == (made[0].oom_score_adj is not None)


@given(plans())
def test_stage_1_hides(made: tuple[Process, Plan, ExecInputs]) -> None:
    """Always, and before anything of the container's is entered: its child is born undumpable."""
    names = [name(step) for step in made[1].first]
    hidden = names.index("MakeUndumpable")
    assert {"EnterCgroups", "JoinContainer"} <= set(names[hidden:])


@given(plans())
def test_who_sets_the_scheduler(made: tuple[Process, Plan, ExecInputs]) -> None:
    """A process with SCHED_DEADLINE cannot fork, and SCHED_FLAG_RESET_ON_FORK does not outlive one."""
    process, plan, inputs = made
    where = [side for side, step in plan.steps() if isinstance(step, scheduling.SetScheduler | ScheduleProcess)]
    wanted = process.scheduler
    if wanted is None:
        assert where == []
    elif wanted.policy == "SCHED_DEADLINE" or (wanted.flags and inputs.privileged):
        assert where == ["host"]
    else:
        assert where == (["container"] if wanted.flags else ["stage 1"])


@given(plans())
def test_every_step_says_what_it_does(made: tuple[Process, Plan, ExecInputs]) -> None:
    for _, step in made[1].steps():
        assert step.describe() and "\n" not in step.describe()


@pytest.mark.parametrize("first", [True, False])
def test_home(first: bool) -> None:
    """Looked up only if the environment has none."""
    raw = {"args": ["a"], "cwd": "/", "env": ["HOME=/x"] if first else ["HOME="]}
    whole = config.read({"process": raw})
    inputs = ExecInputs(id="c", joins=(), set_groups=True, chroot=False, umask=0, cgroups={})
    plan = entering(whole, inputs)
    assert any(name(step) == "SetHome" for step in plan.first) is not first
    assert plan.env == (("HOME=/x",) if first else ())
    assert isinstance(plan.launch[-1], launch.ExecuteProgram)
