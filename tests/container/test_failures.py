"""Every system call and every step of a create fails once: exit status 1, one clear error, and nothing is left."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable
from errno import EIO
from pathlib import Path
from typing import Any, cast

import pytest

from pyoci import channel
from pyoci.config import loader
from pyoci.container import create
from pyoci.container.inputs import create_inputs
from pyoci.container.options import CreateOptions
from pyoci.container.process.handshake import Handshake
from pyoci.errors import Error, StepError
from pyoci.plan import create as plan
from pyoci.plan.plan import Plan
from pyoci.steps.host.context import HostContext
from pyoci.steps.init.context import InitContext
from pyoci.steps.init.launch import WaitForStart
from pyoci.steps.step import Context, Step
from pyoci.undo import Undo
from tests.container import tracer
from tests.container.box import Box
from tests.container.test_hooks import shell
from tests.container.test_killed import Killer, rich, shaped
from tests.container.test_life_cycle import refused, writable

pytestmark = pytest.mark.root

CALLS = ["mkdir", "mkdirat", "clone", "clone3", "open_tree", "fsopen", "fsconfig", "fsmount", "move_mount"]
CALLS += ["mount_setattr", "write", "mknod", "mknodat", "symlinkat", "pivot_root", "umount2", "unshare", "setns"]
CALLS += ["setsid", "sethostname", "setgroups", "setresuid", "setresgid", "capset", "renameat", "bpf"]
SECOND_SHAPE = {True: slice(0, 50), False: slice(-30, None)}  # where two stages differ from one; True: inside


@pytest.mark.skipif(not tracer.SUPPORTED, reason="the tracer of these tests knows the system calls of x86_64 only")
@shaped
@pytest.mark.parametrize("inside", [False, True], ids=["runtime", "container"])
def test_every_call_fails(box: Box, shape: str, inside: bool, tell: Callable[[str], None]) -> None:
    killer = Killer(box, shape)
    request: dict[str, Any] = {"inside": inside, "calls": CALLS, "begin": [] if inside else ["mkdirat"]}
    killer.record(None)  # makes the mount points in the rootfs
    done, answer = killer.create(**request)
    assert box("delete", "--force", "a").stderr == ""
    calls = list(enumerate(answer["calls"]))[slice(None) if shape == "one stage" else SECOND_SHAPE[inside]]
    for index, name in calls:
        done, answer = killer.create(**request, at=index, errno=EIO)
        what = f"EIO from call {index}, {name}"
        assert answer["acted"], what
        one_error(done.returncode, done.stderr, what)
        killer.same(what)
    tell(f"{shape}: each of {len(calls)} calls of the {'container' if inside else 'runtime'} failed, snapshot equal")


# What is done around the steps of a plan.
NO_STEPS = (
    *("make the container's directory: ", "open a private procfs: ", "make the fifo that start opens: "),
    *("write state.json: ", "clone the container's process: "),
)


def one_error(status: int, text: str, what: str) -> None:
    """Exit status 1; one error that names the step, or the option, or in words what is no step; no traceback."""
    assert status == 1, f"{what}: {status} {text}"
    assert text.count("level=error") == 1, f"{what}: {text}"
    assert "Traceback" not in text and "internal error" not in text, f"{what}: {text}"
    assert "input/output error" in text.lower(), f"{what}: {text}"
    named = "\n  step: " in text or "\n  pointer: --" in text or any(words in text for words in NO_STEPS)
    assert named, f"{what}: {text}"


def everything(config: dict[str, Any]) -> None:
    """A config.json whose plan has most kinds of steps."""
    rich(config)
    writable(config)
    config["hooks"] |= {"createContainer": [shell("exit 0")], "startContainer": [{"path": "/reporter"}]}
    config["hooks"]["startContainer"][0]["args"] = ["reporter", "exit", "0"]
    config["domainname"] = "example.org"
    config["process"].update(noNewPrivileges=True, cwd="/made")
    config["process"]["env"] = ["PATH=/"]  # no HOME
    config["process"]["scheduler"] = {"policy": "SCHED_BATCH"}
    config["process"]["ioPriority"] = {"class": "IOPRIO_CLASS_BE", "priority": 4}
    config["linux"] |= {"personality": {"domain": "LINUX"}, "memoryPolicy": {"mode": "MPOL_DEFAULT"}}
    config["mounts"].append({"destination": "/tmp", "type": "tmpfs", "options": ["ro", "tmpcopyup"]})
    config["linux"]["namespaces"].append({"type": "cgroup"})
    config["linux"].update(sysctl={"net.ipv4.ip_forward": "1"}, rootfsPropagation="shared")
    config["linux"]["devices"] = [{"path": "/dev/other", "type": "c", "major": 1, "minor": 3}]
    rule = {"names": ["uselib"], "action": "SCMP_ACT_NOTIFY"}
    config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule], "listenerPath": "../agent"}


PHASES = ("prepare", "first", "maps", "admit", "inside", "mounted", "finish", "launch", "helper")


class Broken:
    """plan.make() with one step that fails."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.make = plan.make

    def __call__(self, *args: Any) -> Plan:
        made = self.make(*args)
        number = 0
        phases = {}
        for phase in PHASES:
            steps = list(getattr(made, phase))
            if number <= self.index < number + len(steps):
                steps[self.index - number] = break_step(steps[self.index - number])
            number += len(steps)
            phases[phase] = tuple(steps)
        return made.replace(**phases)


