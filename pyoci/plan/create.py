"""Config + Options + Host -> Plan: everything that will be done, in order, as data. Pure: no system call.

The plan is closed: between clone and execve nothing happens that is not one of its steps.

    host        prepare     before there is a process: cgroups, sources of bind mounts, the filter
    stage 1     first       only when namespaces are joined that act on children only
    host        maps        written while stage 1, or the container's process, waits
    host        admit       what only the runtime may do to the process before it hides
    container   inside      namespaces, mounts, devices, then `mounted`
    host        mounted     prestart and createRuntime hooks
    container   finish      createContainer hooks, root switch, identity, then `ready`
    container   launch      detach, wait for start, startContainer hooks, execve
    helper      helper      beside launch, where somebody has to act once the filter is loaded (steps/listener/)

The decision: docs/decisions/one-clone-or-two-stages.md.
"""

from __future__ import annotations

from pyoci.config import Config
from pyoci.config.process import Process
from pyoci.config.rules.linux import sysctl_namespace
from pyoci.errors import ConfigError
from pyoci.host import Host
from pyoci.kernel.constants import CLONE_NEWCGROUP, CLONE_NEWTIME, CLONE_NEWUSER
from pyoci.plan.inputs import denies_setgroups, may_set_groups
from pyoci.plan.mounts import Mounts
from pyoci.plan.plan import Plan
from pyoci.plan.process import DEFAULT_UMASK, ProcessPlan, join_rdt, required
from pyoci.steps.hooks.state import HookState
from pyoci.steps.host import cgroups
from pyoci.steps.host import namespaces as host_namespaces
from pyoci.steps.host import process as host
from pyoci.steps.host.context import HostStep
from pyoci.steps.init import cgroups as init_cgroups
from pyoci.steps.init import identity, namespaces, sync
from pyoci.steps.init.context import InitStep
from pyoci.steps.init.rootfs import OpenProc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.config.hooks import Hook
    from pyoci.config.namespaces import Namespace
    from pyoci.plan.inputs import CreateInputs

_ACTS_ON_CHILDREN = ("pid", "time")


NO_PROCESS = Process(args=(), cwd="/")


def make(config: Config, inputs: CreateInputs) -> Plan:
    """The Plan for create. Raises ConfigError for what only the combination with `inputs` makes wrong."""
    wanted = config.process or NO_PROCESS  # required for start only: the container is made and waits
    state = HookState(id=inputs.id, bundle=inputs.bundle, annotations=config.annotations)
    shape = _Shape(config)
    mounts = Mounts(config, inputs)
    process = ProcessPlan(config, wanted, inputs, may_set_groups(config, inputs.host), state)
    hooks = config.hooks
    early = _hooks("prestart", hooks.prestart, state) + _hooks("createRuntime", hooks.create_runtime, state)
    synchronize = (sync.Send(kind="mounted"), sync.Await(kind="hooked")) if early else ()
    return Plan(
        two_stage=shape.two_stage,
        clone_flags=shape.clone_flags,
        private_pid=_is_new(config.linux.namespace("pid")),
        prepare=_prepare(config, inputs, shape, mounts, process),
        first=shape.first(inputs),
        maps=_maps(config, wanted, inputs, shape),
        admit=_admit(config, wanted, shape, inputs) + process.name(),
        inside=shape.enter(inputs) + process.session() + mounts.make() + synchronize,
        mounted=early,
        finish=(
            *_container_hooks(hooks.create_container, state),
            *mounts.switch(process.terminal(), wanted.cwd),
            _send_identity(config),
            *process.finish(),
        ),
        launch=process.launch(),
        preserved=process.keep,
        argv=wanted.args,
        env=process.environment(),
        helper=process.helper(),
    )


def _send_identity(config: Config) -> InitStep:
    kinds = tuple(one.type for one in config.linux.namespaces)
    return namespaces.SendIdentity(kinds=kinds, root="mount" not in kinds)


def _is_new(namespace: Namespace | None) -> bool:
    return namespace is not None and not namespace.path


