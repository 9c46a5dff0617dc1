"""The rules of process."""

from __future__ import annotations

import pytest

from pyoci import config
from pyoci.config.rules import rules
from tests.config.rules.cases import WITHOUT, Changes, Said, changed, found, no_user_namespace, spelled

PRIORITY = "scheduler.priority can only be specified for SchedFIFO or SchedRR policy"
GUESS = "did you mean 'RLIMIT_NOFILE'?"
DEADLINE = "scheduler runtime/deadline/period can only be specified for SchedDeadline policy"

# Changes to the valid config, and all that is said about the result
BROKEN: list[tuple[Changes, Said]] = [
    # cwd, args, env, user and the like
    ([("process.cwd", "")], [("/process/cwd", "Cwd property must not be empty")]),
    ([("process.cwd", "a/b")], [("/process/cwd", "Cwd must be an absolute path")]),
    ([("process.args", WITHOUT)], [("/process/args", "args must not be empty")]),
    ([("process.args", [])], [("/process/args", "args must not be empty")]),
    ([("process.env", ["FOO"])], [("/process/env", "invalid environment variable: missing '='")]),
    ([("process.env", ["=x"])], [("/process/env", "invalid environment variable: name cannot be empty")]),
    ([("process.env", [""])], [("/process/env", "invalid environment variable: missing '='")]),
    ([("process.user.umask", 512)], [("/process/user/umask", "~ must be between 0 and 511, not 512")]),
    (
        [("process.user.additionalGids", [0] * 65537)],
        [("/process/user/additionalGids", "~ must be at most 65536 groups, not 65537")],
    ),
    ([("process.oomScoreAdj", 1001)], [("/process/oomScoreAdj", "~ must be between -1000 and 1000, not 1001")]),
    ([("process.oomScoreAdj", -1001)], [("/process/oomScoreAdj", "~ must be between -1000 and 1000, not -1001")]),
    (
        [("process.terminal", True), ("process.consoleSize", {"height": 65536, "width": 70000})],
        [
            ("/process/consoleSize/height", "~ must be at most 65535, not 65536"),
            ("/process/consoleSize/width", "~ must be at most 65535, not 70000"),
        ],
    ),
    ([("process.selinuxLabel", "a\nb")], [("/process/selinuxLabel", "~ must not contain control characters")]),
    ([("process.apparmorProfile", "a\nb")], [("/process/apparmorProfile", "~ must not contain control characters")]),
    # rlimits
    (
        [("process.rlimits", [{"type": "RLIMIT_FOO", "soft": 1, "hard": 1}])],
        [("/process/rlimits/0/type", "wrong rlimit value: RLIMIT_FOO")],
    ),
    (
        [("process.rlimits", [{"type": "NOFILE", "soft": 1, "hard": 1}])],
        [("/process/rlimits/0/type", "wrong rlimit value: NOFILE")],
    ),
    (
        [("process.rlimits", [{"type": "RLIMIT_AS", "soft": n, "hard": 9} for n in (1, 2, 10)])],
        [
            ("/process/rlimits/1/type", "~ RLIMIT_AS is given twice"),
            ("/process/rlimits/2/type", "~ RLIMIT_AS is given twice"),
            ("/process/rlimits/2/soft", "~ the soft limit 10 is higher than the hard limit 9"),
        ],
    ),
    # scheduler, ioPriority, execCPUAffinity
    (
        [("process.scheduler", {"policy": "SCHED_BATCH", "nice": 20})],
        [("/process/scheduler/nice", "invalid scheduler.nice: 20 when scheduler.policy is SCHED_BATCH")],
    ),
    ([("process.scheduler", {"policy": "SCHED_OTHER", "priority": 1})], [("/process/scheduler/priority", PRIORITY)]),
    ([("process.scheduler", {"policy": "SCHED_FIFO", "runtime": 1})], [("/process/scheduler", DEADLINE)]),
    (
        [("process.ioPriority", {"class": "IOPRIO_CLASS_BE", "priority": 8})],
        [("/process/ioPriority/priority", "invalid ioPriority.Priority: 8")],
    ),
    (
        [("process.execCPUAffinity", {"initial": "3-1", "final": "all"})],
        [
            ("/process/execCPUAffinity/initial", "bad CPUAffinity.Initial: invalid range: 3-1"),
            (
                "/process/execCPUAffinity/final",
                'bad CPUAffinity.Final: strconv.ParseUint: parsing "all": invalid syntax',
            ),
        ],
    ),
    (
        [("process.execCPUAffinity", {"final": ","})],
        [("/process/execCPUAffinity/final", 'bad CPUAffinity.Final: no members found in set ","')],
    ),
]
ACCEPTED: list[Changes] = [
    [("process.user", {"uid": 65535, "gid": 65535, "additionalGids": [0, 65535], "umask": 511})],
    [*no_user_namespace(), ("process.user", {"uid": 2**32 - 2, "gid": 2**32 - 2})],
    [("process.consoleSize", {"height": 65536, "width": 1})],  # ignored without a terminal
    [("process.capabilities.bounding", ["CAP_UNKNOWN"])],  # a warning
    [("process.scheduler", {"policy": "SCHED_DEADLINE", "runtime": 1, "deadline": 2, "period": 3})],
    [("process.scheduler", {"policy": "SCHED_FIFO", "priority": 99, "nice": 30})],
    [("process.execCPUAffinity", {"initial": "0-3, 5,", "final": ""})],
]


@pytest.mark.parametrize(("changes", "said"), BROKEN)
def test_broken_rule(changes: Changes, said: Said) -> None:
    assert found(*changes) == spelled(said)


@pytest.mark.parametrize("changes", ACCEPTED)
def test_accepted(changes: Changes) -> None:
    assert found(*changes) == []


@pytest.mark.parametrize("key", ["uid", "gid", "additionalGids"])
def test_the_largest_number_is_no_id(key: str) -> None:
    """4294967295 means "no change" to setuid(2), so that the process would stay root."""
    value = 2**32 - 1
    change = ("process.user", {key: [value] if key == "additionalGids" else value})
    pointer = f"/process/user/{key}" + ("/0" if key == "additionalGids" else "")
    text = f"config.json#{pointer}: must be between 0 and 4294967294, not 4294967295"
    assert found(change, *no_user_namespace()) == [(pointer, text)]


def test_a_bare_name_is_never_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable of the runtime's own environment may be a secret of the host."""
    monkeypatch.setenv("FOO", "secret")
    error = next(rules.violations(config.read(changed(("process.env", ["FOO"])))))
    assert "FOO" in error.hint
    assert "secret" not in error.hint + error.message


@pytest.mark.parametrize(
    ("name", "hint"), [("RLIMIT_NOFILES", GUESS), ("NOFILE", GUESS), ("rlimit_nofiles", GUESS), ("RLIMIT_X", "see ")]
)
def test_an_unknown_limit_has_a_guess(name: str, hint: str) -> None:
    raw = changed(("process.rlimits", [{"type": name, "soft": 1, "hard": 1}]))
    (error,) = rules.violations(config.read(raw))
    assert error.message == f"wrong rlimit value: {name}" and error.hint.startswith(hint)