def break_step(step: Step) -> Step:
    def execute(self: Step, context: Context) -> None:
        error = OSError(EIO, os.strerror(EIO))
        error.add_note("broken()")
        raise error

    kind = type(type(step).__name__, (type(step),), {"execute": execute})
    broken: Step = kind(**step.__dict__)
    return broken


def create_with(box: Box, bundle: Path, make: Callable[..., Plan]) -> dict[str, Any]:
    """A create in a child of ours; its error as {"message", "pointer", "step", "call"}, {} if there was none.

    "descriptors": what is open afterwards and was not before.
    """
    answer = box.directory / "answer"
    answer.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        try:
            plan.make = make
            null = os.open("/dev/null", os.O_RDWR)
            for number in range(3):
                os.dup2(null, number)
            result = attempt(box, bundle)
            answer.write_text(json.dumps(result))
        except BaseException:
            answer.write_text(json.dumps({"message": traceback.format_exc(), "pointer": "", "step": "", "call": ""}))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    found: dict[str, Any] = json.loads(answer.read_text())
    return found


def attempt(box: Box, bundle: Path) -> dict[str, Any]:
    before = os.listdir("/proc/self/fd")
    try:
        create.create(CreateOptions(root=str(box.root), id="a", bundle=str(bundle)))
    except Error as error:
        left = sorted(set(os.listdir("/proc/self/fd")) - set(before))
        left = [
            f"{one} {os.readlink(f'/proc/self/fd/{one}')}" for one in left if os.path.lexists(f"/proc/self/fd/{one}")
        ]
        names = ("message", "pointer", "step", "call")
        return {name: getattr(error, name) for name in names} | {"descriptors": left}
    return {}


def test_every_step_fails(box: Box, tell: Callable[[str], None]) -> None:
    """Its error names the step, its pointer and the call; those after `created` are errors of start."""

    def change(config: dict[str, Any]) -> None:
        everything(config)
        del config["linux"]["resources"]["pids"]

    box.listen("agent")
    bundle = box.bundle("sleep", change=change)
    made: list[Plan] = []
    config, _ = loader.load(str(bundle))
    around = create_inputs(config, CreateOptions(root=str(box.root), id="a", bundle=str(bundle)))
    made.append(plan.make(config, around))
    steps = [step for phase in PHASES for step in getattr(made[0], phase)]
    before = box.snapshot()
    late = 0
    for index, step in enumerate(steps):
        what = f"step {index}, {step.describe()}"
        found = create_with(box, bundle, Broken(index))
        if found:
            assert found["message"].endswith(f"{step.describe()}: input/output error"), f"{what}: {found}"
            assert (found["step"], found["call"]) == (type(step).__name__, "broken()"), f"{what}: {found}"
            assert found["pointer"] == step.pointer, f"{what}: {found}"
            assert found["descriptors"] == [], f"{what}: {found}"
        else:
            late += 1
            done = box("start", "a")
            if isinstance(step, WaitForStart):  # nobody has been there to be told
                refused(done, "cannot start a container that has stopped")
            else:
                one_error(done.returncode, done.stderr, what)
                assert f"{step.describe()}: input/output error" in done.stderr, f"{what}: {done}"
            assert box("delete", "a").stderr == "", what
        box.remove_parents()
        left = box.differences(before)
        assert left == [], f"after {what}:\n" + "\n".join(left)
    assert 1 <= late <= 6
    kinds = len({type(step) for step in steps})
    tell(f"each of {len(steps)} steps of {kinds} kinds failed, {late} of them in start, snapshot equal")


def test_what_was_said_before_the_end_is_heard() -> None:
    """The error of a process that ended before we spoke comes behind its warnings and its lines of --debug."""
    ours, theirs = channel.pair()
    theirs.send_debug("container", "Mount", "/mounts/0", "mount")
    theirs.send("error", *channel.encode_error(StepError("no such thing", step="Mount")))
    theirs.close()
    context = HostContext(ours, Undo(), InitContext(theirs))
    with pytest.raises(StepError, match="no such thing"):
        Handshake(cast(Plan, None), context, lambda name, descriptor: None)._send("go")
    with pytest.raises(channel.Closed):
        Handshake(cast(Plan, None), context, lambda name, descriptor: None)._send("go")
    ours.close()