class _Shape:
    """How the container's process comes to its namespaces: by one clone, or in two stages."""

    def __init__(self, config: Config) -> None:
        every = config.linux.namespaces
        self.config = config
        self.joined = tuple(one for one in every if one.path)
        self.new = tuple(one for one in every if not one.path)
        self.user = config.linux.namespace("user")
        joins_for_children = any(one.type in (*_ACTS_ON_CHILDREN, "user") for one in self.joined)
        joins_beside_user = self.user is not None and bool(self.joined)
        offsets = bool(config.linux.time_offsets)
        self.two_stage = joins_for_children or joins_beside_user or offsets
        # Stage 1 waits for what only the runtime can write into its new namespaces.
        self.waits = self.two_stage and (_is_new(self.user) or offsets)
        later = ("cgroup", "user", "time") if self.two_stage else ("cgroup",)
        self.clone_flags = 0
        for one in self.new:
            # The cgroup namespace is made by the process itself, once it is where its root shall be.
            if one.type not in later:
                self.clone_flags |= one.flag

    def born_inside(self, inputs: CreateInputs) -> bool:
        """Whether clone3(2) may put the process into its v2 cgroup."""
        return "" in inputs.cgroups and not self.two_stage and inputs.unit is None

    def first(self, inputs: CreateInputs) -> tuple[InitStep, ...]:
        """The steps of stage 1. It hides before it joins anything that others can already see.

        Only an unprivileged runtime has to write the maps before that; it cannot join anything beside.
        """
        if not self.two_stage:
            return ()
        steps: list[InitStep] = []
        new_user = _is_new(self.user)
        late = new_user and inputs.host.euid != 0
        if not late:
            steps.append(sync.MakeUndumpable())
        joined = tuple(one for one in self.joined if one.type != "mount")
        if self.joined:
            steps += _drop_groups(inputs.host)
        if joined:
            pointer = joined[0].pointer if len(joined) == 1 else "/linux/namespaces"
            steps.append(namespaces.JoinNamespaces(pointer=pointer, namespaces=joined))
        if new_user and self.user is not None:
            steps.append(namespaces.Unshare(pointer=self.user.pointer, kind="user", flag=CLONE_NEWUSER))
        time = self.config.linux.namespace("time")
        if time is not None and not time.path:
            steps.append(namespaces.Unshare(pointer=time.pointer, kind="time", flag=CLONE_NEWTIME))
        if self.waits:
            steps += [sync.Send(kind="unshared"), sync.Await(kind="go")]
        if late:
            steps.append(sync.MakeUndumpable())
        if self.user is not None:
            # Where something was joined they are gone already.
            may_drop = not self.joined and may_set_groups(self.config, inputs.host)
            steps.append(namespaces.BecomeRoot(drop_groups=may_drop))
        return tuple(steps)

    def enter(self, inputs: CreateInputs) -> tuple[InitStep, ...]:
        """The first steps of the container's process, up to a private procfs in all its namespaces."""
        steps: list[InitStep] = [sync.StartSession(), sync.Await(kind="go")]
        if inputs.layout.version != "v2" and inputs.unit is None:
            steps.append(init_cgroups.EnterCgroups())
        steps.append(init_cgroups.ResetAffinity())
        if self.user is not None and not self.two_stage:
            steps.append(namespaces.BecomeRoot(drop_groups=may_set_groups(self.config, inputs.host)))
        steps.append(sync.MakeUndumpable())
        late = self.joined if not self.two_stage else tuple(one for one in self.joined if one.type == "mount")
        if self.joined and not self.two_stage:
            steps += _drop_groups(inputs.host)
        steps += [namespaces.JoinNamespace(pointer=one.pointer, namespace=one) for one in late]
        cgroup = self.config.linux.namespace("cgroup")
        if cgroup is not None and not cgroup.path:
            steps.append(namespaces.Unshare(pointer=cgroup.pointer, kind="cgroup", flag=CLONE_NEWCGROUP))
        steps.append(OpenProc())
        network = self.config.linux.namespace("network")
        if network is not None and not network.path:
            steps.append(namespaces.LoopbackUp(pointer=network.pointer))
        return tuple(steps)


def _drop_groups(host: Host) -> tuple[InitStep, ...]:
    """Before the first join, by a runtime that may."""
    return (namespaces.DropGroups(),) if host.euid == 0 and host.set_groups else ()


def _prepare(
    config: Config, inputs: CreateInputs, shape: _Shape, mounts: Mounts, process: ProcessPlan
) -> tuple[HostStep, ...]:
    steps: list[HostStep] = [_open_namespace(config, one) for one in shape.joined]
    steps += required(process.process, config.linux)
    if config.linux.seccomp is not None:
        from pyoci.steps.host.seccomp import CompileFilter

        steps.append(CompileFilter(seccomp=config.linux.seccomp))
    steps += process.agent()
    steps += mounts.sources()
    if config.linux.intel_rdt is not None and inputs.rdt is not None:
        from pyoci.steps.host.rdt import MakeRdtGroup

        steps.append(MakeRdtGroup(rdt=config.linux.intel_rdt, group=inputs.rdt))
    if inputs.unit is not None:
        from pyoci.steps.host import systemd

        return (*steps, systemd.LookAtCgroup(paths=inputs.cgroups), systemd.ReachSystemd(unit=inputs.unit))
    limits, needs_domain = _limits(config, inputs)
    steps.append(
        cgroups.MakeCgroups(
            paths=inputs.cgroups,
            optional=inputs.cgroups_optional(config.linux),
            unprivileged=inputs.rootless_cgroups,
            born_inside=shape.born_inside(inputs),
            domain_limits=needs_domain,
        )
    )
    return (*steps, *limits, _devices(inputs))


def _open_namespace(config: Config, one: Namespace) -> HostStep:
    """With one of the kernel parameters that belong to it, if there are any."""
    written = [sysctl for sysctl in config.linux.sysctl if sysctl_namespace(sysctl) == one.type]
    return host_namespaces.OpenNamespace(pointer=one.pointer, namespace=one, sysctl=written[0] if written else None)


