"""The order of steps: a table of what has to come before what, each with its reason, held against many plans."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings

from pyoci.plan import create
from pyoci.steps.host.idmap import WriteIdMappings
from pyoci.steps.init.binds import OpenSource
from pyoci.steps.step import Step
from tests.plan.configs import HYBRID, NESTED_ROOT, REAL, ROOT, USER, V2, Made, around, plans, read

MOUNTS = ("MountFilesystem", "MountCopy", "BindMount", "ChangeMount", "MountCgroup1", "MountCgroup2")
SWITCH = ("PivotRoot", "MoveRoot", "ChangeRoot")
JOIN = ("JoinNamespace", "JoinNamespaces")
CGROUPS = ("MoveToCgroup", "EnterCgroups")
PRIORITIES = ("SetScheduler", "SetIoPriority", "SetPersonality", "SetMemoryPolicy")

Names = str | tuple[str, ...]

# (earlier, later, why): no step of `later` may come before the last one of `earlier` (but see ONCE).
BEFORE: tuple[tuple[Names, Names, str], ...] = (
    # what is opened before there is a process
    ("OpenNamespace", JOIN, "a namespace is opened by its path where the path is the caller's, on the host"),
    ("OpenSource", "BindMount", "what is bound is a descriptor, not a name"),
    ("CompileFilter", "ExecuteProgram", "a filter that cannot be compiled is an error of create"),
    # cgroups
    ("MakeCgroups", ("SetLimits", "ApplyDeviceRules"), "limits are files of the cgroup"),
    ("ReachSystemd", "StartUnit", "who cannot be reached is an error before there is a process"),
    ("StartUnit", ("CompleteCgroup", "DelegateCgroup", "SetLimits", "ApplyDeviceRules"), "systemd makes the cgroup"),
    ("StartUnit", "Await go inside", "the process runs nothing before it is in its cgroup"),
    (
        "CompleteCgroup",
        ("SetLimits", "ApplyDeviceRules", "Await go inside"),
        "a limit needs its controller, or its hierarchy",
    ),
    ("StartUnit", "Unshare cgroup", "a new cgroup namespace shows the cgroup of its maker as the root"),
    (("SetLimits", "ApplyDeviceRules"), CGROUPS, "no process runs in the cgroup before its limits are in force"),
    (("SetLimits", "ApplyDeviceRules"), "Await go inside", "the same, for a process that is born in its cgroup"),
    (CGROUPS, "Unshare cgroup", "a new cgroup namespace shows the cgroup of its maker as the root"),
    ("Unshare cgroup", ("MountCgroup1", "MountCgroup2"), "a cgroup mount shows its mounter's namespace"),
    # identity of the process before anything is made in the namespaces
    ("WriteIdMappings", "BecomeRoot", "id 0 does not exist before it is mapped"),
    ("BecomeRoot", ("MountRoot", "OpenRoot", *MOUNTS, "MakeDevice"), "what is made belongs to the container's root"),
    (
        "HideProcess",
        "join as root",
        "whoever is in the namespace could attach to the process and use its host descriptors",
    ),
    ("HideProcess", ("Send mounted", "Await hooked"), "hooks of the container's image run while it waits"),
    ("HideProcess", MOUNTS, "a filesystem of the container may be served by somebody who looks at its users"),
    ("Unshare time", "SetTimeOffsets", "the offsets are the new namespace's"),
    ("SetTimeOffsets", "HideProcess of an unprivileged runtime", "its files belong to root afterwards"),
    ("WriteIdMappings", "HideProcess of an unprivileged runtime", "its files belong to root afterwards"),
    ("SetOomScoreAdj", "HideProcess of an unprivileged runtime", "its files belong to root afterwards"),
    ("StartSession", "TakeTerminal", "only a session leader gets a controlling terminal"),
    ("JoinSessionKeyring", "RunHooks createContainer", "a hook inside must not reach the caller's keys"),
    # procfs
    (
        "OpenProc",
        ("SetSysctl", "SetAppArmorProfile", "ReopenStandardStreams", "MakeDevice", "MountCopy", "MoveRoot"),
        "they read or write /proc, which is the container's to mount over",
    ),
    (JOIN, "OpenProc", "it has to show the container's pid and network namespaces"),
    ("OpenProc", MOUNTS, "afterwards /proc may be covered, and a new procfs refused for that"),
    # the file system
    ("SetRootPropagation", ("MountRoot", *MOUNTS), "else the mount appears on the host"),
    (("MountRoot", "OpenRoot"), (*MOUNTS, "MakeDevice", "MakeLink"), "they go below the container's root"),
    (MOUNTS, ("MakeDevice", "MakeLink"), "a mount on /dev would hide them"),
    (("MakeDevice", "MakeLink", *MOUNTS), "Send mounted", "a hook that adds devices finds /dev complete"),
    ("MakeDevice", SWITCH, "device nodes of the host are bound, and the host is gone afterwards"),
    ("RunHooks createContainer", SWITCH, "it runs before pivot_root (config.md, createContainer)"),
    (MOUNTS, "RunHooks createContainer", "its mounts must not be covered"),
    (SWITCH, ("MakeWorkingDirectory", "ReopenStandardStreams", "OpenTerminal"), "they use names of the container"),
    (SWITCH, "SetFinalPropagation", "earlier it would act on the host, and pivot_root refuses a shared root"),
    (SWITCH, ("MaskPath", "MakePathReadOnly", "MakeReadOnly", "ChangeDirectory", "FindProgram", "SetHome"), "names"),
    (("MakeWorkingDirectory", "BindConsole"), "MakeReadOnly", "they write to the root, and to /dev"),
    ("OpenTerminal", "BindConsole", "there is nothing to bind before"),
    ("MakeWorkingDirectory", "SetUmask", "what the runtime makes has the modes that it names"),
    ("SetSysctl", "MakePathReadOnly", "/proc/sys is one of the read-only paths"),
    ("SetAppArmorProfile", "MaskPath", "as runc: the profile does not depend on what is masked"),
    ("MakePathReadOnly", "MaskPath", "a read-only copy on top of a mask would show what it hides"),
    ("MakeDevice", "MaskPath", "files are masked with the container's /dev/null"),
    ("MaskPath", "ForgetMask", "all directories share one mask"),
    ("RunHooks createContainer", "MaskPath", "as runc: hooks of the container's side see the paths"),
    # becoming the user
    (
        ("MaskPath", "MakePathReadOnly", "SetHostname", "SetDomainname", "SetSysctl", "MakeReadOnly", "TakeTerminal"),
        "SetUser",
        "they need privileges",
    ),
    (CGROUPS, PRIORITIES, "real-time CPU time and memory nodes are the cgroup's"),
    ("RequireSelinux", "MakeCgroups", "without SELinux nothing is made"),
    ("SetKeyringLabel", "JoinSessionKeyring", "the keyring has the label"),
    ("SetProcessLabel", "SetUser", "SELinux may want privileges for it"),
    ("MoveNetDevice", "LoopbackUp", "the runtime moves devices before the process goes on"),
    ("ResetAffinity", "SetScheduler", "SCHED_DEADLINE wants a process that may run on every CPU"),
    (PRIORITIES, "SetUser", "they need CAP_SYS_NICE"),
    ("LimitBoundingSet", "SetUser", "dropping needs CAP_SETPCAP, which a user may not have"),
    ("OwnStandardStreams", "SetUser", "chown needs CAP_CHOWN"),
    ("SetUser", "SetCapabilities", "a change of ids clears the effective set"),
    ("SetCapabilities", "ChangeDirectory final", "where root may not go the user may"),
    ("SetCapabilities", "FindProgram", "a program counts if the user may execute it"),
    ("NoNewPrivileges", "Send ready", "whoever attaches while the container is created finds it set"),
    # the end
    ("CloseDescriptors", "Send ready", "the container waits without a descriptor of the host"),
    ("Send ready", "Await created", "the caller records the container first"),
    ("Await created", "Detach", "until then it dies with the runtime"),
    ("Detach", "WaitForStart", "start may come from another process, at any time"),
    ("WaitForStart", ("RunHooks startContainer", "SetRlimits", "ExecuteProgram"), "they belong to start"),
    ("RunHooks startContainer", "SetRlimits", "each hook gets the limits itself, the waiting Python may not fit"),
    ("SetRlimits", "ExecuteProgram", "the program has them"),
    # a listener
    ("FindAgent", "MakeCgroups", "there is little to undo when the agent is missing"),
    ("NameProcess", "Detach", "afterwards the runtime is gone"),
    ("RunHooks startContainer", "ArmListener", "the connection is for what the program does"),
    ("ArmListener", "SetRlimits", "the waiting Python may not fit"),
    ("ArmListener", "HandOverListener", "the helper waits for it"),
    ("HandOverListener", "ExecuteProgram", "once the filter is loaded, nothing can be asked for"),
    # hooks among themselves (config.md, "POSIX-platform Hooks")
    ("RunHooks prestart", "RunHooks createRuntime", "the order of the specification"),
    ("RunHooks createRuntime", "RunHooks createContainer", "the order of the specification"),
    ("Await hooked", "RunHooks createContainer", "the order of the specification"),
    ("RunHooks createContainer", "RunHooks startContainer", "the order of the specification"),
)


# Steps of which the first counts: the process hides again where that costs nothing.
ONCE = ("HideProcess",)


def labels(step: Step, unprivileged: bool, side: str = "") -> set[str]:
    """The names by which BEFORE knows a step."""
    name = type(step).__name__
    found = {name}
    if kind := getattr(step, "kind", ""):
        found.add(f"{name} {kind}")
        if side == "container":  # not the first of two stages
            found.add(f"{name} {kind} inside")
    if getattr(step, "final", False):
        found.add(f"{name} final")
    if name == "HideProcess" and unprivileged:
        found.add("HideProcess of an unprivileged runtime")
    if name in JOIN and not unprivileged:  # without privileges nothing can be joined beside a new user namespace
        found.add("join as root")
    return found


def violations(made: create.Plan, unprivileged: bool = False) -> Iterator[str]:
    # One that joins a user namespace has no business with the files of its root.
    unprivileged = unprivileged and any(isinstance(step, WriteIdMappings) for step in made.maps)
    every = [labels(step, unprivileged, side) for side, step in made.steps()]
    for earlier, later, why in BEFORE:
        first = {earlier} if isinstance(earlier, str) else set(earlier)
        then = {later} if isinstance(later, str) else set(later)
        found = [index for index, names in enumerate(every) if names & first] or [0]
        last = found[0] if earlier in ONCE else found[-1]
        for index, names in enumerate(every[:last]):
            if names & then and not names & first:
                yield f"{sorted(names & then)[0]} (step {index}) before {earlier} (step {last}): {why}"


@settings(max_examples=150, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(plans())
def test_the_order_holds_for_any_config(made: Made) -> None:
    assert list(violations(made[1], made[2].host.euid != 0)) == []


@pytest.mark.parametrize("name", sorted(REAL))
@pytest.mark.parametrize("layout", [V2, HYBRID], ids=["v2", "hybrid"])
@pytest.mark.parametrize("host", [ROOT, NESTED_ROOT, USER], ids=["root", "nested", "user"])
def test_the_order_holds_for_real_configs(name: str, layout: object, host: object) -> None:
    made = create.make(read(REAL[name]), around(REAL[name], layout=layout, host=host))
    assert list(violations(made, host is USER)) == []


def test_every_row_speaks_of_steps_that_exist() -> None:
    """A row whose names no plan contains would hold for ever; hypothesis finds both sides of each in time."""
    seen: set[str] = set()

    @settings(max_examples=300, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(plans())
    def collect(made: Made) -> None:
        for side, step in made[1].steps():
            seen.update(labels(step, True, side) | labels(step, False, side))

    collect()
    mentioned = {name for row in BEFORE for side in row[:2] for name in ((side,) if isinstance(side, str) else side)}
    assert mentioned - seen == set()


@settings(max_examples=100, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(plans())
def test_every_process_hides(made: Made) -> None:
    """Each of the two, if there are two, and before it joins anything as root."""
    for steps in (made[1].first, made[1].inside):
        if steps:
            names = [type(step).__name__ for step in steps]
            assert "HideProcess" in names
            if made[2].host.euid == 0:
                assert [name for name in names[: names.index("HideProcess")] if name in JOIN] == []


@settings(max_examples=100, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(plans())
def test_the_end_of_a_plan(made: Made) -> None:
    """CloseDescriptors is last before `ready`; after SetRlimits comes nothing but ExecuteProgram; that is the last."""
    raw, found, _ = made
    names = [type(step).__name__ for _, step in found.steps()]
    ready = next(number for number, (_, step) in enumerate(found.steps()) if getattr(step, "kind", "") == "ready")
    assert names[ready - 1] == "CloseDescriptors"
    if raw.get("process") is None:
        assert names[-1] == "WaitForStart"
        return
    assert names[-1] == "ExecuteProgram"
    if "SetRlimits" in names:
        assert names[names.index("SetRlimits") + 1 :] == ["ExecuteProgram"]


@settings(max_examples=100, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(plans())
def test_every_message_is_expected_by_the_other_side(made: Made) -> None:
    """What the container's side sends and awaits, in the order in which container/process/handshake.py answers."""
    found = made[1]

    def talk(steps: tuple[Step, ...]) -> list[str]:
        return [
            f"{type(step).__name__} {getattr(step, 'kind', '')}"
            for step in steps
            if type(step).__name__ in ("Send", "Await")
        ]

    hooks = ["Send mounted", "Await hooked"] if found.mounted else []
    assert talk(found.inside) == ["Await go", *hooks]
    assert talk(found.finish) == ["Send ready", "Await created"]
    assert talk(found.launch) == []
    assert talk(found.first) in ([], ["Send unshared", "Await go"])
    if not found.two_stage:
        assert found.first == ()
    else:
        assert bool(found.maps) == bool(talk(found.first)), "stage 1 waits exactly when there is something to write"


@settings(max_examples=100, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(plans())
def test_mappings_are_ready_before_the_source_they_are_for(made: Made) -> None:
    """The copy of the source is id-mapped while it is detached."""
    every = [step for _, step in made[1].steps()]
    for number, step in enumerate(every):
        if isinstance(step, OpenSource) and step.mount.id_map:
            assert f"{step.mount.pointer}/uidMappings" in [one.pointer for one in every[:number]]


def test_the_table_finds_a_wrong_order() -> None:
    good = create.make(read(REAL["runc-spec.json"]), around(REAL["runc-spec.json"]))
    names = [type(step).__name__ for step in good.finish]
    swapped = list(good.finish)
    one, other = names.index("SetUser"), names.index("SetCapabilities")
    swapped[one], swapped[other] = swapped[other], swapped[one]
    bad = create.Plan(**{**good.__dict__, "finish": tuple(swapped)})
    assert any("SetCapabilities" in line for line in violations(bad))
