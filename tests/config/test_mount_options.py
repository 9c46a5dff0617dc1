"""What every mount option does, and that the later of two wins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.config import mount_options
from pyoci.config.filesystem import Mount
from pyoci.kernel.constants import (
    MOUNT_ATTR__ATIME,
    MOUNT_ATTR_NOATIME,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NODIRATIME,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_NOSYMFOLLOW,
    MOUNT_ATTR_RDONLY,
    MOUNT_ATTR_RELATIME,
    MOUNT_ATTR_STRICTATIME,
    MS_PRIVATE,
    MS_REC,
    MS_SHARED,
    MS_SLAVE,
    MS_UNBINDABLE,
)

# Every option that runc 1.5 lists in `features`, in its order.
RUNC = (
    "async atime bind defaults dev diratime dirsync exec iversion lazytime loud mand noatime nodev nodiratime noexec "
    "noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow private ratime rbind rdev rdiratime "
    "relatime remount rexec rnoatime rnodev rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro "
    "rprivate rrelatime rro rrw rshared rslave rstrictatime rsuid rsymfollow runbindable rw shared silent slave "
    "strictatime suid symfollow sync tmpcopyup unbindable"
).split()


def parse(*options: str) -> Mount:
    return Mount(pointer="", destination="/x", options=options, **mount_options.fields(options))


def test_names_are_runcs() -> None:
    assert mount_options.names() == RUNC


@pytest.mark.parametrize("option", [*RUNC, "idmap", "ridmap"])
def test_no_known_option_is_data(option: str) -> None:
    assert parse(option).data == ()


ATTRIBUTES = [
    ("ro", "rw", MOUNT_ATTR_RDONLY),
    ("nosuid", "suid", MOUNT_ATTR_NOSUID),
    ("nodev", "dev", MOUNT_ATTR_NODEV),
    ("noexec", "exec", MOUNT_ATTR_NOEXEC),
    ("nodiratime", "diratime", MOUNT_ATTR_NODIRATIME),
    ("nosymfollow", "symfollow", MOUNT_ATTR_NOSYMFOLLOW),
]


@pytest.mark.parametrize("prefix", ["", "r"])
@pytest.mark.parametrize(("on", "off", "bit"), ATTRIBUTES)
def test_attribute(prefix: str, on: str, off: str, bit: int) -> None:
    def masks(*options: str) -> tuple[int, int]:
        mount = parse(*[prefix + option for option in options])
        other = (mount.rec_attr_set, mount.rec_attr_clr) if prefix == "" else (mount.attr_set, mount.attr_clr)
        assert other == (0, 0)
        return (mount.rec_attr_set, mount.rec_attr_clr) if prefix else (mount.attr_set, mount.attr_clr)

    assert masks(on) == (bit, 0)
    assert masks(off) == (0, bit)
    assert masks(on, off) == (0, bit)
    assert masks(off, on) == (bit, 0)


@pytest.mark.parametrize(
    ("options", "value"),
    [
        (["noatime"], MOUNT_ATTR_NOATIME),
        (["strictatime"], MOUNT_ATTR_STRICTATIME),
        (["relatime"], 0),
        (["noatime", "strictatime"], MOUNT_ATTR_STRICTATIME),
        (["strictatime", "noatime"], MOUNT_ATTR_NOATIME),
        (["noatime", "relatime"], 0),
        (["noatime", "norelatime"], MOUNT_ATTR_NOATIME),
        (["strictatime", "atime"], MOUNT_ATTR_STRICTATIME),
    ],
)
@pytest.mark.parametrize("prefix", ["", "r"])
def test_access_times_clear_the_whole_field(prefix: str, options: list[str], value: int) -> None:
    mount = parse(*[prefix + option for option in options])
    found = (mount.rec_attr_set, mount.rec_attr_clr) if prefix else (mount.attr_set, mount.attr_clr)
    assert found == (value, MOUNT_ATTR__ATIME)


GIVEN_UP = [
    (["atime"], (MOUNT_ATTR_NOATIME,)),
    (["norelatime"], (MOUNT_ATTR_RELATIME,)),
    (["nostrictatime"], (MOUNT_ATTR_STRICTATIME,)),
    (["noatime", "atime"], (MOUNT_ATTR_NOATIME,)),
    (["strictatime", "nostrictatime", "norelatime"], (MOUNT_ATTR_RELATIME, MOUNT_ATTR_STRICTATIME)),
]


@pytest.mark.parametrize(("options", "given_up"), GIVEN_UP)
def test_access_times_that_are_given_up_stay_as_they_are(options: list[str], given_up: tuple[int, ...]) -> None:
    """mount(2) has no flag for it. With "r" it is mount_setattr(2), which takes relatime for "none of them"."""
    mount = parse(*options)
    assert (mount.attr_set, mount.attr_clr, mount.atime_given_up) == (0, 0, given_up)
    mount = parse(*["r" + option for option in options])
    assert (mount.rec_attr_set, mount.rec_attr_clr, mount.atime_given_up) == (0, MOUNT_ATTR__ATIME, ())


def test_the_choice_that_comes_later_is_not_given_up() -> None:
    mount = parse("atime", "noatime")
    assert (mount.attr_set, mount.attr_clr, mount.atime_given_up) == (MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME, ())


def test_nodiratime_is_not_part_of_the_access_time_field() -> None:
    mount = parse("nodiratime", "noatime")
    assert mount.attr_set == MOUNT_ATTR_NODIRATIME | MOUNT_ATTR_NOATIME
    assert mount.attr_clr == MOUNT_ATTR__ATIME


@pytest.mark.parametrize(
    ("options", "flags"),
    [
        (["sync"], ("sync",)),
        (["sync", "async"], ()),
        (["async", "sync"], ("sync",)),
        (["mand", "lazytime", "dirsync"], ("mand", "lazytime", "dirsync")),
        (["mand", "nomand"], ()),
        (["lazytime", "nolazytime", "lazytime", "lazytime"], ("lazytime",)),
        (["silent", "loud", "iversion", "noiversion", "defaults"], ()),
    ],
)
def test_flags_of_the_file_system(options: list[str], flags: tuple[str, ...]) -> None:
    assert parse(*options).super_flags == flags


def test_propagation_keeps_order() -> None:
    mount = parse("rshared", "slave", "private", "runbindable")
    assert mount.propagation == (MS_SHARED | MS_REC, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE | MS_REC)


def test_special_options() -> None:
    assert (parse("bind").bind, parse("bind").recursive) == (True, False)
    assert (parse("rbind").bind, parse("rbind").recursive) == (True, True)
    assert parse("rbind", "bind").recursive is True  # as with mount(2)'s flags, which are or'ed
    assert parse("remount").remount is True
    assert parse("tmpcopyup").copy_up is True
    assert parse("idmap").id_map == "idmap"
    assert parse("idmap", "ridmap").id_map == "ridmap"


@pytest.mark.parametrize(
    ("options", "data"),
    [
        (["mode=755", "size=65536k"], ("mode=755", "size=65536k")),
        (["mode=755,size=65536k"], ("mode=755", "size=65536k")),
        (["", ",", "a"], ("a",)),
        (["rdirsync", "acl"], ("rdirsync", "acl")),
        (
            ['context="system_u:object_r:c_t:s0:c1,c2"', "size=1m"],
            ("context=system_u:object_r:c_t:s0:c1,c2", "size=1m"),
        ),
        (['context="s0:c1', 'c2"'], ("context=s0:c1,c2",)),
        (["lowerdir=/a\\,b:/c,upperdir=/d"], ("lowerdir=/a\\,b:/c", "upperdir=/d")),
    ],
)
def test_everything_else_is_data(options: list[str], data: tuple[str, ...]) -> None:
    assert parse(*options).data == data


PAIRS: list[tuple[str, str]] = [
    *[(on, off) for on, off, _ in ATTRIBUTES],
    *[("r" + on, "r" + off) for on, off, _ in ATTRIBUTES],
    *[("noatime", "atime"), ("strictatime", "nostrictatime"), ("rnoatime", "ratime")],
    *[("sync", "async"), ("mand", "nomand"), ("lazytime", "nolazytime")],
]


@given(st.lists(st.sampled_from(RUNC)), st.sampled_from(PAIRS), st.booleans())
def test_the_later_option_wins(before: list[str], pair: tuple[str, str], swap: bool) -> None:
    """Whatever stands before: after `first, second` about the same thing, `first` changes nothing."""
    first, second = reversed(pair) if swap else pair
    if second in ("atime", "nostrictatime", "ratime"):  # gives up one of three choices; another one stays
        before = [option for option in before if "atime" not in option]
    assert semantic(parse(*before, first, second)) == semantic(parse(*before, second))


@given(st.lists(st.sampled_from([*RUNC, "idmap", "size=1m"]), max_size=8))
def test_nothing_is_set_and_cleared(options: list[str]) -> None:
    mount = parse(*options)
    assert mount.attr_set & mount.attr_clr & ~MOUNT_ATTR__ATIME == 0
    assert mount.rec_attr_set & mount.rec_attr_clr & ~MOUNT_ATTR__ATIME == 0
    for chosen, cleared in ((mount.attr_set, mount.attr_clr), (mount.rec_attr_set, mount.rec_attr_clr)):
        if chosen & MOUNT_ATTR__ATIME:  # the kernel answers EINVAL otherwise
            assert cleared & MOUNT_ATTR__ATIME == MOUNT_ATTR__ATIME


def semantic(mount: Mount) -> dict[str, Any]:
    fields = dict(vars(mount))
    del fields["options"]
    fields["super_flags"] = set(fields["super_flags"])
    return fields


@given(st.lists(st.text(), max_size=6))
def test_any_text_is_taken(options: list[str]) -> None:
    parse(*options)


def test_corpus_data_has_no_flags() -> None:
    """In configs that engines wrote, what is left as data are parameters of file systems."""
    seen: set[str] = set()
    for path in sorted((Path(__file__).parent / "corpus").glob("*.json")):
        for mount in json.loads(path.read_text()).get("mounts", []):
            seen |= {entry.partition("=")[0] for entry in parse(*mount.get("options", [])).data}
    assert seen <= {"mode", "size", "newinstance", "ptmxmode", "gid", "uid", "nr_inodes"}
    assert {"mode", "size"} <= seen
