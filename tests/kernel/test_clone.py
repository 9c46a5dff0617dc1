"""The fork of a running interpreter, on every Python of this machine: nothing hangs, nothing aborts.

Each interpreter runs the code below by itself, with no more than the package's directory.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent.parent
FORKS = 200
LIMIT = 120  # seconds: only a hang takes so long

INTERPRETERS = sorted(
    {
        os.path.realpath(path)
        for pattern in (Path("/usr/bin"), *Path("~/.pyenv/versions").expanduser().glob("*/bin"), Path("/usr/local/bin"))
        for path in pattern.glob("python3.[0-9]*")
        if path.name[8:].isdigit() and int(path.name[8:]) >= 11
    }
    | {os.path.realpath(sys.executable)}
)

# kernel/process.py needs python-prctl, which not every interpreter has: clone.py and libc.py do without.
START = f"""
import os, sys
sys.path.insert(0, {str(PROJECT)!r})
from pyoci.kernel import clone, libc
def finish(pid, pidfd):
    status = os.waitpid(pid, 0)[1]
    os.close(pidfd)
    return status
"""

CODE = """
import gc, json, threading
def body():
    table = {number: str(number) for number in range(1000)}  # allocates, collects nothing
    assert len(os.listdir("/proc/self/task")) == 1
    assert not gc.isenabled() and threading.active_count() == 1
    json.loads(json.dumps(table))
    import string, decimal  # a child that still imports
    os._exit(7)
"""


def run(python: str, code: str) -> str:
    done = subprocess.run([python, "-I", "-S", "-B", "-c", START + code], capture_output=True, text=True, timeout=LIMIT)
    assert (done.returncode, done.stderr) == (0, ""), f"{python}: {done}"
    return done.stdout


@pytest.fixture(params=INTERPRETERS, ids=lambda path: path.replace("/", "_").strip("_"))
def python(request: pytest.FixtureRequest) -> str:
    path: str = request.param
    return path


def test_forks(python: str) -> None:
    """Each child runs code, imports, allocates, and exits with its own status."""
    code = f"{CODE}\nfor _ in range({FORKS}):\n    assert os.waitstatus_to_exitcode(finish(*clone.clone(body))) == 7\n"
    assert run(python, code + "print('done')") == "done\n"


def test_forks_of_forks(python: str) -> None:
    """As stage 1 makes stage 2."""
    code = f"""{CODE}
def middle():
    os._exit(os.waitstatus_to_exitcode(finish(*clone.clone(body))))
for _ in range({FORKS // 4}):
    assert os.waitstatus_to_exitcode(finish(*clone.clone(middle))) == 7
print("done")
"""
    assert run(python, code) == "done\n"


def test_an_exception_ends_the_child(python: str) -> None:
    """Status 1, and nothing of the parent's that was to happen at exit."""
    code = """
import atexit
atexit.register(lambda: print("the parent's", flush=True))
def body():
    raise ValueError
assert os.waitstatus_to_exitcode(finish(*clone.clone(body))) == 1
assert os.waitstatus_to_exitcode(finish(*clone.clone(lambda: None))) == 0
"""
    assert run(python, code) == "the parent's\n"


def test_a_failed_clone_changes_nothing(python: str) -> None:
    code = """
import gc
for _ in range(20):
    try:
        clone.clone(lambda: None, 0x40000000 << 20)  # no such flag
    except OSError as error:
        assert error.errno == 22 and error.__notes__[0].startswith("clone3("), error.__notes__
    else:
        raise AssertionError
    assert gc.isenabled()
import threading
thread = threading.Thread(target=lambda: None); thread.start(); thread.join()  # the fork lock is free
print(os.waitstatus_to_exitcode(finish(*clone.clone(lambda: None))))
"""
    assert run(python, code) == "0\n"


def test_a_second_thread_is_noticed(python: str) -> None:
    code = """
import threading
clone.assert_single_thread()
wait = threading.Event()
thread = threading.Thread(target=wait.wait); thread.start()
try:
    clone.assert_single_thread()
except AssertionError as error:
    print(error)
wait.set(); thread.join()
"""
    assert run(python, code) == "the runtime has 2 threads\n"


def test_the_pidfd_is_close_on_exec(python: str) -> None:
    code = """
import fcntl
pid, pidfd = clone.clone(lambda: None)
print(fcntl.fcntl(pidfd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC)
finish(pid, pidfd)
"""
    assert run(python, code) == "1\n"


def test_the_c_library_is_bound(python: str) -> None:
    """libc.py uses the C half of ctypes only, which has no promise of its own: results, errno, buffers, notes."""
    code = """
assert "ctypes" not in sys.modules
getpid = libc.syscall("getpid", 39 if libc.MACHINE == "x86_64" else 172)
assert getpid() == os.getpid()
access = libc.function("access", libc.c_char_p, libc.c_int)
assert access(b"/proc", 0) == 0
try:
    access(b"/missing", 4, path="/missing")
except FileNotFoundError as error:
    assert error.filename == "/missing" and error.__notes__ == ['access("/missing", 4)'], error.__notes__
else:
    raise AssertionError
memory = libc.buffer(8, b"ab")
assert memory.raw == b"ab" + bytes(6) and libc.addressof(memory) % 1 == 0
read = libc.function("read", libc.c_int, libc.c_void_p, libc.c_size_t)
reading, writing = os.pipe()
os.write(writing, b"xyz")
assert read(reading, libc.addressof(memory), 3) == 3 and memory.raw[:3] == b"xyz"
array = libc.pointers([b"one", b"two"], 1)
assert len(array) == 4 and array[1] == b"two" and array[2] is None
try:
    access("text", 0)
except Exception as error:
    assert type(error).__name__ == "ArgumentError"
assert "ctypes" not in sys.modules
print("done")
"""
    assert run(python, code) == "done\n"
