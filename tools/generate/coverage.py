"""Writes docs/coverage.md: every property of the specification's schema, the steps that carry it out, and their tests.

Nothing of it is written by hand but the reasons: a plan is made of a config.json that has every property, and again
with another value for one property, or without it. The steps that differ are those which carry that property out.

    .venv/bin/python -m tools.generate.coverage [--check]      --check: say whether the file is current, change nothing
"""

from __future__ import annotations

import copy
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

from pyoci import config
from pyoci.cgroups import paths
from pyoci.cgroups.devices import devices
from pyoci.cgroups.hierarchies import Layout
from pyoci.config.schema.table import CONFIG
from pyoci.errors import Error
from pyoci.host import Host
from pyoci.plan import create, exec
from pyoci.plan.inputs import CreateInputs, ExecInputs
from pyoci.rdt.group import Group
from pyoci.steps.step import Step
from tools.generate import document

PROJECT = Path(__file__).resolve().parent.parent.parent

Raw = dict[str, Any]
Node = tuple[Any, ...]

OTHER_PLATFORMS = {"solaris", "windows", "vm", "zos", "freebsd"}  # config.md, "Platform-specific configuration"
IGNORED = {
    "/process/commandLine": "config.md: Windows only",
    "/process/user/username": "config.md: Windows only",
}
# What no step carries out, and what does instead.
ELSEWHERE = {
    "/ociVersion": ("any version is read, as with runc; `state` shows the runtime's own", "tests/cli/test_state.py"),
    "/annotations/x": ("in `state`, and in the state that hooks get", "tests/container/test_records.py"),
    "/hooks/poststart": (
        "`start`, when the program runs (container/hooks.py)",
        "tests/steps/hooks/test_hooks.py, tests/container/test_hooks.py",
    ),
    "/hooks/poststop": ("`delete`, when everything is gone (container/delete.py)", "tests/steps/hooks/test_hooks.py"),
    "/linux/personality/flags": ("a warning: the specification has none yet", "tests/steps/init/test_scheduling.py"),
    "/linux/resources/memory/useHierarchy": (
        "the kernel always does so since 5.11",
        "tests/cgroups/limits/test_limits.py",
    ),
}
# Where the tests of a module of steps are, if not in the file of the same name.
TESTS = {
    "host.cgroups": (
        "tests/cgroups/devices/test_devices.py",
        "tests/cgroups/test_manager.py",
        "tests/container/test_life_cycle.py",
    ),
    "init.cgroups": ("tests/container/test_membership.py",),
    "host.limits": ("tests/cgroups/limits/test_v1.py", "tests/cgroups/limits/test_v2.py"),
    "host.seccomp": (
        "tests/seccomp/test_profile.py",
        "tests/seccomp/test_program.py",
        "tests/steps/host/test_process.py",
    ),
    "host.hooks": ("tests/steps/hooks/test_hooks.py",),
    "init.hooks": ("tests/steps/hooks/test_hooks.py", "tests/container/listener/test_hooks.py"),
    "host.namespaces": ("tests/steps/init/test_namespaces.py", "tests/steps/init/test_namespace_paths.py"),
    "init.mounts": ("tests/steps/init/test_filesystems.py",),
    "init.binds": ("tests/steps/init/test_binds.py", "tests/steps/init/test_attributes.py"),
    "init.sources": ("tests/steps/host/test_sources.py",),
    "host.listener": ("tests/container/listener/test_listener.py", "tests/container/listener/test_failures.py"),
    "init.listener": ("tests/container/listener/test_listener.py", "tests/container/listener/test_failures.py"),
    "host.security": ("tests/steps/init/test_apparmor_procfs.py", "tests/steps/init/test_selinux.py"),
    "init.apparmor": ("tests/steps/init/test_apparmor_procfs.py", "tests/steps/init/test_apparmor.py"),
    "init.enter": ("tests/container/exec/test_exec.py",),
    "host.scheduling": ("tests/steps/init/test_scheduling.py",),
    "init.launch": ("tests/steps/init/test_launch.py", "tests/steps/init/test_process.py"),
    "init.sync": (),
}

