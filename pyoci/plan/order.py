"""What has to come before what in a plan of create, and why: a table for whoever adds a step. Pure.

The plan is written in its order (create.py, mounts.py, process.py); nothing sorts it. The tests hold this table against
the plans of many configurations, and find that each of its names is the one of a step.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.steps.step import Step

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
    (("OpenSource", "OpenSourceInside"), "BindMount", "what is bound is a descriptor, not a name"),
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
        "MakeUndumpable",
        "join as root",
        "whoever is in the namespace could attach to the process and use its host descriptors",
    ),
    ("MakeUndumpable", ("Send mounted", "Await hooked"), "hooks of the container's image run while it waits"),
    ("MakeUndumpable", MOUNTS, "a filesystem of the container may be served by somebody who looks at its users"),
    ("Unshare time", "SetTimeOffsets", "the offsets are the new namespace's"),
    ("SetTimeOffsets", "MakeUndumpable of an unprivileged runtime", "its files belong to root afterwards"),
    ("WriteIdMappings", "MakeUndumpable of an unprivileged runtime", "its files belong to root afterwards"),
    ("SetOomScoreAdj", "MakeUndumpable of an unprivileged runtime", "its files belong to root afterwards"),
    ("StartSession", "TakeTerminal", "only a session leader gets a controlling terminal"),
    ("JoinSessionKeyring", "RunContainerHooks createContainer", "a hook inside must not reach the caller's keys"),
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
    ("RunContainerHooks createContainer", SWITCH, "it runs before pivot_root (config.md, createContainer)"),
    (MOUNTS, "RunContainerHooks createContainer", "its mounts must not be covered"),
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
    ("MaskPath", "CloseMask", "all directories share one mask"),
    ("RunContainerHooks createContainer", "MaskPath", "as runc: hooks of the container's side see the paths"),
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
    ("WaitForStart", ("RunContainerHooks startContainer", "SetRlimits", "ExecuteProgram"), "they belong to start"),
    (
        "RunContainerHooks startContainer",
        "SetRlimits",
        "each hook gets the limits itself, the waiting Python may not fit",
    ),
    ("SetRlimits", "ExecuteProgram", "the program has them"),
    # a listener
    ("FindAgent", "MakeCgroups", "there is little to undo when the agent is missing"),
    ("NameProcess", "Detach", "afterwards the runtime is gone"),
    ("RunContainerHooks startContainer", "ArmListener", "the connection is for what the program does"),
    ("ArmListener", "SetRlimits", "the waiting Python may not fit"),
    ("ArmListener", "HandOverListener", "the helper waits for it"),
    ("HandOverListener", "ExecuteProgram", "once the filter is loaded, nothing can be asked for"),
    # hooks among themselves (config.md, "POSIX-platform Hooks")
    ("RunHooks prestart", "RunHooks createRuntime", "the order of the specification"),
    ("RunHooks createRuntime", "RunContainerHooks createContainer", "the order of the specification"),
    ("Await hooked", "RunContainerHooks createContainer", "the order of the specification"),
    ("RunContainerHooks createContainer", "RunContainerHooks startContainer", "the order of the specification"),
)


# Steps of which the first counts: the process hides again where that costs nothing.
ONCE = ("MakeUndumpable",)


def labels(step: Step, unprivileged: bool, side: str = "") -> set[str]:
    """The names by which BEFORE knows a step."""
    name = type(step).__name__
    found = {name}
    if name == "RunNotifiedHooks":
        name = "RunContainerHooks"
        found.add(name)
    if kind := getattr(step, "kind", ""):
        found.add(f"{name} {kind}")
        if side == "container":  # not the first of two stages
            found.add(f"{name} {kind} inside")
    if getattr(step, "final", False):
        found.add(f"{name} final")
    if name == "MakeUndumpable" and unprivileged:
        found.add("MakeUndumpable of an unprivileged runtime")
    if name in JOIN and not unprivileged:  # without privileges nothing can be joined beside a new user namespace
        found.add("join as root")
    return found
