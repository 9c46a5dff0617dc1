"""Plans as a pure function: pointers, descriptions, shapes, and that making one touches nothing."""

from __future__ import annotations

import copy
import os
import signal
import struct
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyoci import config
from pyoci.errors import ConfigError
from pyoci.host import Host
from pyoci.kernel import seccomp
from pyoci.plan import create
from pyoci.plan.plan import Plan
from pyoci.steps.init.binds import BindMount
from pyoci.steps.init.mounts import MountFilesystem
from pyoci.steps.step import Step
from tests.config.corpus import CONFIGS
from tests.plan.configs import HYBRID, REAL, ROOT, USER, V2, Made, Raw, around, plans, raws, read

SLOW = [HealthCheck.filter_too_much, HealthCheck.too_slow]

# Properties with a default that a plan carries out although config.json does not mention them.
DEFAULTS = {
    "/linux/cgroupsPath": "without one it is the container's id, as with runc",
    "/linux/resources/devices": "config-linux.md, Default Devices: they are allowed",
    "/linux/devices": "config-linux.md, Default Devices",
    "/linux/rootfsPropagation": "config-linux.md: the runtime's own; nothing leaks to the host",
    "/process/user/umask": "config.md: the runtime's default",
    "/process/cwd": "config.md: without `process` there is no program",
    "/process/user": "the same",
    "/process/user/uid": "the same",
    "/process/env": "HOME is added",
    "/linux/uidMappings": "a joined user namespace has mappings already",
    "NOTIFY_SOCKET": "an environment variable of the runtime",
    "NOTIFY_SOCKET/source": "the same",
}


def resolves(raw: Any, pointer: str) -> bool:
    value = raw
    for part in pointer.split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, IndexError, ValueError):
            return False
    return True


def unknown_pointers(raw: Raw, made: Plan) -> list[str]:
    found = []
    for _, step in made.steps():
        pointer = step.pointer
        takes_the_containers_mappings = type(step).__name__ == "OpenIdMapping" and resolves(
            raw, pointer[: -len("/uidMappings")]
        )
        if not (pointer in ("", *DEFAULTS) or resolves(raw, pointer) or takes_the_containers_mappings):
            found.append(f"{type(step).__name__} {pointer}")
    return found


@pytest.mark.parametrize("name", sorted(REAL))
@pytest.mark.parametrize("layout", [V2, HYBRID], ids=["v2", "hybrid"])
def test_plans_of_real_configs(name: str, layout: object) -> None:
    made = create.make(read(REAL[name]), around(REAL[name], layout=layout))
    assert unknown_pointers(REAL[name], made) == []
    for _, step in made.steps():
        assert step.describe() and "\n" not in step.describe(), step


def test_most_of_the_corpus_is_planned() -> None:
    assert len(REAL) >= len(CONFIGS) - 1


@settings(max_examples=100, suppress_health_check=SLOW)
@given(plans())
def test_every_step_knows_its_property_and_describes_itself(made: Made) -> None:
    raw, found, _ = made
    assert unknown_pointers(raw, found) == []
    for side, step in found.steps():
        assert side in ("host", "stage 1", "container", "helper")
        text = step.describe()
        assert text and "\n" not in text and not text.endswith("."), text


@settings(max_examples=100, suppress_health_check=SLOW)
@given(raws(), st.sampled_from([V2, HYBRID]), st.sampled_from([ROOT, USER]))
def test_the_same_input_makes_the_same_plan(raw: Raw, layout: object, host: object) -> None:
    def make() -> Plan | str:
        try:
            return create.make(read(raw), around(raw, layout=layout, host=host))
        except ConfigError as error:
            return str(error)

    assert make() == make()


def test_every_step_is_in_one_phase_and_shown_once() -> None:
    made = create.make(read(REAL["docker-options.json"]), around(REAL["docker-options.json"]))
    phases = (made.prepare, made.first, made.maps, made.admit, made.inside, made.mounted, made.finish, made.launch)
    assert sorted(map(repr, sum(phases, ()))) == sorted(repr(step) for _, step in made.steps())