# Where whole containers have the property, if not in the step's tests.
WHOLE = {
    "/hooks/": "tests/steps/hooks/test_hooks.py",
    "/mounts/": "tests/steps/test_whole.py",
    "/linux/devices/": "tests/steps/test_whole.py",
    "/linux/maskedPaths": "tests/steps/test_whole.py",
    "/linux/readonlyPaths": "tests/steps/test_whole.py",
    "/linux/cgroupsPath": "tests/steps/test_whole.py",
    "/linux/uidMappings": "tests/steps/test_whole.py",
    "/linux/gidMappings": "tests/steps/test_whole.py",
    "/process/execCPUAffinity": "tests/steps/test_whole.py",
    "/process/noNewPrivileges": "tests/steps/init/test_user.py",
    "/process/capabilities": "tests/steps/init/test_user.py",
    "/linux/timeOffsets": "tests/steps/test_whole.py",
}

# A value that config.read takes, where the first of the schema's own would not do; and another one beside it.
SAMPLES: dict[str, tuple[Any, Any]] = {
    "/mounts/0/options": (["bind", "idmap"], ["bind", "ridmap", "ro"]),
    "/process/capabilities/*": ("CAP_KILL", "CAP_CHOWN"),
    "/process/args": (["/one"], ["/two"]),
    "/process/rlimits/0/type": ("RLIMIT_NOFILE", "RLIMIT_CORE"),
    "/process/env/0": ("A=b", "A=c"),
    "/process/execCPUAffinity/initial": ("0-1", "2"),
    "/process/execCPUAffinity/final": ("0-1", "2"),
    "/linux/devices/0/type": ("c", "b"),
    "/linux/seccomp/syscalls/0/action": ("SCMP_ACT_NOTIFY", "SCMP_ACT_ALLOW"),
    "/linux/sysctl/x": ("1", "2"),
    "/linux/intelRdt/memBwSchema": ("MB:0=10", "MB:0=20"),
    "/linux/memoryPolicy/nodes": ("0", "1"),
    "/linux/resources/hugepageLimits/0/pageSize": ("2MB", "1GB"),
    "/linux/resources/devices/0/access": ("rwm", "r"),
    "/linux/resources/devices/0/type": ("c", "b"),
}
TYPES = ("mount", "network", "pid", "ipc", "uts", "user", "cgroup", "time")
LAYOUTS = (
    Layout(version="v2", mounts={"": "/sys/fs/cgroup"}, own={"": "/"}),
    Layout(
        version="hybrid",
        mounts={name: f"/sys/fs/cgroup/{name or 'unified'}" for name in ("", "cpu", "memory", "blkio", "net_cls")}
        | {name: f"/sys/fs/cgroup/{name}" for name in ("net_prio", "hugetlb", "pids", "cpuset", "devices", "rdma")},
        own=dict.fromkeys(
            ("", "cpu", "memory", "blkio", "net_cls", "net_prio", "hugetlb", "pids", "cpuset", "devices", "rdma"), "/"
        ),
    ),
)


def samples(node: Node, pointer: str) -> tuple[Any, Any]:
    """Two different values that the schema allows at `pointer`; arrays with one item, free objects with the key x."""
    parent = pointer.rpartition("/")[0]
    if pointer in SAMPLES:
        return SAMPLES[pointer]
    if parent.startswith("/process/capabilities/"):
        return SAMPLES["/process/capabilities/*"]
    kind = node[0]
    if kind == "object":
        return {key: samples(child, f"{pointer}/{key}")[0] for key, child in members(node).items()}, {}
    if kind == "array":
        return [samples(node[1], f"{pointer}/0")[0]], []
    if kind == "string":
        return (node[1][0], node[1][1]) if node[1] else ("/one", "/two")
    if kind == "integer":
        return 5, 6
    return True, False


def members(node: Node) -> dict[str, Node]:
    """The members of an object; "x" stands for any key where every key is allowed."""
    return {**node[1], **({"x": node[3]} if node[3] else {})}