def _devices(inputs: CreateInputs) -> HostStep:
    return cgroups.ApplyDeviceRules(rules=inputs.device_rules, optional=inputs.rootless_cgroups)


def _limits(config: Config, inputs: CreateInputs) -> tuple[tuple[HostStep, ...], bool]:
    """The step that writes the limits, if there are any, and whether they rule out a threaded cgroup."""
    resources = config.linux.resources
    if not resources.limited():
        return (), False
    from pyoci.cgroups.limits import limits
    from pyoci.steps.host.limits import SetLimits

    unified = limits.is_unified(inputs.cgroups)
    writes, ignored = limits.plan(resources, unified), limits.ignored(resources, unified)
    if inputs.unit is not None:
        from pyoci.cgroups.systemd import limits as systemd_limits

        writes = systemd_limits.rounded(writes)
    if not writes and not ignored:
        return (), False
    pointer = writes[0].pointer if len(writes) == 1 else resources.pointer
    return (SetLimits(pointer=pointer, writes=writes, ignored=ignored),), limits.needs_domain(writes)


def _maps(config: Config, wanted: Process, inputs: CreateInputs, shape: _Shape) -> tuple[HostStep, ...]:
    """What is written while the process that made the user and time namespaces waits."""
    steps: list[HostStep] = []
    if _is_new(shape.user):
        from pyoci.steps.host import idmap

        steps.append(
            idmap.WriteIdMappings(
                uid_mappings=config.linux.uid_mappings,
                gid_mappings=config.linux.gid_mappings,
                deny_setgroups=denies_setgroups(config, inputs.host),
                helpers=inputs.host.euid != 0,
            )
        )
    if config.linux.time_offsets:
        steps.append(host.SetTimeOffsets(offsets=config.linux.time_offsets))
    if shape.waits:
        steps += _oom_score(wanted)
    return tuple(steps)


def _oom_score(wanted: Process) -> tuple[HostStep, ...]:
    """Before the process hides: in two stages that is stage 1, which passes it on."""
    value = wanted.oom_score_adj
    return () if value is None else (host.SetOomScoreAdj(value=value),)


def _admit(config: Config, wanted: Process, shape: _Shape, inputs: CreateInputs) -> tuple[HostStep, ...]:
    steps: list[HostStep] = []
    if inputs.unit is not None:
        from pyoci.plan import systemd as plan_systemd

        steps += (*plan_systemd.start(config, inputs, inputs.unit), *_limits(config, inputs)[0], _devices(inputs))
    linux = config.linux
    if shape.user is not None and shape.user.path and (linux.uid_mappings or linux.gid_mappings):
        from pyoci.steps.host import idmap

        steps.append(idmap.CheckIdMappings(uid_mappings=linux.uid_mappings, gid_mappings=linux.gid_mappings))
    if not shape.waits:
        steps += _oom_score(wanted)
    if wanted.rlimits:
        steps.append(host.RaiseHardLimits(rlimits=wanted.rlimits))
    if "" in inputs.cgroups and shape.two_stage and inputs.unit is None:
        steps.append(cgroups.MoveToCgroup())
    if inputs.rdt is not None:
        steps += join_rdt(inputs.rdt.path, inputs.rdt.monitor)
    steps += _net_devices(config, inputs)
    return tuple(steps)


def _net_devices(config: Config, inputs: CreateInputs) -> tuple[HostStep, ...]:
    linux = config.linux
    if not linux.net_devices:
        return ()
    if inputs.host.euid != 0 or inputs.rootless_cgroups:
        raise ConfigError(
            "network devices are not supported for rootless containers",
            pointer=f"{linux.pointer}/netDevices",
            hint="only root of the host's network namespace may move its devices",
        )
    from pyoci.steps.host.net_devices import MoveNetDevice

    network = linux.namespace("network")
    assert network is not None  # config/rules/namespaces.py
    joined = network.pointer if network.path else ""
    return tuple(
        MoveNetDevice(pointer=one.pointer, device=one, namespace=joined, path=network.path) for one in linux.net_devices
    )


def _hooks(kind: str, hooks: tuple[Hook, ...], state: HookState) -> tuple[HostStep, ...]:
    """Hooks of the runtime's side."""
    if not hooks:
        return ()
    from pyoci.steps.host.hooks import RunHooks

    return (RunHooks(pointer=f"/hooks/{kind}", kind=kind, hooks=hooks, state=state, status="creating"),)


def _container_hooks(hooks: tuple[Hook, ...], state: HookState) -> tuple[InitStep, ...]:
    """createContainer: in the container's namespaces, in its root, before the switch; no environment unless given."""
    if not hooks:
        return ()
    from pyoci.steps.init.hooks import RunContainerHooks

    return (
        RunContainerHooks(
            pointer="/hooks/createContainer",
            kind="createContainer",
            hooks=hooks,
            state=state,
            status="creating",
            env=(),
            in_root=True,
            before=(identity.SetUmask(umask=DEFAULT_UMASK),),  # until now the process has none
        ),
    )