# -- pure ------------------------------------------------------------------------------------------------------------

EVENTS: list[str] = []
_watching = False


def _hook(event: str, _: tuple[object, ...]) -> None:
    if _watching:
        EVENTS.append(event)


sys.addaudithook(_hook)  # it cannot be removed; it does nothing unless asked to


@pytest.mark.parametrize("name", sorted(REAL))
def test_making_a_plan_touches_nothing(name: str) -> None:
    """No file, no process, no import: what Python tells its auditors."""
    global _watching
    found, where = read(REAL[name]), around(REAL[name])
    create.make(found, where)  # imports the steps that few containers need
    EVENTS.clear()
    _watching = True
    try:
        create.make(found, where)
    finally:
        _watching = False
    assert EVENTS == []


# What an interpreter calls for memory alone; and the end. x86_64 and aarch64.
MEMORY = {"x86_64": (9, 11, 12, 25, 28, 231), "aarch64": (222, 215, 214, 216, 233, 94)}


def test_making_a_plan_makes_no_system_call() -> None:
    """Under a filter that allows memory and _exit(2), and kills for anything else. Not everything is audited."""
    allowed = MEMORY[os.uname().machine]
    load = struct.pack("=HBBI", 0x20, 0, 0, 0)
    jumps = b"".join(
        struct.pack("=HBBI", 0x15, len(allowed) - index, 0, number) for index, number in enumerate(allowed)
    )
    ends = struct.pack("=HBBI", 0x06, 0, 0, 0x80000000) + struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000)
    prepared = seccomp.prepare(load + jumps + ends)
    inputs = [(read(raw), around(raw)) for raw in REAL.values()]
    for one in inputs:
        create.make(*one)

    def child(forbidden: bool) -> int:
        pid = os.fork()
        if pid == 0:
            import ctypes

            ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
            prepared.load(0)
            if forbidden:
                os.getppid()
            for one in inputs:
                create.make(*one)
            os._exit(7)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    assert child(forbidden=True) == -signal.SIGSYS
    assert child(forbidden=False) == 7


# -- shapes -----------------------------------------------------------------------------------------

NEW = ""
JOINED = "/proc/1/ns/x"

# (namespaces, time offsets, two stages)
SHAPES = [
    ({}, False, False),
    ({"mount": NEW, "pid": NEW, "network": NEW, "ipc": NEW, "uts": NEW, "cgroup": NEW}, False, False),
    ({"mount": NEW, "user": NEW}, False, False),
    ({"mount": NEW, "user": NEW, "time": NEW}, False, False),
    ({"mount": NEW, "time": NEW}, False, False),
    ({"mount": NEW, "time": NEW}, True, True),  # clone3(NEWTIME) freezes the offsets
    ({"mount": NEW, "time": NEW, "user": NEW}, True, True),
    ({"mount": NEW, "network": JOINED, "ipc": JOINED, "uts": JOINED}, False, False),
    ({"mount": JOINED}, False, False),
    ({"mount": NEW, "cgroup": JOINED}, False, False),
    ({"mount": NEW, "pid": JOINED}, False, True),  # acts on children only
    ({"mount": NEW, "time": JOINED}, False, True),
    ({"mount": NEW, "user": JOINED}, False, True),  # what is made must belong to it
    ({"mount": NEW, "user": NEW, "network": JOINED}, False, True),  # the order depends on who owns what
    ({"mount": NEW, "user": JOINED, "network": JOINED, "pid": JOINED}, False, True),
]


