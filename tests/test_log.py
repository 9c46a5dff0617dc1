from __future__ import annotations

import fcntl
import json
import os
import re
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from errno import ENXIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.errors import ConfigError, Error
from pyoci.log import Log, printable, quote

ERROR = ConfigError("no such mount", pointer="/mounts/3", call="mount(2)", hint="install a kernel")


@pytest.fixture
def log() -> Iterator[Log]:
    made = Log()
    yield made
    if made._fd != 2:
        os.close(made._fd)


def objects(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_an_error_is_one_json_object(log: Log, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """podman unmarshals the whole file as one object; a warning on the way must not become a second one."""
    path = tmp_path / "log.json"
    log.configure(str(path), json=True, debug=False)
    log.warning("unknown capability CAP_NEW")
    log.warning("odd")
    log.error(ERROR)
    whole = json.loads(path.read_text())
    assert list(whole) == ["level", "msg", "time", "pointer", "call", "hint", "warning"]
    assert (whole["level"], whole["msg"], whole["pointer"]) == ("error", "no such mount", "/mounts/3")
    assert whole["warning"] == "unknown capability CAP_NEW; odd"
    assert capfd.readouterr().err == "no such mount\n  pointer: /mounts/3\n  call: mount(2)\n  hint: install a kernel\n"


def test_time_is_now_in_rfc_3339(log: Log, tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    log.configure(str(path), json=True, debug=False)
    log.error(ERROR)
    then = datetime.strptime(objects(path)[0]["time"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert abs((datetime.now(UTC) - then).total_seconds()) < 5


def test_warnings_come_out_when_the_command_went_well(log: Log, tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    log.configure(str(path), json=True, debug=False)
    log.warning("odd")
    assert path.read_text() == ""
    log.release()
    log.release()
    assert [(entry["level"], entry["msg"]) for entry in objects(path)] == [("warning", "odd")]


def test_the_file_is_appended_to(log: Log, tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_text('{"level":"info"}\n')
    log.configure(str(path), json=True, debug=False)
    log.error(ERROR)
    assert [entry["level"] for entry in objects(path)] == ["info", "error"]


def test_the_file_is_private_to_write_and_closed_on_exec(log: Log, tmp_path: Path) -> None:
    path = tmp_path / "log"
    before = os.umask(0)
    try:
        log.configure(str(path), json=False, debug=False)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert fcntl.fcntl(log._fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    assert fcntl.fcntl(log._fd, fcntl.F_GETFL) & os.O_APPEND


def test_the_descriptor_stays_out_of_the_way(log: Log, tmp_path: Path) -> None:
    """--preserve-fds 60: none of 3 to 62 may seem to be open because the log is there."""
    before = set(os.listdir("/proc/self/fd"))
    log.configure(str(tmp_path / "log"), json=False, debug=False, floor=63)
    assert log._fd >= 63
    assert fcntl.fcntl(log._fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    assert len(set(os.listdir("/proc/self/fd")) - before) == 1


def test_a_floor_beyond_the_limit_is_no_error(log: Log, tmp_path: Path) -> None:
    log.configure(str(tmp_path / "log"), json=False, debug=False, floor=2**30)
    log.error(ERROR)
    assert "no such mount" in (tmp_path / "log").read_text()


def test_text_on_stderr(log: Log, capfd: pytest.CaptureFixture[str]) -> None:
    log.configure("", json=False, debug=False)
    log.error(ERROR)
    first, *rest = capfd.readouterr().err.splitlines()
    assert re.fullmatch(r'time="\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ" level=error msg="no such mount"', first)
    assert rest == ["  pointer: /mounts/3", "  call: mount(2)", "  hint: install a kernel"]


def test_text_in_a_file_is_one_line(log: Log, tmp_path: Path) -> None:
    log.configure(str(tmp_path / "log"), json=False, debug=False)
    log.error(ERROR)
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert line.endswith('level=error msg="no such mount" pointer=/mounts/3 call="mount(2)" hint="install a kernel"')


def test_json_on_stderr_is_json_alone(log: Log, capfd: pytest.CaptureFixture[str]) -> None:
    log.configure("", json=True, debug=False)
    log.error(ERROR)
    assert json.loads(capfd.readouterr().err)["hint"] == "install a kernel"


def test_debug_lines_only_when_asked_for(log: Log, capfd: pytest.CaptureFixture[str]) -> None:
    log.debug("a")
    log.configure("", json=False, debug=True)
    log.debug("b")
    assert capfd.readouterr().err.split(" ", 1)[1] == "level=debug msg=b\n"


def test_a_step_is_a_line_of_debug(log: Log, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log.step("Mount", "/mounts/0", "mount proc on /proc")
    log.configure("", json=False, debug=True)
    log.step("Mount", "/mounts/0", "mount proc on /proc")
    log.step("StartSession", "", "start a session", side="container")
    said = [line.split(" ", 1)[1] for line in capfd.readouterr().err.splitlines()]
    assert said == [
        'level=debug msg="host: mount proc on /proc" step=Mount pointer=/mounts/0',
        'level=debug msg="container: start a session" step=StartSession',
    ]
    log.configure(str(tmp_path / "log"), json=True, debug=True)
    log.step("Mount", "/mounts/0", "mount")
    entry = json.loads((tmp_path / "log").read_text())
    assert (entry["level"], entry["msg"], entry["step"], entry["pointer"]) == (
        "debug",
        "host: mount",
        "Mount",
        "/mounts/0",
    )


def test_the_containers_process_tells_somebody_else(log: Log, capfd: pytest.CaptureFixture[str]) -> None:
    """Steps and other lines of --debug; nothing once it may not."""
    said: list[tuple[str, str, str, str]] = []
    log.side, log.relay = "stage 1", lambda *fields: said.append(fields)
    log.debug("not asked for")
    log.configure("", json=False, debug=True)
    log.step("Mount", "/mounts/0", "mount")
    log.debug("b")
    log.silence()
    log.step("Mount", "/mounts/1", "mount")
    assert said == [("stage 1", "Mount", "/mounts/0", "mount"), ("", "", "", "b")]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("json_log", [True, False])
def test_a_traceback_goes_to_the_log_if_there_is_one(
    log: Log, tmp_path: Path, capfd: pytest.CaptureFixture[str], json_log: bool
) -> None:
    log.traceback("not asked for\n")
    log.configure("", json=False, debug=True)
    log.traceback("a\n  b\x1b\n")
    assert capfd.readouterr().err == "a\n  b\\x1b\n"
    log.configure(str(tmp_path / "log"), json=json_log, debug=True)
    log.traceback("a\n  b\n")
    text = (tmp_path / "log").read_text()
    assert text.count("\n") == 1 and "a\\n  b" in text
    assert capfd.readouterr().err == ""


def test_a_full_disk_does_not_hide_the_error(log: Log, capfd: pytest.CaptureFixture[str]) -> None:
    log.configure("/dev/full", json=True, debug=False)
    log.error(Error("gone"))
    assert capfd.readouterr().err == "gone\n"


@given(st.text(st.characters(exclude_categories=[])))
def test_json_carries_any_text(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Bytes of argv that are not UTF-8 come as lone surrogates: no reader of the log may choke on them."""
    path = tmp_path_factory.mktemp("log") / "log.json"
    log = Log()
    log.configure(str(path), json=True, debug=False)
    log._write("error", text, [])
    os.close(log._fd)
    (line,) = path.read_bytes().splitlines()
    assert line.isascii()
    decoded = json.loads(line)["msg"]
    assert decoded == text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


@given(st.text(st.characters(exclude_categories=[])))
def test_a_logfmt_line_is_one_line_without_control_characters(text: str) -> None:
    assert quote(text).isprintable()
    assert all(part.isprintable() for part in printable(text).replace("\t", "").split("\n"))


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("", '""'),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("\a\b\f\n\r\t\v", '"\\a\\b\\f\\n\\r\\t\\v"'),
        ("\x00\x1b\x7f", '"\\x00\\x1b\\x7f"'),
        ("é€😀", '"é€😀"'),
        ("\x80\xad\u2028", '"\\u0080\\u00ad\\u2028"'),
        ("\U000e0001", '"\\U000e0001"'),
        (os.fsdecode(b"\xff"), '"\\xff"'),
    ],
)
def test_quotes_as_go_does(text: str, quoted: str) -> None:
    assert quote(text) == quoted


def test_on_a_terminal_a_line_is_short_and_coloured(log: Log) -> None:
    """As logrus writes it for runc; what could steer the terminal is made visible."""
    master, slave = os.openpty()
    try:
        log._fd = slave
        log.warning("odd \x1b]0;title\x07")
        log._begun -= 61
        log.error(Error("no such mount\n"))
        expected = b"\x1b[33mWARN\x1b[0m[0000] odd \\x1b]0;title\\x07\r\n\x1b[31mERRO\x1b[0m[0061] no such mount\r\n"
        said = b""
        while len(said) < len(expected):  # the line discipline hands on what it has when it likes
            said += os.read(master, 4096)
        assert said == expected
    finally:
        log._fd = 2
        os.close(master)
        os.close(slave)


def test_a_fifo_that_nobody_reads_is_an_error(log: Log, tmp_path: Path) -> None:
    """At once: an engine that has died is waited for by nobody."""
    os.mkfifo(tmp_path / "log")
    with pytest.raises(OSError, match="No such device or address") as caught:
        log.configure(str(tmp_path / "log"), json=False, debug=False)
    assert (caught.value.errno, log._fd) == (ENXIO, 2)


def test_a_fifo_with_a_reader(log: Log, tmp_path: Path) -> None:
    """Nothing is lost however much there is, as with any other file."""
    os.mkfifo(tmp_path / "log")
    reader = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK)
    log.configure(str(tmp_path / "log"), json=True, debug=True)
    assert os.get_blocking(log._fd)
    log.debug("word")
    assert json.loads(os.read(reader, 4096))["msg"] == "word"
    os.close(reader)
