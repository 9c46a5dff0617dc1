"""Who is in a cgroup; joining, signalling and freezing it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from pyoci.cgroups import manager, processes, removal
from pyoci.errors import StepError
from pyoci.kernel import textfile
from pyoci.kernel.process import pidfd_send_signal
from pyoci.undo import Undo
from tests.cgroups.conftest import limit_pids

pytestmark = [pytest.mark.root, pytest.mark.also_guest]

InV2 = Callable[[Callable[[dict[str, str]], None]], None]
THREAD = """
import threading, time
thread = threading.Thread(target=time.sleep, args=(60,))
thread.start()
print(thread.native_id, flush=True)
"""
FORK_BOMB = "import os\nwhile True:\n try:\n  os.fork()\n except OSError:\n  pass"


def content(path: str) -> str:
    with open(path) as file:
        return file.read().strip()


def state(pid: int) -> str:
    """R, S, T, Z ... of proc_pid_stat(5); "" if there is no such process."""
    try:
        return content(f"/proc/{pid}/stat").rpartition(") ")[2][:1]
    except FileNotFoundError:
        return ""


def freezer(planned: dict[str, str]) -> tuple[str, str]:
    return (planned["freezer"], "freezer.state") if "freezer" in planned else (planned[""], "cgroup.freeze")


def test_join_moves_in_every_hierarchy(planned: dict[str, str], name: str, sleeper: Callable[[], int]) -> None:
    process = sleeper()
    manager.create(planned, Undo())
    processes.join(planned, process)
    own = content(f"/proc/{process}/cgroup").splitlines()
    assert sum(line.endswith(f"/{name}") for line in own) == len(set(planned.values()))
    assert processes.pids(planned) == [process]
    processes.kill(planned)
    assert removal.wait_empty(planned, 5)
    removal.remove(planned)


def test_join_of_a_process_that_ended(planned: dict[str, str]) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    manager.create(planned, Undo())
    with pytest.raises(StepError) as caught:
        processes.join(planned, gone.pid)
    assert (caught.value.errno, caught.value.pointer) == (3, "/linux/cgroupsPath")
    assert f'cgroup.procs", "{gone.pid}")' in caught.value.call
    removal.remove(planned)


def test_a_child_joins_v1_by_itself(v1: dict[str, str], name: str) -> None:
    manager.create(v1, Undo())
    before = len(os.listdir("/proc/self/fd"))
    tasks = processes.open_tasks(v1)
    assert all(not os.get_inheritable(descriptor) for descriptor in tasks)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            processes.join_self(tasks)
            still_open = 0
            for descriptor in tasks:
                try:
                    os.fstat(descriptor)
                    still_open += 1
                except OSError:
                    pass
            os.write(writing, f"{still_open} {content('/proc/self/cgroup')}".encode())
        finally:
            os._exit(0)
    for descriptor in tasks:
        os.close(descriptor)
    os.close(writing)
    with open(reading) as file:
        open_there, _, own = file.read().partition(" ")
    os.waitpid(child, 0)
    assert open_there == "0" and len(os.listdir("/proc/self/fd")) == before
    joined = {line.split(":", 2)[1] for line in own.splitlines() if line.endswith(f":/{name}")}
    assert set(",".join(joined).split(",")) == set(v1)
    removal.remove(v1)


def test_pids_of_the_whole_tree(v1: dict[str, str], sleeper: Callable[[], int]) -> None:
    planned = {"freezer": v1["freezer"]}
    expected = []
    for below in ("", "/a", "/a/b", "/c"):
        os.mkdir(f"{planned['freezer']}{below}")
        expected.append(sleeper())
        processes.join({"freezer": f"{planned['freezer']}{below}"}, expected[-1])
    assert processes.pids(planned) == sorted(expected)
    processes.kill(planned)
    assert removal.wait_empty(planned, 5)
    removal.remove(planned)


def test_a_descendant_that_vanishes_is_passed_over(v1: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    planned = {"freezer": v1["freezer"]}
    for below in ("a/x", "b", "c"):
        os.makedirs(f"{planned['freezer']}/{below}")
    read = textfile.read

    def remove_first(name: str, directory: int) -> bytes:
        for path in ("a/x", "a", "b", "c"):
            if os.path.exists(f"{planned['freezer']}/{path}"):
                os.rmdir(f"{planned['freezer']}/{path}")
                if name != "cgroup.procs":
                    break
        return read(name, directory)

    with monkeypatch.context() as patch:
        patch.setattr(
            textfile,
            "read",
            lambda name, directory: (read if name == "cgroup.procs" else remove_first)(name, directory),
        )
        assert processes.pids(planned) == []
    removal.remove(planned)


def test_the_cgroup_itself_must_be_there(planned: dict[str, str]) -> None:
    with pytest.raises(FileNotFoundError):
        processes.pids(planned)
    assert not processes.is_frozen(planned)
    processes.kill(planned)
    processes.thaw(planned)
    assert removal.wait_empty(planned, 0)
    removal.remove(planned)


def test_threads_of_a_threaded_cgroup(in_v2: InV2) -> None:
    """cgroup.procs cannot be read there; who is killed is the process, once."""

    def body(planned: dict[str, str]) -> None:
        threads = {"": f"{planned['']}/threads"}
        os.makedirs(threads[""])
        process = subprocess.Popen([sys.executable, "-c", THREAD], stdout=subprocess.PIPE, text=True)
        assert process.stdout
        thread = process.stdout.readline().strip()
        with open(f"{planned['']}/cgroup.procs", "w") as file:
            file.write(str(process.pid))
        with open(f"{threads['']}/cgroup.type", "w") as file:
            file.write("threaded")
        with open(f"{threads['']}/cgroup.threads", "w") as file:
            file.write(thread)
        assert int(thread) != process.pid
        assert processes.pids(threads) == processes.pids(planned) == [process.pid]
        processes.kill(threads)
        assert process.wait() == -signal.SIGKILL
        assert removal.wait_empty(planned, 5)
        removal.remove(planned)

    in_v2(body)


def kill_a_fork_bomb(planned: dict[str, str]) -> None:
    """Nothing may escape by forking while the processes are signalled one after the other."""
    manager.create(planned, Undo())
    if "pids" in planned:
        limit_pids(planned, 60)
    program = f"import resource\nresource.setrlimit(resource.RLIMIT_NPROC, (4000, 4000))\ninput()\n{FORK_BOMB}"
    bomb = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE)
    processes.join(planned, bomb.pid)
    assert bomb.stdin
    bomb.stdin.write(b"\n")
    bomb.stdin.close()
    deadline = time.monotonic() + 5
    while len(processes.pids(planned)) < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    processes.kill(planned)
    assert bomb.wait() == -signal.SIGKILL
    assert removal.wait_empty(planned, 10)
    assert not processes.is_frozen(planned)
    removal.remove(planned)


def test_kill_through_cgroup_kill(planned: dict[str, str]) -> None:
    if "" not in planned:
        pytest.skip("this machine has no v2 hierarchy")
    kill_a_fork_bomb(planned)


def test_kill_without_a_cgroup() -> None:
    """A rootless container that could have none: there is nobody to kill, and `kill` goes on to its process."""
    processes.kill({})


def test_kill_by_freezing(v1: dict[str, str]) -> None:
    kill_a_fork_bomb(v1)


def test_nobody_can_fork_while_it_kills(
    v1: dict[str, str], sleeper: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fork bomb alone does not show it: a quick machine outruns one that goes on."""
    manager.create(v1, Undo())
    process = sleeper()
    processes.join(v1, process)
    path, file = freezer(v1)
    states = []
    send = pidfd_send_signal

    def look(pidfd: int, number: int) -> None:
        states.append(content(f"{path}/{file}"))
        send(pidfd, number)

    with monkeypatch.context() as patch:
        patch.setattr(processes, "pidfd_send_signal", look)
        processes.kill(v1)
    assert set(states) == {"FROZEN"}
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL
    removal.remove(v1)