def properties(node: Node, pointer: str) -> list[tuple[str, Node, bool]]:
    """Pointer, node and necessity of every member of every object in the schema, as in the sample config."""
    if node[0] == "array":
        return properties(node[1], f"{pointer}/0")
    if node[0] != "object":
        return []
    found = []
    for key, child in members(node).items():
        found.append((f"{pointer}/{key}", child, key in node[2]))
        found += properties(child, f"{pointer}/{key}")
    return found


LINUX: Node = ("object", {key: node for key, node in CONFIG[1].items() if key not in OTHER_PLATFORMS}, CONFIG[2], None)
FULL: Raw = samples(LINUX, "")[0]
ALL = properties(LINUX, "")


def changed(raw: Raw, pointer: str, value: Any) -> Raw:
    """A copy of `raw` with another value at `pointer`, without any if it is None."""
    raw = copy.deepcopy(raw)
    *path, last = [int(part) if part.isdigit() else part for part in pointer.split("/")[1:]]
    holder: Any = raw
    for part in path:
        holder = holder[part]
    if value is None:
        del holder[last]
    else:
        holder[last] = value
    return raw


# -- the steps of a config


def steps(raw: Raw) -> set[tuple[str, str]]:
    """The steps of create and exec, on v2 and on v1: the class with its module, and everything that a step knows."""
    found = set()
    for layout in LAYOUTS:
        read = config.read(_complete(raw, layout.version))
        if read.process is None or not read.process.args:  # which the rules refuse, or nothing to execute
            continue
        try:
            made = create.make(read, _around(read, layout))
            entered = exec.make(read.process, read, EXEC_INPUTS)
        except (Error, AssertionError):  # without this property there is no such container
            continue
        found |= {_seen(step) for _, step in (*made.steps(), *entered.steps())}
        found |= {(PROGRAM, repr((made.argv, made.env)))}
    return found


def _seen(step: Step) -> tuple[str, str]:
    kind = type(step)
    return f"{kind.__module__}.{kind.__name__}", repr(sorted(step.__dict__.items(), key=lambda item: item[0]))


PROGRAM = "pyoci.steps.init.launch.ExecuteProgram"
EXEC_INPUTS = ExecInputs(id="web", joins=("mnt",), set_groups=True, chroot=False, umask=0o22, cgroups={})


def _complete(raw: Raw, version: str) -> Raw:
    """The sample with a namespace of every type, and its mount also as a new filesystem; v1 has no unified limits."""
    raw = copy.deepcopy(raw)
    mounts = raw.get("mounts", [])
    plain = [{key: one[key] for key in ("destination", "source", "type") if key in one} for one in mounts]
    raw["mounts"] = mounts + plain
    linux = raw.get("linux", {})
    if linux.get("namespaces"):
        given = {one.get("type") for one in linux["namespaces"]}
        linux["namespaces"] += [{"type": type} for type in TYPES if type not in given]
    if version != "v2":
        linux.get("resources", {}).pop("unified", None)
    return raw


def _around(read: config.Config, layout: Layout) -> CreateInputs:
    linux = read.linux
    return CreateInputs(
        id="web",
        keyring="_ses.web.1",
        bundle="/bundle",
        rootfs="/bundle/" + (read.root.path if read.root is not None else ""),
        host=Host(euid=0, egid=0, user_namespace=False, kcore=True),
        layout=layout,
        cgroups=paths.plan(layout, linux.cgroups_path, "web"),
        device_rules=devices.container_rules(linux.resources, linux.devices),
        rdt=Group(mount="/r", path="/r/web") if linux.intel_rdt is not None else None,
    )


@cache
def _full() -> frozenset[tuple[str, str]]:
    return frozenset(steps(FULL))


def carried_out_by(pointer: str, node: Node, required: bool) -> set[str]:
    """The steps that differ with another value, or without one: module and class."""
    others = [changed(FULL, pointer, samples(node, pointer)[1])]
    if not required:
        others.append(changed(FULL, pointer, None))
    found = [steps(other) for other in others]
    return {name for other in found if other for name, _ in _full() ^ other}


