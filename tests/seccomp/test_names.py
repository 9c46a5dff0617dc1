"""Names that libseccomp does not know: those that a slip makes of a known one are told apart from newer ones."""

from __future__ import annotations

import pytest

from pyoci import config
from pyoci.config.seccomp import Seccomp, SyscallRule
from pyoci.kernel import libseccomp
from pyoci.seccomp import names as seccomp_names
from tests import cost
from tests.config.corpus import CONFIGS

# Calls of Linux 6.6 to 6.18, which libseccomp 2.5 does not know, and which engines' profiles name.
NEWER = (
    *("cachestat", "fchmodat2", "map_shadow_stack", "futex_wake", "futex_wait", "futex_requeue", "statmount"),
    *("listmount", "lsm_get_self_attr", "lsm_set_self_attr", "lsm_list_modules", "mseal", "uretprobe", "setxattrat"),
    *("getxattrat", "listxattrat", "removexattrat", "open_tree_attr", "file_getattr", "file_setattr", "listns"),
    *("uprobe", "riscv_hwprobe", "clone4", "openat3", "io_uring_enter2", "epoll_pwait3"),
)


def profile(*names: str) -> Seccomp:
    rule = SyscallRule(pointer="/r", names=names, action="SCMP_ACT_ALLOW")
    return Seccomp(default_action="SCMP_ACT_ERRNO", syscalls=(rule, rule))


def test_libseccomps_names_are_those_of_its_numbers() -> None:
    names = libseccomp.names()
    assert {"read", "openat2", "clone3", "execve"} <= set(names) and len(names) > 300
    assert all(libseccomp.number(name) is not None for name in names)


def test_unknown_names_once_each_with_the_place_of_the_first() -> None:
    assert list(seccomp_names.unknown(profile("read", "opne", "x", "opne"))) == [
        ("/r/names/1", "opne"),
        ("/r/names/2", "x"),
    ]


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("opne", "open"),
        ("raed", "read"),
        ("getrandm", "getrandom"),
        ("clock_getime", "clock_gettime"),
        ("execv", "execve"),
        ("reboo", "reboot"),
        ("mkdirr", "mkdir"),
        ("unshar", "unshare"),
        ("openatt", "openat"),
    ],
)
def test_slips(name: str, known: str) -> None:
    assert seccomp_names.slips(profile("read", name)) == [("/r/names/1", name, known)]


def test_newer_calls_are_no_slips() -> None:
    assert seccomp_names.slips(profile(*NEWER)) == []


@pytest.mark.parametrize("name", [name for name, raw in CONFIGS.items() if raw["linux"].get("seccomp")])
def test_the_profiles_of_engines_hold_no_slips(name: str) -> None:
    read = config.read(CONFIGS[name]).linux.seccomp
    assert read is not None and seccomp_names.slips(read) == []


def test_a_missing_last_letter_is_a_slip() -> None:
    known = libseccomp.names()
    cut = [name[:-1] for name in known if len(name) > 3 and name[:-1] not in known and name[-1].isalpha()]
    told = {name for _, name, _ in seccomp_names.slips(profile(*cut))}
    assert len(cut) > 300 and set(cut) - told <= {"futex_wait"}


def test_foreign_names_in_front_of_it_do_not_hide_a_slip() -> None:
    found = seccomp_names.slips(profile(*(f"foreign_call_{number}" for number in range(60)), "opennat"))
    assert [name for _, name, _ in found] == ["opennat"]


def test_many_unknown_names_cost_as_much_as_some() -> None:
    few, many = (profile(*(f"raed{number}" for number in range(count))) for count in (500, 10_000))
    assert cost.instructions(lambda: seccomp_names.slips(many)) < 2 * cost.instructions(
        lambda: seccomp_names.slips(few)
    )