def test_kill_of_a_paused_container(planned: dict[str, str], v1: dict[str, str], sleeper: Callable[[], int]) -> None:
    """SIGKILL has no effect in a frozen v1 cgroup until it is thawed, whoever sent it."""
    for some in (planned, v1):
        process = sleeper()
        manager.create(some, Undo())
        processes.join(some, process)
        processes._freeze(some, frozen=True)
        processes.kill(some)
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL
        removal.remove(some)


@pytest.mark.parametrize("place", ["pids", "pidfd_open", "pidfd_send_signal", "_freeze"])
def test_thawed_whatever_fails(
    v1: dict[str, str], sleeper: Callable[[], int], monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    manager.create(v1, Undo())
    process = sleeper()
    processes.join(v1, process)
    freeze = processes._freeze

    def failing(*arguments: object, **more: object) -> None:
        if place == "_freeze":
            freeze(*arguments, **more)  # type: ignore[arg-type]
            if not more["frozen"]:
                return
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(processes, place, failing)
        with pytest.raises(OSError, match="Input/output error"):
            processes.kill(v1)
    path, file = freezer(v1)
    assert content(f"{path}/{file}") == "THAWED"
    processes.kill(v1)
    assert removal.wait_empty(v1, 5)
    removal.remove(v1)


def test_a_number_used_anew_is_not_signalled(
    v1: dict[str, str], sleeper: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that the first look saw in the cgroup, and the second, when it is pinned, does not."""
    inside, outside = sleeper(), sleeper()
    manager.create(v1, Undo())
    processes.join(v1, inside)
    look = processes.pids
    first = True

    def stale(paths: dict[str, str]) -> list[int]:
        nonlocal first
        found, first = look(paths) + [outside] * first, False
        return found

    with monkeypatch.context() as patch:
        patch.setattr(processes, "pids", stale)
        processes.kill(v1)
    assert os.waitstatus_to_exitcode(os.waitpid(inside, 0)[1]) == -signal.SIGKILL
    assert state(outside) not in ("", "Z")
    removal.remove(v1)


def test_no_descriptor_is_left_open(planned: dict[str, str], sleeper: Callable[[], int]) -> None:
    before = os.listdir("/proc/self/fd")
    manager.create(planned, Undo())
    processes.join(planned, sleeper())
    processes.pids(planned)
    processes.is_frozen(planned)
    manager.oom_kills(planned)
    processes.kill(planned)
    removal.wait_empty(planned, 5)
    removal.remove(planned)
    assert os.listdir("/proc/self/fd") == before


def test_clone_into_cgroup_descriptor(planned: dict[str, str]) -> None:
    if "" not in planned:
        pytest.skip("this machine has no v2 hierarchy")
    manager.create(planned, Undo())
    descriptor = manager.open_v2(planned)
    assert os.readlink(f"/proc/self/fd/{descriptor}") == planned[""]
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)
    removal.remove(planned)
    with pytest.raises(StepError):
        manager.open_v2(planned)
