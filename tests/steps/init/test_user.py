"""Who the program is: ids, groups, umask, the owner of its standard streams, the five capability sets."""

from __future__ import annotations

import ctypes
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from pyoci import channel
from pyoci.steps.init.context import InitContext
from pyoci.steps.init.identity import JoinSessionKeyring
from tests.container.box import Box
from tests.isolation import in_namespace
from tests.steps.look import Change, Config, Look, changes, namespaces, parse, process, user_namespace

pytestmark = pytest.mark.root

CHOWN, KILL, NET_BIND, NET_RAW, SYS_ADMIN = 0, 5, 10, 13, 21
NUMBERS = {"CHOWN": CHOWN, "KILL": KILL, "NET_BIND_SERVICE": NET_BIND, "NET_RAW": NET_RAW, "SYS_ADMIN": SYS_ADMIN}
KINDS = ("bounding", "effective", "permitted", "inheritable", "ambient")


def mask(*names: str) -> str:
    return f"{sum(1 << NUMBERS[name] for name in names):016x}"


def sets(**kinds: tuple[str, ...]) -> Change:
    """process.capabilities."""
    value = {kind: [f"CAP_{name}" for name in names] for kind, names in kinds.items()}
    return lambda config: config["process"].update(capabilities=value)


def a_filter(config: Config) -> None:
    """A seccomp filter, to be loaded with and without noNewPrivileges."""
    rule = {"names": ["acct"], "action": "SCMP_ACT_ERRNO"}
    config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}


THREE = ("CHOWN", "KILL", "NET_BIND_SERVICE")
# What process.capabilities asks for, and what the program has, in the order of KINDS, for root and for uid 1000: the
# same with runc 1.6.0-rc.1 (PYOCI=/path/to/runc runs these tests on it). Root gets what inheritable and bounding give
# (capabilities(7), "Capabilities and execution of programs by root"), others what is ambient.
CASES: dict[str, tuple[dict[str, tuple[str, ...]], tuple[tuple[str, ...], ...], tuple[tuple[str, ...], ...]]] = {
    "as runc spec": (
        {"bounding": THREE, "effective": THREE, "permitted": THREE},
        (THREE, THREE, THREE, (), ()),
        (THREE, (), (), (), ()),
    ),
    "none": (dict.fromkeys(KINDS, ()), ((), (), (), (), ()), ((), (), (), (), ())),
    "ambient": (
        dict.fromkeys(KINDS, THREE),
        (THREE, THREE, THREE, THREE, THREE),
        (THREE, THREE, THREE, THREE, THREE),
    ),
    "ambient, one of them": (
        {**dict.fromkeys(KINDS, THREE), "ambient": ("KILL",)},
        (THREE, THREE, THREE, THREE, ("KILL",)),
        (THREE, ("KILL",), ("KILL",), THREE, ("KILL",)),
    ),
    "bounding only": (
        {"bounding": ("NET_RAW",)},
        (("NET_RAW",), ("NET_RAW",), ("NET_RAW",), (), ()),
        (("NET_RAW",), (), (), (), ()),
    ),
    "with SYS_ADMIN": (
        {"bounding": ("SYS_ADMIN",), "effective": ("SYS_ADMIN",), "permitted": ("SYS_ADMIN",)},
        (("SYS_ADMIN",), ("SYS_ADMIN",), ("SYS_ADMIN",), (), ()),
        (("SYS_ADMIN",), (), (), (), ()),
    ),
}


@pytest.mark.parametrize("filtered", [False, True], ids=["no filter", "filter"])
@pytest.mark.parametrize("no_new_privileges", [False, True], ids=["new privileges", "no new"])
@pytest.mark.parametrize("uid", [0, 1000])
@pytest.mark.parametrize("case", CASES)
def test_capabilities(look: Look, case: str, uid: int, no_new_privileges: bool, filtered: bool) -> None:
    """CAP_SYS_ADMIN, which is kept for loading a filter, does not reach the program."""
    asked, for_root, for_user = CASES[case]
    change = changes(
        process(user={"uid": uid, "gid": uid}, noNewPrivileges=no_new_privileges),
        sets(**asked),
        *((a_filter,) if filtered else ()),
    )
    seen = look(change)
    if case == "bounding only" and no_new_privileges:
        for_root = (("NET_RAW",), (), (), (), ())  # nothing that it does not have already
    expected = dict(zip(KINDS, (mask(*names) for names in (for_user if uid else for_root)), strict=True))
    assert {kind: f"{int(value, 16):016x}" for kind, value in seen["capabilities"].items()} == expected
    assert seen["no_new_privileges"] == no_new_privileges
    assert (seen["status"]["Seccomp"] == "2") == filtered
    assert seen["securebits"] == 0


