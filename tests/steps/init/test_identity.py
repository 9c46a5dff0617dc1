"""Who the program runs as."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

import pytest

from pyoci.config.capabilities import Capabilities
from pyoci.errors import StepError
from pyoci.kernel import capability, prctl
from pyoci.steps.init.identity import (
    CAP_SYS_ADMIN,
    JoinSessionKeyring,
    LimitBoundingSet,
    NoNewPrivileges,
    OwnStandardStreams,
    SetCapabilities,
    SetUmask,
    SetUser,
)
from tests.isolation import CLONE_NEWUSER, in_namespace
from tests.steps.look import Config, Look, process
from tests.steps.scene import carry_out, context

pytestmark = pytest.mark.root

CHOWN, KILL, SETUID, SYS_TIME = 1 << 0, 1 << 5, 1 << 7, 1 << 25


def status(name: str) -> str:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return line.partition(":")[2].strip()
    raise AssertionError(name)


def sets() -> dict[str, int]:
    return {name: int(status(f"Cap{name}"), 16) for name in ("Bnd", "Eff", "Inh", "Prm", "Amb")}


def user(uid: int, gid: int, *groups: int, **more: Any) -> SetUser:
    return SetUser(uid=uid, gid=gid, groups=groups, **more)


@pytest.mark.parametrize("groups", [(), (5, 6), (1000, 1000, 7)])
def test_ids_and_groups(groups: tuple[int, ...]) -> None:
    """An empty list too: else the caller's groups would be the container's."""

    def body() -> tuple[tuple[int, ...], tuple[int, ...], list[int], str, str]:
        made = context()
        os.setgroups([99])
        carry_out(made, user(1000, 1001, *groups))
        return os.getresuid(), os.getresgid(), sorted(os.getgroups()), status("Uid"), status("Gid")

    found = in_namespace(body, 0)
    assert found[:2] == ((1000,) * 3, (1001,) * 3)
    assert set(found[2]) == set(groups)
    assert found[3:] == ("1000\t1000\t1000\t1000", "1001\t1001\t1001\t1001")  # the file system's ids too


def test_the_process_stays_hidden_and_dies_with_the_runtime() -> None:
    """A change of ids makes a process dumpable and clears its death signal. The first only as fs.suid_dumpable says,
    which is the machine's: so it is made dumpable here, and its ids are those that it has."""

    def hidden() -> int:
        prctl.set_dumpable(True)
        carry_out(context(), user(0, 0))
        return int(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))

    def body() -> tuple[int, int, bool]:
        carry_out(context(), user(1000, 1000))
        libc, signal = ctypes.CDLL(None), ctypes.c_int()
        libc.prctl(2, ctypes.byref(signal), 0, 0, 0)  # PR_GET_PDEATHSIG
        return libc.prctl(3, 0, 0, 0, 0), signal.value, sets()["Prm"] != 0  # PR_GET_DUMPABLE

    assert in_namespace(body, 0) == (0, 9, True)
    assert in_namespace(hidden, 0) == 0


@pytest.mark.parametrize(("uid", "gid", "kind"), [(70000, 0, "uid"), (0, 70000, "gid")])
def test_ids_without_a_mapping(uid: int, gid: int, kind: str) -> None:
    with pytest.raises(StepError, match=f"cannot set{kind} to unmapped {kind} 70000 in user namespace") as caught:
        in_namespace(lambda: carry_out(_unreported(), user(uid, gid)), CLONE_NEWUSER)
    assert caught.value.pointer == f"/process/user/{kind}"


def _unreported() -> Any:
    from pyoci.steps.init.context import InitContext

    return InitContext(None)  # type: ignore[arg-type]


def test_groups_where_they_are_denied() -> None:
    """An unprivileged user namespace with setgroups "deny"."""

    def body() -> list[int]:
        carry_out(_unreported(), user(0, 0, set_groups=False))
        return os.getgroups()

    assert in_namespace(body, CLONE_NEWUSER) == []


@pytest.mark.parametrize("uid", [0, 1000])
def test_the_five_sets(uid: int) -> None:
    wanted = Capabilities(
        bounding=CHOWN | KILL | SETUID,
        permitted=CHOWN | KILL,
        effective=CHOWN,
        inheritable=KILL,
        ambient=KILL,
        unknown=(),
    )

    def body() -> dict[str, int]:
        made = context()
        carry_out(
            made, LimitBoundingSet(capabilities=wanted.bounding), user(uid, uid), SetCapabilities(capabilities=wanted)
        )
        return sets()

    assert in_namespace(body, 0) == {
        "Bnd": CHOWN | KILL | SETUID,
        "Prm": CHOWN | KILL,
        "Eff": CHOWN,
        "Inh": KILL,
        "Amb": KILL,
    }