# -- the table


def leaves() -> list[tuple[str, Node, bool]]:
    """The properties that have a value of their own, and not only members."""
    return [row for row in ALL if not members_of(row[1])]


def members_of(node: Node) -> bool:
    """Whether a node of the schema is an object that has members, or an array of such."""
    return bool(node[0] == "object" and members(node)) or bool(node[0] == "array" and members_of(node[1]))


def tests_of(pointer: str, names: set[str]) -> list[str]:
    """The tests of these steps; of several, those that name the property."""
    whole = [file for prefix, file in WHOLE.items() if pointer.startswith(prefix)]
    every: list[str] = []
    for place in sorted({name.rpartition(".")[0].removeprefix("pyoci.steps.") for name in names}):
        folder, _, module = place.partition(".")
        every += TESTS.get(place, (f"tests/steps/{folder}/test_{module}.py",))
    every = list(dict.fromkeys(every))
    key = [part for part in pointer.split("/") if part not in ("x", "0")][-1]
    # A word such as "type" or "path" is anywhere: as the name of a member or an argument it has to be there.
    named = re.compile(rf"\b{key}\b" if key != key.lower() else rf"""["']{key}["']|\b{key}=""")
    naming = [file for file in every if named.search((PROJECT / file).read_text())]
    return list(dict.fromkeys(whole + (naming or every)))[:3]


def dotted(pointer: str) -> str:
    """The pointer /process/rlimits/0/type as process.rlimits[].type."""
    return pointer[1:].replace("/0", "[]").replace("/x", ".*").replace("/", ".")


def elsewhere(pointer: str) -> tuple[str, str] | None:
    """What carries the property out, if no step does."""
    for prefix, found in ELSEWHERE.items():
        if pointer == prefix or pointer.startswith(f"{prefix}/"):
            return found
    return None


def rows() -> list[tuple[str, str, str]]:
    """Property, what carries it out, tests. Raises ValueError for one that nothing carries out."""
    found = []
    for pointer, node, required in leaves():
        if pointer in IGNORED:
            found.append((dotted(pointer), f"ignored: {IGNORED[pointer]}", "tests/test_schema_coverage.py"))
            continue
        other = elsewhere(pointer)
        if other is not None:
            found.append((dotted(pointer), *other))
            continue
        names = carried_out_by(pointer, node, required) - {"pyoci.steps.init.sync.Send", "pyoci.steps.init.sync.Await"}
        if not names:
            raise ValueError(f"{pointer}: no step carries it out")
        shown = sorted({name.rpartition(".")[2] for name in names})
        text = ", ".join(shown[:4]) + (", ..." if len(shown) > 4 else "")
        found.append((dotted(pointer), text, ", ".join(tests_of(pointer, names))))
    return found


HEAD = """# Every property of config.json, what carries it out, and where that is tested

Made by tools/generate/coverage.py from the schema of runtime-spec 1.3.0 (spec/). The steps are those that differ
between the plan of a config.json which has every property and of one where this property has another value or none.
Properties that only hold others have no row of their own; those of other platforms (freebsd, solaris, vm, windows,
zos) are ignored, as config.md wants it. `[]` is any item, `*` any key. The tests are those of whole containers and of
the steps; tools/check_coverage.py takes a property out of every config.json that they make and says if none of them
notices. What cannot be tested on the machines at hand is in host-features.md.

| property | step | tests |
|---|---|---|
"""


def text() -> str:
    """The whole file."""
    lines = [f"| `{name}` | {step} | {tests.replace('tests/', '')} |\n" for name, step, tests in rows()]
    return HEAD + "".join(lines)


FILE = PROJECT / "docs" / "coverage.md"


def main() -> int:
    """Write docs/coverage.md, or with --check say whether it is current. Returns 1 if it is not."""
    return document.keep(FILE, text(), "tools.generate.coverage")


if __name__ == "__main__":
    sys.exit(main())
