"""Whether a filter allows what exec does under it: told as the kernel would decide, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.config.node import Node
from pyoci.config.seccomp import Seccomp, read_seccomp
from pyoci.seccomp.allowance import CLONE_FLAGS, NEEDED, allows_exec
from tests.config.corpus import CONFIGS

DEFAULT = Path(__file__).parent / "profiles/default.json"
ACTIONS = ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_TRACE"]
OPS = ["SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ"]


def profile(default: str, *rules: dict[str, Any]) -> Seccomp:
    found = read_seccomp(Node({"defaultAction": default, "syscalls": list(rules)}, "/linux/seccomp"))
    assert found is not None
    return found


def rule(*names: str, action: str = "SCMP_ACT_ALLOW", args: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {"names": list(names), "action": action, "args": args or []}


def test_the_default_profile() -> None:
    """Docker's and podman's: the everyday case."""
    assert allows_exec(read(json.loads(DEFAULT.read_text())))


def read(raw: dict[str, Any]) -> Seccomp:
    found = read_seccomp(Node(raw, "/linux/seccomp"))
    assert found is not None
    return found


def test_the_engines_profiles() -> None:
    found = [raw["linux"]["seccomp"] for raw in CONFIGS.values() if raw.get("linux", {}).get("seccomp")]
    assert all(allows_exec(read(raw)) for raw in found)


def test_all_or_nothing() -> None:
    assert allows_exec(profile("SCMP_ACT_ALLOW"))
    assert not allows_exec(profile("SCMP_ACT_ERRNO"))
    assert allows_exec(profile("SCMP_ACT_KILL", rule(*NEEDED, "clone")))
    assert allows_exec(profile("SCMP_ACT_ALLOW", rule("acct", action="SCMP_ACT_KILL")))


@given(st.sampled_from([*NEEDED, "clone"]), st.sampled_from(ACTIONS))
def test_one_that_is_missing_or_refused(name: str, action: str) -> None:
    others = [one for one in (*NEEDED, "clone") if one != name]
    assert not allows_exec(profile("SCMP_ACT_ERRNO", rule(*others)))
    allowed = action in ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG")
    assert allows_exec(profile("SCMP_ACT_ALLOW", rule(name, action=action))) is allowed
    # Beside a rule that allows it: in doubt not.
    assert allows_exec(profile("SCMP_ACT_KILL", rule(*others, name), rule(name, action=action))) is allowed


@given(st.sampled_from(OPS), st.integers(0, 2**17), st.sampled_from([0, CLONE_FLAGS, 0x1000]))
def test_conditions_of_clone(op: str, value: int, two: int) -> None:
    """As the kernel compares the flags that exec gives it."""
    condition = {"index": 0, "value": value, "valueTwo": two, "op": op}
    holds = {
        "SCMP_CMP_NE": CLONE_FLAGS != value,
        "SCMP_CMP_LT": CLONE_FLAGS < value,
        "SCMP_CMP_LE": CLONE_FLAGS <= value,
        "SCMP_CMP_EQ": CLONE_FLAGS == value,
        "SCMP_CMP_GE": CLONE_FLAGS >= value,
        "SCMP_CMP_GT": CLONE_FLAGS > value,
        "SCMP_CMP_MASKED_EQ": CLONE_FLAGS & value == two,
    }[op]
    assert allows_exec(profile("SCMP_ACT_KILL", rule(*NEEDED), rule("clone", args=[condition]))) is holds
    refused = rule("clone", action="SCMP_ACT_ERRNO", args=[condition])
    assert allows_exec(profile("SCMP_ACT_ALLOW", refused)) is not holds


@pytest.mark.parametrize("name", ["execve", "capset"])
def test_a_condition_on_another_call_is_a_doubt(name: str) -> None:
    others = [one for one in (*NEEDED, "clone") if one != name]
    conditional = rule(name, args=[{"index": 1, "value": 0, "op": "SCMP_CMP_GE"}])
    assert not allows_exec(profile("SCMP_ACT_ERRNO", rule(*others), conditional))
    assert not allows_exec(profile("SCMP_ACT_KILL", rule(*NEEDED), rule("clone", args=conditional["args"])))
