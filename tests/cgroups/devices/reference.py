"""What device rules mean, written down a second time and without regard for speed, and who asks.

Points are single devices; rules and accesses in the tests use few numbers, so that they meet.
"""

from __future__ import annotations

import struct

from hypothesis import strategies as st

from pyoci.config.resources import DeviceRule

NUMBERS = (-1, 0, 1, 5, 4294967295)
ACCESSES = ("m", "r", "w", "rw", "rm", "wm", "rwm")

rules = st.builds(
    DeviceRule,
    pointer=st.just("/linux/resources/devices/0"),
    allow=st.booleans(),
    type=st.sampled_from("aabc"),
    major=st.sampled_from(NUMBERS),
    minor=st.sampled_from(NUMBERS),
    access=st.sampled_from((*ACCESSES, "rwm", "rwm")),
)
everything = st.builds(
    DeviceRule, pointer=st.just("/linux/resources/devices/0"), allow=st.booleans(), access=st.just("rwm")
)
rule_lists = st.lists(st.one_of(rules, rules, rules, rules, everything), max_size=12).map(tuple)
asked = st.tuples(
    st.sampled_from("bc"),
    st.sampled_from((0, 1, 5, 7, 4294967295)),
    st.sampled_from((0, 1, 5, 7, 4294967295)),
    st.sampled_from(ACCESSES),
)


class Hole(Exception):
    """The rule would make a hole in an exception that stays."""


Key = tuple[str, int, int]


def covers(wide: Key, narrow: Key) -> bool:
    return all(w in (-1, n) for w, n in zip(wide, narrow, strict=True))


def meet(one: Key, other: Key) -> bool:
    return all(-1 in (a, b) or a == b for a, b in zip(one, other, strict=True))


class Reference:
    """The state of a v1 devices cgroup: what holds, and what does not, by type and numbers."""

    def __init__(self, rule_list: tuple[DeviceRule, ...] = ()) -> None:
        self.allow = False
        self.exceptions: dict[Key, set[str]] = {}
        for rule in rule_list:
            if rule.type == "a" and (rule.major, rule.minor) == (-1, -1) and set(rule.access) == set("rwm"):
                self.allow, self.exceptions = rule.allow, {}
            else:
                for kind in "cb" if rule.type == "a" else rule.type:
                    self.apply(rule.allow, (kind, rule.major, rule.minor), set(rule.access))

    def apply(self, allow: bool, key: Key, letters: set[str]) -> None:
        if allow != self.allow:
            self.exceptions.setdefault(key, set()).update(letters)
            return
        for other, denied in list(self.exceptions.items()):
            if not meet(other, key) or not denied & letters or other == key:
                continue
            if covers(other, key) or (not allow and not covers(key, other)):
                raise Hole
            if not allow:
                denied -= letters
        if key in self.exceptions:
            self.exceptions[key] -= letters
        self.exceptions = {key: letters for key, letters in self.exceptions.items() if letters}

    def write(self, file: str, text: str) -> None:
        """devices.allow or devices.deny as the kernel takes it: no check of what it cannot express."""
        allow = file == "devices.allow"
        if text == "a":
            self.allow, self.exceptions = allow, {}
            return
        kind, numbers, access = text.split(" ")
        major, minor = (-1 if number == "*" else int(number) for number in numbers.split(":"))
        if allow != self.allow:
            self.exceptions.setdefault((kind, major, minor), set()).update(access)
        elif (kind, major, minor) in self.exceptions:
            self.exceptions[kind, major, minor] -= set(access)

    def decides(self, kind: str, major: int, minor: int, access: str) -> bool:
        """One exception must have all of the access to allow it, any of it to deny it."""
        matching = [letters for key, letters in self.exceptions.items() if covers(key, (kind, major, minor))]
        if self.allow:
            return not any(letters & set(access) for letters in matching)
        return any(letters >= set(access) for letters in matching)


def last_word(rule_list: tuple[DeviceRule, ...], kind: str, major: int, minor: int, letter: str) -> bool:
    """What the last rule that speaks of a single access says; without one it is denied."""
    for rule in reversed(rule_list):
        if (
            rule.type in ("a", kind)
            and rule.major in (-1, major)
            and rule.minor in (-1, minor)
            and letter in rule.access
        ):
            return rule.allow
    return False


def run(program: bytes, kind: str, major: int, minor: int, access: str) -> bool:
    """Interpret a BPF program of the few instructions that a device filter needs; its verdict."""
    bits = sum({"m": 1, "r": 2, "w": 4}[letter] for letter in access)
    context = struct.pack("=III", bits << 16 | {"b": 1, "c": 2}[kind], major, minor)
    registers: dict[int, int] = {}
    at = 0
    for _ in range(len(program)):
        operation, names, offset, value = struct.unpack_from("=BBhI", program, 8 * at)
        target, source = names & 15, names >> 4
        at += 1
        if operation == 0x61:
            assert source == 1 and 1 not in registers, "the context pointer is gone"
            registers[target] = struct.unpack_from("=I", context, offset)[0]
        elif operation == 0xBC:
            registers[target] = registers[source]
        elif operation == 0xB7:
            registers[target] = value
        elif operation == 0x54:
            registers[target] &= value
        elif operation == 0x74:
            registers[target] >>= value
        elif operation == 0x95:
            return {0: False, 1: True}[registers[0]]
        else:
            other = registers[source] if operation == 0x5E else value
            taken = {0x16: registers[target] == other}.get(operation, registers[target] != other)
            assert operation in (0x16, 0x56, 0x5E), f"unknown instruction {operation:#x}"
            at += offset if taken else 0
    raise AssertionError("the program does not end")