def test_what_loading_a_filter_needs_is_kept() -> None:
    none = Capabilities(bounding=CAP_SYS_ADMIN, permitted=0, effective=0, inheritable=0, ambient=0, unknown=())

    def body() -> dict[str, int]:
        carry_out(context(), user(1000, 1000), SetCapabilities(capabilities=none, keep=CAP_SYS_ADMIN))
        return sets()

    found = in_namespace(body, 0)
    assert (found["Eff"], found["Prm"], found["Inh"], found["Amb"]) == (CAP_SYS_ADMIN, CAP_SYS_ADMIN, 0, 0)


def test_what_we_do_not_hold_is_not_granted() -> None:
    """The specification wants a warning, which create() gives, and no failure."""
    wanted = Capabilities(
        bounding=KILL, permitted=KILL | SYS_TIME, effective=SYS_TIME, inheritable=SYS_TIME, ambient=SYS_TIME, unknown=()
    )

    def body() -> dict[str, int]:
        made = context()
        capability.set(KILL | SETUID | 1 << 6, KILL | SETUID | 1 << 6, 0)
        carry_out(made, user(1000, 1000), SetCapabilities(capabilities=wanted))
        return sets()

    found = in_namespace(body, 0)
    assert (found["Prm"], found["Eff"], found["Inh"], found["Amb"]) == (KILL, 0, 0, 0)


def test_small_ones() -> None:
    def body() -> tuple[str, str, list[str]]:
        made = context()
        name = f"_ses.identity-{os.getpid()}"
        carry_out(made, SetUmask(umask=0o137), NoNewPrivileges(), JoinSessionKeyring(name=name))
        rings = [line for line in Path("/proc/keys").read_text().splitlines() if f" {name}:" in line]
        return status("Umask"), status("NoNewPrivs"), rings

    umask, privileges, rings = in_namespace(body, 0)
    assert (umask, privileges, len(rings)) == ("0137", "1", 1)


def test_standard_streams_belong_to_the_user(tmp_path: Path) -> None:
    """But for /dev/null, which everybody shares; the group stays."""
    (tmp_path / "file").touch()
    null = os.stat("/dev/null")

    def body() -> list[tuple[int, int]]:
        _, writing = os.pipe()
        file = os.open(tmp_path / "file", os.O_RDWR)
        for number, source in enumerate((os.open("/dev/null", os.O_RDWR), file, writing)):
            os.dup2(source, number)
        carry_out(context(), OwnStandardStreams(uid=1234))
        return [(os.fstat(number).st_uid, os.fstat(number).st_gid) for number in range(3)]

    owners = in_namespace(body, 0)
    assert owners == [(null.st_uid, null.st_gid), (1234, 0), (1234, 0)]


def test_streams_whose_owner_cannot_change(tmp_path: Path) -> None:
    """Another user namespace's file."""
    (tmp_path / "file").touch()

    def body() -> int:
        os.dup2(os.open(tmp_path / "file", os.O_RDONLY), 1)
        carry_out(_unreported(), OwnStandardStreams(uid=5))
        return 7

    assert in_namespace(body, CLONE_NEWUSER) == 7
    assert (tmp_path / "file").stat().st_uid == 0


# -- whole containers ------------------------------------------------------------------------------------------------


def test_a_user_with_everything(look: Look) -> None:
    seen = look(process(user={"uid": 1000, "gid": 1001, "umask": 0o27, "additionalGids": [5, 60000]}))
    assert (seen["uid"], seen["gid"], sorted(seen["groups"]), seen["umask"]) == (
        [1000] * 3,
        [1001] * 3,
        [5, 60000],
        0o27,
    )
    assert seen["capabilities"]["effective"] == seen["capabilities"]["permitted"] == "0" * 16


def test_without_capabilities_they_are_the_callers(look: Look) -> None:
    def change(config: Config) -> None:
        del config["process"]["capabilities"]

    assert int(look(change)["capabilities"]["effective"], 16) == capability.get()[0]


@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize("no_new_privileges", [False, True])
@pytest.mark.parametrize("uid", [0, 1000])
def test_the_programs_sets_do_not_depend_on_the_filter(
    look: Look, filtered: bool, no_new_privileges: bool, uid: int
) -> None:
    """CAP_SYS_ADMIN is kept for loading it; execve computes the program's sets from those that are final."""

    def change(config: Config) -> None:
        names = ["CAP_KILL", "CAP_NET_RAW"]
        config["process"].update(
            user={"uid": uid, "gid": 0},
            noNewPrivileges=no_new_privileges,
            capabilities={
                "bounding": names,
                "permitted": names,
                "effective": names,
                "inheritable": ["CAP_KILL"],
                "ambient": ["CAP_KILL"],
            },
        )
        if filtered:
            config["linux"]["seccomp"] = {
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}],
            }

    seen = {name: int(value, 16) for name, value in look(change)["capabilities"].items()}
    both, kill = 1 << 5 | 1 << 13, 1 << 5
    mine = both if uid == 0 else kill
    assert seen == {"bounding": both, "permitted": mine, "effective": mine, "inheritable": kill, "ambient": kill}
