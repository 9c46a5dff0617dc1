"""conformance/expected.py and results.py: a run is judged, kept and compared exactly."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance import build, expected, results, table
from conformance.confine import Outcome, of_the_suite

GOOD = 'why = "hardware"\nreason = "needs a disk at 8:0, which is not there"\n'


def outcome(stdout: str, status: int = 0, timed_out: bool = False) -> Outcome:
    return Outcome(status=status, timed_out=timed_out, seconds=1, stdout=stdout, stderr="last words\nexit status 1\n")


def judged(stdout: str, status: int = 0, program: str = "kill", timed_out: bool = False) -> results.Result:
    return results.judge(program, outcome(stdout, status, timed_out))


def entry(text: str) -> expected.Exception_:
    (only,) = expected.read(text)
    return only


def test_own_file_is_valid() -> None:
    """Every entry of conformance/expected.toml has a reason and names a program of the suite."""
    for item in expected.load(build.HERE / "expected.toml"):
        assert item.program in build.programs()


def test_suite_quotes_the_specification() -> None:
    """Who calls the suite wrong quotes what it is wrong about."""
    for item in expected.load(build.HERE / "expected.toml"):
        if item.why == "suite":
            assert '"' in item.reason or "`" in item.reason, item.program


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[a]\nwhy = "hardware"\nfailures = ["x"]', "no reason"),
        ('[a]\nwhy = "because"\nreason = "a reason that is long enough"\nfailures = ["x"]', "why must be"),
        (f"[a]\n{GOOD}", "nothing that fails"),
        (f'[a]\n{GOOD}failures = ["x"]\nfailure = ["y"]', "unknown key failure"),
    ],
)
def test_incomplete_entries_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        expected.read(text)


def test_entry_that_names_the_lane_wins() -> None:
    entries = expected.read(f'[[a]]\n{GOOD}failures = ["x"]\n[[a]]\n{GOOD}ended = "exit 1"\nlanes = ["guest"]')
    guest, host = expected.entry_for(entries, "a", "guest"), expected.entry_for(entries, "a", "host")
    assert guest is not None and guest.ended == "exit 1"
    assert host is not None and host.failures == ("x",)
    assert expected.entry_for(entries, "b", "host") is None


def test_clean_program_needs_no_entry() -> None:
    assert expected.compare(judged("1..1\nok 1 - a\n"), None) == []


@pytest.mark.parametrize(
    ("result", "line"),
    [
        (judged("1..2\nok 1 - a\nnot ok 2 - b\n"), "fails: b"),
        (judged("1..2\nok 1 - a\n"), "ended: 1 of 2 planned, expected: well; said: last words"),
        (judged("1..1\nok 1 - a\n", status=1), "ended: exit 1, expected: well; said: last words"),
        (judged("1..1\nok 1 - a\n", status=-11), "ended: signal 11, expected: well; said: last words"),
        (judged("", timed_out=True, status=-9), "ended: timed out, expected: well; said: last words"),
        (judged(""), "ended: no plan, expected: well; said: last words"),
        (judged("1..1\nok 1 # SKIP no v1\n"), "skipped everything"),
    ],
)
def test_unexpected_failures(result: results.Result, line: str) -> None:
    assert expected.compare(result, None) == [line]
    assert not result.clean


def test_expected_failure_that_passes_is_reported() -> None:
    """An entry that has become untrue is as wrong as a failure."""
    known = entry(f'[kill]\n{GOOD}failures = ["b"]')
    assert expected.compare(judged("1..2\nok 1 - a\nnot ok 2 - b\n"), known) == []
    assert expected.compare(judged("1..2\nok 1 - a\nok 2 - b\n"), known) == ["passes, though expected to fail: b"]
    assert expected.compare(judged("1..3\nnot ok 1 - a\nnot ok 2 - b\nok 3\n"), known) == ["fails: a"]


def test_last_words() -> None:
    """An error that was logged says more than what stands behind it."""
    logged = 'time="now" level=error msg="create failed"\n  hint: try again\nexit status 1\n'
    result = results.judge("kill", Outcome(status=1, timed_out=False, seconds=1, stdout="", stderr=logged))
    assert result.said == 'msg="create failed"'
    assert judged("", status=1).said == "last words"


def test_programs_that_speak_by_exit_status() -> None:
    """process_rlimits_fail prints nothing when all is well; any other program that prints nothing is not clean."""
    assert judged("", program="process_rlimits_fail").clean
    assert not judged("ok 1 - started\n", program="process_rlimits_fail").clean
    assert not judged("", program="prestart_fail").clean


def test_results_are_kept(tmp_path: Path) -> None:
    """What is loaded is what was saved; programs that did not run keep their earlier result."""
    first = [judged("1..1\nok 1 - a\n"), judged("1..1\nnot ok 1 - b\n", program="start")]
    results.save(tmp_path / "host/x.json", "x 1", first)
    again = judged("1..1\nok 1 - b\n", program="start")
    results.save(tmp_path / "host/x.json", "x 1", [again])
    assert results.load(tmp_path / "host/x.json") == ("x 1", [first[0], again])


def test_table_shows_who_is_behind(tmp_path: Path) -> None:
    """A program that a peer passes and pyoci does not is named."""
    good, bad = judged("1..2\nok 1\nok 2\n"), judged("1..2\nok 1\nnot ok 2 - b\n")
    default = judged("1..1\nok 1\n", program="default")
    results.save(tmp_path / "host/pyoci.json", "pyoci 1", [bad, default])
    results.save(tmp_path / "host/runc.json", "runc 2", [good, default])
    results.save(tmp_path / "host/old.json", "runc 3", [good])
    columns = table.columns(tmp_path)
    assert [heading for heading, _ in columns] == ["pyoci 1, host", "runc 2, host", "runc 3, host"]
    assert table.behind(columns) == ["kill: passed by runc 2, host"]
    page = table.render(columns, expected.read(f'[kill]\n{GOOD}failures = ["b"]'))
    assert "| kill | **1/2** | 2 | 2 |" in page
    assert "* **kill**: needs a disk at 8:0" in page
    assert "* kill: passed by runc 2, host" in page


@pytest.mark.parametrize(
    ("path", "theirs"),
    [
        ("/sys/fs/cgroup/pids/cgrouptest", True),
        ("/sys/fs/cgroup/unified/testdir/cgrouptest/container", True),
        ("/sys/fs/cgroup/0f6f5a5e-9a5a-4a86-8a08-2d6fd6a2a5b7", True),
        ("/sys/fs/cgroup/system.slice/runc-0f6f5a5e-9a5a-4a86-8a08-2d6fd6a2a5b7.scope", True),
        ("/sys/fs/cgroup/memory/process_api/4bee69c6f8b36ccc8227f2785105902a", False),
        ("/sys/fs/cgroup/pyoci-test", False),
    ],
)
def test_only_the_suites_cgroups_are_touched(path: str, theirs: bool) -> None:
    assert of_the_suite(path) is theirs