def shaped(namespaces: dict[str, str], offsets: bool, **where: Any) -> Plan:
    raw: Raw = {
        "ociVersion": "1.3.0",
        "root": {"path": "rootfs"},
        "process": {"args": ["x"], "cwd": "/", "user": {"uid": 0, "gid": 0}},
        "linux": {
            "namespaces": [{"type": name} | ({"path": path} if path else {}) for name, path in namespaces.items()]
        },
    }
    if "user" in namespaces:
        raw["linux"]["uidMappings"] = raw["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 5, "size": 10}]
    if offsets:
        raw["linux"]["timeOffsets"] = {"monotonic": {"secs": 1}}
    return create.make(config.read(raw), around(raw, **where))


def names(steps: tuple[Step, ...]) -> list[str]:
    return [type(step).__name__ for step in steps]


@pytest.mark.parametrize(("namespaces", "offsets", "two_stage"), SHAPES)
def test_one_clone_or_two_stages(namespaces: dict[str, str], offsets: bool, two_stage: bool) -> None:
    made = shaped(namespaces, offsets)
    assert made.two_stage is two_stage
    assert bool(made.first) is two_stage
    assert ("WriteIdMappings" in names(made.maps)) is (namespaces.get("user") == NEW)
    assert ("SetTimeOffsets" in names(made.maps)) is offsets
    assert made.private_pid is (namespaces.get("pid") == NEW)


@pytest.mark.parametrize(("namespaces", "offsets", "two_stage"), SHAPES)
def test_every_namespace_is_made_or_joined_once(namespaces: dict[str, str], offsets: bool, two_stage: bool) -> None:
    made = shaped(namespaces, offsets)
    flags = config.namespaces.FLAGS
    done = [name for name, flag in flags.items() if made.clone_flags & flag]
    for _, step in made.steps():
        kind = type(step).__name__
        if kind == "Unshare":
            done.append(step.kind)  # type: ignore[attr-defined]
        elif kind == "JoinNamespace":
            done.append(step.namespace.type)  # type: ignore[attr-defined]
        elif kind == "JoinNamespaces":
            done += [one.type for one in step.namespaces]  # type: ignore[attr-defined]
    assert sorted(done) == sorted(namespaces)
    assert names(made.prepare).count("OpenNamespace") == sum(bool(path) for path in namespaces.values())


def test_a_new_cgroup_namespace_is_never_made_by_the_clone() -> None:
    """On v1 and where the process is moved, its root would be the runtime's own cgroup."""
    made = shaped({"mount": NEW, "cgroup": NEW}, False)
    assert made.clone_flags == config.namespaces.FLAGS["mount"]


@pytest.mark.parametrize(
    ("layout", "namespaces", "moved"), [(V2, {}, False), (V2, {"pid": JOINED}, True), (HYBRID, {}, True)]
)
def test_born_in_the_cgroup_or_moved(layout: object, namespaces: dict[str, str], moved: bool) -> None:
    made = shaped({"mount": NEW, **namespaces}, False, layout=layout)
    put = {"MoveToCgroup", "EnterCgroups"} & {type(step).__name__ for _, step in made.steps()}
    assert bool(put) is moved


def test_private_propagation_without_pivot_is_refused() -> None:
    raw: Raw = {
        "process": {"args": ["x"], "cwd": "/"},
        "linux": {"rootfsPropagation": "rprivate", "namespaces": [{"type": "mount"}]},
    }
    with pytest.raises(ConfigError) as caught:
        create.make(config.read(raw), around(raw, no_pivot=True))
    assert caught.value.pointer == "/linux/rootfsPropagation"


def test_a_container_without_a_process_waits_for_start() -> None:
    made = create.make(config.read({}), around({}))
    assert names(made.launch)[-1] == "WaitForStart"


# -- details that only show in the plan ------------------------------------------------------------------------------


def planned(**linux: Any) -> list[Step]:
    raw: Raw = {"process": {"args": ["x"], "cwd": "/"}, "linux": {"namespaces": [{"type": "mount"}], **linux}}
    return [step for _, step in create.make(config.read(raw), around(raw)).steps()]


def test_each_masked_path_once_however_it_is_written() -> None:
    steps = planned(maskedPaths=["/proc/keys", "/proc//keys/", "/a/../proc/keys", "/b"], readonlyPaths=["/c", "/c/."])
    assert names(tuple(steps)).count("MaskPath") == 2
    assert names(tuple(steps)).count("MakePathReadOnly") == 1


def test_default_devices_give_way_to_those_of_the_config() -> None:
    steps = planned(devices=[{"path": "/dev//null", "type": "c", "major": 5, "minor": 6}])
    made = [step.device for step in steps if type(step).__name__ == "MakeDevice"]  # type: ignore[attr-defined]
    assert [(one.major, one.minor) for one in made if one.path.endswith("null")] == [(5, 6)]
    assert len(made) == 6


@pytest.mark.parametrize("destination", ["/dev", "/dev/", "dev", "/x/../dev/."])
def test_a_dev_of_the_callers_own_is_left_alone(destination: str) -> None:
    raw: Raw = {
        "process": {"args": ["x"], "cwd": "/"},
        "mounts": [{"destination": destination, "source": "/srv", "options": ["bind"]}],
        "linux": {"namespaces": [{"type": "mount"}]},
    }
    kinds = names(tuple(step for _, step in create.make(config.read(raw), around(raw)).steps()))
    assert {"MakeDevice", "MakeLink", "ReopenStandardStreams"} & set(kinds) == set()


def test_home_only_where_it_is_missing() -> None:
    for env, adds in ((None, True), ([], True), (["HOME="], True), (["HOME=/x"], False), (["A=1"], True)):
        raw: Raw = {"process": {"args": ["x"], "cwd": "/"} | ({} if env is None else {"env": env})}
        made = create.make(config.read(raw), around(raw))
        assert ("SetHome" in names(made.finish)) is adds, env
        assert "HOME=" not in made.env


def test_an_unprivileged_runtime_opens_sources_in_its_own_namespaces() -> None:
    raw = REAL["podman-rootless.json"]
    for host, phase, name in ((ROOT, "prepare", "OpenSource"), (USER, "inside", "OpenSourceInside")):
        made = create.make(read(raw), around(raw, host=host))
        assert name in names(getattr(made, phase))


BELOW_THE_ROOT = [
    ("/bundle/rootfs/mnt", "/mnt"),
    ("rootfs/mnt/", "/mnt"),
    ("/bundle/x/../rootfs//mnt/./x", "/mnt/x"),
    ("/bundle/rootfs", "/"),
    ("/bundle/rootfs2/mnt", ""),
    ("rootfs/../data", ""),
    ("/bundle", ""),
    ("/mnt", ""),
]


@pytest.mark.parametrize(("name", "inside"), BELOW_THE_ROOT)
@pytest.mark.parametrize("host", [ROOT, USER])
def test_what_lies_below_the_root_is_opened_at_its_turn(name: str, inside: str, host: Host) -> None:
    raw = copy.deepcopy(REAL["podman-rootless.json"])
    raw["mounts"] = [{"destination": "/final", "source": name, "options": ["rbind"]}]
    steps = [step for _, step in create.make(read(raw), around(raw, host=host)).steps()]
    [bound] = [step for step in steps if isinstance(step, BindMount)]
    assert bound.inside == inside
    opened = {"OpenSource", "OpenSourceInside"} & set(names(tuple(steps)))
    assert bool(opened) is not bool(inside)


@pytest.mark.parametrize(("name", "inside"), BELOW_THE_ROOT)
def test_a_destination_may_be_the_host_s_name(name: str, inside: str) -> None:
    """As with runc: what is written as a place below the root file system is that place."""
    raw: Raw = {"process": {"args": ["x"], "cwd": "/"}, "mounts": [{"destination": name, "type": "tmpfs"}]}
    steps = [step for _, step in create.make(config.read(raw), around(raw)).steps()]
    [mounted] = [step for step in steps if isinstance(step, MountFilesystem)]
    absolute = name.startswith("/")  # a relative one is relative to the container's root
    assert mounted.mount.destination == (inside if inside and absolute else name)