def test_without_capabilities_the_sets_are_the_runtimes(look: Look) -> None:
    def change(config: Config) -> None:
        del config["process"]["capabilities"]

    mine = dict(line.split(":\t") for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    assert look(change)["capabilities"]["bounding"].lstrip("0x") == mine["CapBnd"].lstrip("0")


# ids


@pytest.mark.parametrize(
    "user",
    [
        {"uid": 0, "gid": 0},
        {"uid": 1000, "gid": 1000},
        {"uid": 1000, "gid": 0, "additionalGids": [5, 1000, 70000]},
        {"uid": 0, "gid": 7, "additionalGids": [7]},
    ],
)
@pytest.mark.parametrize("where", ["host ids", "user namespace"])
def test_ids_and_groups(look: Look, user: dict[str, Any], where: str) -> None:
    """The caller's groups do not come along, not even when config.json names none (CVE-2022-2995)."""
    # the runtime's root is root in there too: another one may not make the mount points
    change = changes(process(user=user), *((user_namespace(0, 80000),) if where == "user namespace" else ()))
    seen = look(change, extra_groups=[4, 27, 99])
    assert (seen["uid"], seen["gid"]) == ([user["uid"]] * 3, [user["gid"]] * 3)
    assert seen["groups"] == user.get("additionalGids", [])


@pytest.mark.parametrize("member", ["uid", "gid", "additionalGids"])
def test_an_id_that_is_not_mapped(box: Box, member: str) -> None:
    user = {"uid": 0, "gid": 0, member: [70000] if member == "additionalGids" else 70000}
    bundle = box.bundle("exit", "0", change=changes(process(user=user), user_namespace(size=65536)))
    done = box("run", "--bundle", str(bundle), "a")
    assert done.returncode == 1
    assert "/process/user" in done.stderr
    if member != "additionalGids":
        assert f"cannot set{member} to unmapped {member} 70000 in user namespace" in done.stderr.splitlines()[0]


@pytest.mark.parametrize("own_mounts", [True, False], ids=["mount namespace", "none"])
@pytest.mark.parametrize("caller", [0o077, 0o000])
@pytest.mark.parametrize(("given", "expected"), [(None, 0o022), (0o027, 0o027), (0, 0)])
def test_umask(look: Look, caller: int, given: int | None, expected: int, own_mounts: bool) -> None:
    """process.user.umask, else 022; never the caller's, also without a mount namespace."""
    user = {"uid": 0, "gid": 0} | ({} if given is None else {"umask": given})
    bare = changes(no_mounts, namespaces("pid", "ipc", "uts", "network"))
    seen = look(changes(process(user=user), *(() if own_mounts else (bare,))), preexec_fn=lambda: os.umask(caller))
    assert seen["umask"] == expected


def no_mounts(config: Config) -> None:
    config["mounts"] = []
    config["root"]["readonly"] = False
    config["linux"].update(maskedPaths=[], readonlyPaths=[])


# the standard streams


def test_pipes_and_files_are_given_to_the_user(box: Box) -> None:
    """So that /dev/stdout can be opened again; the group stays."""
    bundle = box.bundle("report", change=process(user={"uid": 1000, "gid": 1000}))
    done = box("run", "--bundle", str(bundle), "a")
    [seen] = parse(done)
    assert [(seen["fds"][n]["uid"], seen["fds"][n]["gid"]) for n in ("1", "2")] == [(1000, 0)] * 2
    null = os.stat("/dev/null")
    assert (null.st_uid, null.st_gid, stat.S_IMODE(null.st_mode)) == (0, 0, 0o666), "the host's is everybody's"


def test_the_session_keyring_is_new(look: Look) -> None:
    mine = look(options=("--no-new-keyring",))["session_keyring_description"]
    assert look()["session_keyring_description"].split(";")[-1].startswith("_ses.look-2.")
    assert "_ses.look-1" not in mine


@pytest.mark.parametrize("value", [0, 500, 1000])
def test_oom_score_adj(look: Look, value: int) -> None:
    assert look(process(oomScoreAdj=value))["oom_score_adj"] == str(value)


def test_a_session_keyring_that_is_refused() -> None:
    """Then exec gets one without a name, and a warning; never the caller's. The kernel keeps names with a dot."""

    def body() -> tuple[int, int, tuple[str, ...]]:
        ours, other = channel.pair()
        made = InitContext(None)  # type: ignore[arg-type]
        made.channel = ours
        call = ctypes.CDLL(None).syscall
        keyctl = {"x86_64": 250, "aarch64": 219}[os.uname().machine]
        before = call(keyctl, 0, -3, 0)
        with pytest.raises(PermissionError):
            JoinSessionKeyring(name=".name").execute(made)
        assert call(keyctl, 0, -3, 0) == before
        JoinSessionKeyring(name=".name", existing=True).execute(made)
        return before, call(keyctl, 0, -3, 0), other.receive().fields

    before, after, (warning,) = in_namespace(body, 0)
    assert before != after > 0
    assert warning.startswith("unable to join session keyring: operation not permitted")
