"""process, read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.config.node import Node
from pyoci.config.process import RLIMITS, Process, User, read_process
from pyoci.errors import ConfigError


def process(**members: Any) -> Process:
    found = read_process(Node(members, "/process"))
    assert found is not None
    return found


def test_absent() -> None:
    assert read_process(None) is None
    empty = process()
    assert empty == Process(
        pointer="/process",
        terminal=False,
        console_size=None,
        user=User(),
        args=(),
        cwd="",
        env=None,
        capabilities=None,
        no_new_privileges=False,
        rlimits=(),
        oom_score_adj=None,
        apparmor_profile="",
        selinux_label="",
        scheduler=None,
        io_priority=None,
        exec_cpu_affinity=None,
    )
    assert empty.user.umask is None


def test_everything() -> None:
    found = process(
        terminal=True,
        consoleSize={"height": 24, "width": 80},
        user={"uid": 1, "gid": 2, "umask": 18, "additionalGids": [3, 4], "username": "ignored"},
        args=["a", "b"],
        cwd="/c",
        env=["A=1"],
        noNewPrivileges=True,
        rlimits=[{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2**64 - 1}],
        oomScoreAdj=-5,
        apparmorProfile="p",
        selinuxLabel="l",
        scheduler={"policy": "SCHED_DEADLINE", "nice": 1, "priority": 2, "flags": ["F"], "runtime": 3, "deadline": 4},
        ioPriority={"class": "IOPRIO_CLASS_RT", "priority": 7},
        execCPUAffinity={"initial": "0", "final": "1-2"},
    )
    assert found.console_size == (24, 80)
    assert found.user == User(pointer="/process/user", uid=1, gid=2, umask=18, additional_gids=(3, 4))
    assert (found.args, found.cwd, found.env) == (("a", "b"), "/c", ("A=1",))
    rlimit = found.rlimits[0]
    assert (rlimit.pointer, rlimit.type, rlimit.resource) == ("/process/rlimits/0", "RLIMIT_NOFILE", 7)
    assert (rlimit.soft, rlimit.hard) == (1, 2**64 - 1)
    assert (found.oom_score_adj, found.apparmor_profile, found.selinux_label) == (-5, "p", "l")
    assert found.scheduler is not None
    assert (found.scheduler.policy, found.scheduler.flags, found.scheduler.deadline) == ("SCHED_DEADLINE", ("F",), 4)
    assert found.io_priority is not None
    assert (found.io_priority.class_, found.io_priority.priority) == ("IOPRIO_CLASS_RT", 7)
    assert found.exec_cpu_affinity is not None
    assert (found.exec_cpu_affinity.initial, found.exec_cpu_affinity.final) == ("0", "1-2")


def test_rlimits_are_the_kernels() -> None:
    import resource

    known = {name: value for name, value in vars(resource).items() if name.startswith("RLIMIT_")}
    known.pop("RLIMIT_OFILE", None)  # an old name of NOFILE
    assert len(RLIMITS) == 16
    assert {name: RLIMITS[name] for name in known} == known
    assert process(rlimits=[{"type": "RLIMIT_X", "soft": 1, "hard": 1}]).rlimits[0].resource == -1


@pytest.mark.parametrize("id", [-1, 2**32, 2**33, 1.0, 1e3, "010", True])
@pytest.mark.parametrize("key", ["uid", "gid", "additionalGids"])
def test_ids_are_never_cut_or_guessed(key: str, id: Any) -> None:
    """4294967296 must not become root."""
    with pytest.raises(ConfigError) as caught:
        process(user={key: [id] if key == "additionalGids" else id})
    assert caught.value.pointer == f"/process/user/{key}" + ("/0" if key == "additionalGids" else "")


@pytest.mark.parametrize(
    ("env", "result"),
    [
        ([], ()),
        (["A=1", "B=2"], ("A=1", "B=2")),
        (["A=1", "B=2", "A=3"], ("B=2", "A=3")),
        (["A=1", "A="], ("A=",)),
        (["A=1=2", "A=3"], ("A=3",)),
        (["A", "A=1"], ("A", "A=1")),
        (["A=1", "A"], ("A=1", "A")),
        (["=1", "=2", "", ""], ("=1", "=2", "", "")),
    ],
)
def test_environment(env: list[str], result: tuple[str, ...]) -> None:
    assert process(env=env).env == result


NAME = st.text(st.characters(exclude_characters="=\0", codec="utf-8"), min_size=1, max_size=2)
ENTRY = st.tuples(NAME, st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=3)).map("=".join)


@given(st.lists(ENTRY))
def test_environment_is_a_dictionary(env: list[str]) -> None:
    """Each name once, with its last value, in the order of the last values; a second time changes nothing."""
    found = process(env=env).env
    assert found is not None
    assert {e.partition("=")[0]: e for e in found} == {e.partition("=")[0]: e for e in env}
    assert len({e.partition("=")[0] for e in found}) == len(found)
    positions = [len(env) - 1 - env[::-1].index(entry) for entry in found]
    assert positions == sorted(positions)
    assert process(env=list(found)).env == found
