"""Configs for the laws of plans: those of the corpus, and any mixture of what config.json can ask for."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from pyoci import config
from pyoci.cgroups.hierarchies import Layout
from pyoci.cgroups.systemd.names import Unit
from pyoci.cli import spec
from pyoci.config import loader
from pyoci.config.resources import DeviceRule
from pyoci.config.rules import rules
from pyoci.errors import Error
from pyoci.host import Host
from pyoci.plan import create, exec
from pyoci.plan.inputs import CreateInputs, ExecInputs
from pyoci.plan.plan import Plan
from tests.config.corpus import CONFIGS

Raw = dict[str, Any]
Made = tuple[Raw, Plan, CreateInputs]

V2 = Layout(version="v2", mounts={"": "/sys/fs/cgroup"}, own={"": "/"})
HYBRID = Layout(
    version="hybrid",
    mounts={
        "name=systemd": "/sys/fs/cgroup/systemd",
        "cpu": "/sys/fs/cgroup/cpu,cpuacct",
        "cpuacct": "/sys/fs/cgroup/cpu,cpuacct",
        "devices": "/sys/fs/cgroup/devices",
        "": "/sys/fs/cgroup/unified",
    },
    own={},
)
UNIT = Unit(name="runc-web.scope", slice="system.slice", user=False, buses=("unix:path=/run/systemd/private",))
ROOT = Host(euid=0, egid=0, user_namespace=False, kcore=True)
NESTED_ROOT = Host(euid=0, egid=0, user_namespace=True, kcore=True)
USER = Host(euid=1000, egid=1000, user_namespace=False, kcore=False)
MAPPINGS = [{"containerID": 0, "hostID": 1000, "size": 1}, {"containerID": 1, "hostID": 100000, "size": 65536}]
HOOK = {"path": "/bin/true", "args": ["true"], "timeout": 5}
MOUNTS: list[Raw] = [
    {"destination": "/data", "type": "bind", "source": "/srv", "options": ["rbind", "ro"]},
    {"destination": "/shared", "source": "srv", "options": ["bind", "rshared"]},
    {"destination": "/scratch", "type": "tmpfs", "source": "t", "options": ["ro", "tmpcopyup"]},
    {"destination": "/rro", "type": "tmpfs", "source": "t", "options": ["rro"]},
    {"destination": "/scratch", "type": "tmpfs", "options": ["remount", "size=1m"]},
    {"destination": "/mapped", "source": "/srv", "options": ["bind", "idmap"]}
    | {"uidMappings": MAPPINGS, "gidMappings": MAPPINGS},
    {"destination": "/mapped-as-we", "source": "/srv", "options": ["rbind", "ridmap"]},
    {"destination": "/over", "type": "overlay", "source": "o", "options": ["lowerdir=/a:/b"]},
    {"destination": "/dev", "type": "bind", "source": "/srv/dev", "options": ["rbind"]},
    {"destination": "sys/fs/cgroup", "type": "cgroup2", "options": ["ro"]},
]  # fmt: skip
DEVICES: list[Raw] = [
    {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229},
    {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600},
    {"path": "/run/pipe", "type": "p"},
    {"path": "/dev/ptmx", "type": "c", "major": 5, "minor": 2},
]
PROPAGATION = ["private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable"]
TYPES = ["pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"]


def entering(whole: config.Config, inputs: ExecInputs) -> Plan:
    """The plan of exec for the process that stands in a whole config."""
    assert whole.process is not None
    return exec.make(whole.process, whole, inputs)


def around(raw: Raw, **changes: Any) -> CreateInputs:
    """CreateInputs as create() makes them; `changes` replace members."""
    layout = changes.get("layout", HYBRID)
    members: Raw = {
        "id": "web",
        "bundle": "/bundle",
        "rootfs": "/bundle/rootfs",
        "host": ROOT,
        "keyring": "_ses.web.1",
        "layout": layout,
        "cgroups": {name: f"{point}/web" for name, point in layout.mounts.items()},
        "device_rules": (DeviceRule(pointer="/linux/resources/devices/0", allow=False, access="rwm"),),
    }
    return CreateInputs(**(members | changes))


def read(raw: Raw) -> config.Config:
    """Checked as create() does it, but for what is read and not carried out yet. Raises Error."""
    loader.check(raw)
    read = config.read(raw)
    rules.check(read)
    return read


def _valid(raw: Raw) -> bool:
    try:
        read(raw)
    except Error:
        return False
    return True


REAL: dict[str, Raw] = {name: raw for name, raw in CONFIGS.items() if _valid(raw)}


@st.composite
def raws(draw: st.DrawFn) -> Raw:
    """A config.json that passes every check."""
    raw = copy.deepcopy(spec.example(v2=False))
    linux, process = raw["linux"], raw["process"]
    pick = st.sampled_from
    linux["namespaces"] = [
        {"type": name} | ({} if how == "new" else {"path": f"/proc/1/ns/{name}"})
        for name in draw(st.permutations(TYPES))
        if (how := draw(pick(["new", "new", "none", "joined"]))) != "none"
    ]
    kinds = {one["type"]: "path" in one for one in linux["namespaces"]}
    if "user" in kinds:
        linux["uidMappings"] = linux["gidMappings"] = MAPPINGS[: draw(st.integers(1, 2))]
    if kinds.get("time") is False and draw(st.booleans()):
        linux["timeOffsets"] = {"boottime": {"secs": 5}}
    if "uts" in kinds:
        raw["domainname"] = "example.org"
    else:
        del raw["hostname"]
    raw["mounts"] += draw(st.lists(pick(MOUNTS), max_size=4, unique_by=lambda one: (one["destination"], str(one))))
    linux["devices"] = draw(st.lists(pick(DEVICES), max_size=3, unique_by=lambda one: str(one["path"])))
    if draw(st.integers(0, 3)):
        raw["annotations"] = {"org.systemd.property.TimeoutStopSec": "uint64 5"}
        raw["mounts"] = [one for one in raw["mounts"] if one["destination"] != "/sys/fs/cgroup"]
        raw["mounts"].append({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"})
    if draw(st.booleans()):
        linux["maskedPaths"] = linux["readonlyPaths"] = []
    if kinds.get("ipc") is False:
        linux["sysctl"] = {"kernel.shmmax": "1"}
    if draw(st.booleans()):
        linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW"}
        if draw(st.booleans()):
            rule = {"names": ["uselib"], "action": "SCMP_ACT_NOTIFY"}
            linux["seccomp"] |= {"syscalls": [rule], "listenerPath": "/run/agent"}
    if draw(st.booleans()):
        linux["resources"]["pids"] = {"limit": 5}
    if propagation := draw(pick([None, *PROPAGATION])):
        linux["rootfsPropagation"] = propagation
    raw["root"]["readonly"] = draw(st.booleans())
    if draw(st.booleans()):
        raw["hooks"] = {
            kind: [HOOK]
            for kind in ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
            if draw(st.booleans())
        }
    if "network" in kinds and draw(st.booleans()):
        linux["netDevices"] = {"eth7": {"name": "eth0"}}
    if draw(st.booleans()):
        linux |= {"personality": {"domain": "LINUX32"}, "memoryPolicy": {"mode": "MPOL_LOCAL"}}
    for member, value in (
        ("scheduler", {"policy": "SCHED_IDLE"}),
        ("ioPriority", {"class": "IOPRIO_CLASS_IDLE"}),
        ("terminal", True),
        ("oomScoreAdj", 5),
        ("apparmorProfile", "p"),
        ("selinuxLabel", "l"),
        ("noNewPrivileges", False),
        ("user", {"uid": 1000, "gid": 1000, "additionalGids": [5], "umask": 7} if "user" not in kinds else {"uid": 0}),
        ("cwd", "/a/b"),
    ):
        if draw(st.booleans()):
            process[member] = value
    process["user"].setdefault("gid", 0)
    for member in ("capabilities", "env", "rlimits"):
        if draw(st.integers(0, 4)) == 0:
            del process[member]
    if draw(st.integers(0, 9)) == 0:
        del raw["process"]
    return raw


@st.composite
def plans(draw: st.DrawFn) -> Made:
    """A config and its plan, for surroundings of any kind."""
    raw = draw(raws())
    where = around(
        raw,
        layout=draw(st.sampled_from([V2, HYBRID])),
        host=draw(st.sampled_from([ROOT, ROOT, NESTED_ROOT, USER])),
        unit=draw(st.sampled_from([None, UNIT])),
        no_pivot=draw(st.booleans()),
        keyring=draw(st.sampled_from(["", "_ses.web.1"])),
        preserve=draw(st.integers(0, 3)),
        notify=draw(st.sampled_from(["", "/run/pyoci/web/notify"])),
    )
    try:
        return raw, create.make(read(raw), where), where
    except Error:
        assume(False)
        raise
