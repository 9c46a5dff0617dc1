"""Names that others chose, of threads and of cgroups, in what the kernel says: they end no line and are no process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from pyoci.cgroups import hierarchies, manager, paths, processes, removal
from pyoci.undo import Undo

pytestmark = [pytest.mark.root, pytest.mark.also_guest]

InV2 = Callable[[Callable[[dict[str, str]], None]], None]
# A process with a thread that has the given name, and the number of the thread.
THREAD = """
import ctypes, os, sys, threading, time
def body():
    ctypes.CDLL(None).prctl(15, os.fsencode(sys.argv[1]))  # PR_SET_NAME
    print(threading.get_native_id(), flush=True)
    time.sleep(60)
threading.Thread(target=body).start()
"""
ODD = ["a\rb", "a\x0bb", "a\x1eb", "a\x85b", "a\u2028b", "a b", "a\\b", "a\\012b", "a:b", "\udcff\udcfe"]


@pytest.mark.parametrize(
    "called", ["\rTgid:\t{}", "\x0bTgid: {}", "\u2028Tgid:{}", "\\nTgid:{}", "Tgid:\t{}", "usual"], ids=ascii
)
def test_a_thread_whose_name_is_a_line_of_its_status(called: str, in_v2: InV2, sleeper: Callable[[], int]) -> None:
    """What is killed is the thread's process. The one that its name names belongs to somebody else."""

    def body(planned: dict[str, str]) -> None:
        other = sleeper()
        assert len(os.fsencode(called.format(other))) < 16 or called == "usual"  # the kernel keeps 15 bytes
        threads = {"": f"{planned['']}/threads"}
        os.makedirs(threads[""])
        command = [sys.executable, "-c", THREAD, called.format(other)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        thread = process.stdout.readline().strip()
        with open(f"/proc/{thread}/status", errors="replace") as status:  # a trap for text mode, it is
            assert (f"Tgid:\t{other}\n" in status.readlines()) == called.startswith("\r")
        for file, text in (
            (f"{planned['']}/cgroup.procs", str(process.pid)),
            (f"{threads['']}/cgroup.type", "threaded"),
            (f"{threads['']}/cgroup.threads", thread),
        ):
            with open(file, "w") as opened:
                opened.write(text)
        assert processes.pids(threads) == [process.pid]
        processes.kill(threads)
        assert process.wait(10) == -signal.SIGKILL
        assert os.waitpid(other, os.WNOHANG) == (0, 0)
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)
        assert removal.wait_empty(planned, 5)
        removal.remove(planned)

    in_v2(body)


@pytest.mark.parametrize("odd", ODD, ids=ascii)
def test_a_cgroup_with_any_name(planned: dict[str, str], odd: str) -> None:
    """Its processes are found, killed and removed with those above it."""
    manager.create(planned, Undo())
    below = {controller: f"{path}/{odd}/{odd}" for controller, path in planned.items()}
    manager.create(below, Undo())
    process = subprocess.Popen(["sleep", "60"])
    processes.join(below, process.pid)
    assert processes.pids(planned) == processes.pids(below) == [process.pid]
    processes.kill(planned)
    assert process.wait(10) == -signal.SIGKILL
    assert removal.wait_empty(planned, 5)
    removal.remove(planned)


@pytest.mark.parametrize("odd", ODD, ids=ascii)
def test_the_runtime_s_own_cgroup(planned: dict[str, str], name: str, odd: str) -> None:
    """Where a relative cgroupsPath begins."""
    own = {controller: f"{path}/{odd}" for controller, path in planned.items()}
    manager.create(own, Undo())
    child = os.fork()
    if child == 0:
        status = 1
        try:
            processes.join(own, os.getpid())
            found = hierarchies.detect()
            expected = {controller: f"{path}/inner" for controller, path in own.items()}
            if found.version == "v2":
                expected = {controller: f"{path}/inner" for controller, path in planned.items()}
            status = 0 if paths.plan(found, "inner", "id") == expected else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    removal.remove(planned)
