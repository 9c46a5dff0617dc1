"""The first process of a suite program's private namespaces: prepares the view, runs it, reports what it left.

Started by confine.py under `unshare` as `python3 -I supervisor.py REQUEST`, a JSON object:
{"argv": [...], "cwd": dir, "environment": {...}, "seconds": limit, "cgroups": "host" | "v2", "report": descriptor}.
Being pid 1 of a pid namespace it reaps whatever is orphaned, and when it ends the kernel kills the rest: no process
can outlive its program. On `report` goes {"status": exit status or minus signal, "timed_out": bool,
"processes": [command lines still alive], "states": [containers that still have a state directory]}.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

_MS_NOSUID, _MS_NODEV = 2, 4
_MNT_DETACH = 2
_CLONE_NEWCGROUP = 0x02000000
_OWN = "pyoci-conformance"  # confine.py knows that name
_GRACE = 1.0  # seconds a killed container's processes get to disappear


def _call(name: str, *arguments: Any) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), f"{name}{arguments}: {os.strerror(ctypes.get_errno())}")


def _mount(kind: str, target: str, data: str = "") -> None:
    flags = 0 if kind == "tmpfs" else _MS_NOSUID
    _call("mount", kind.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode())


def prepare(cgroups: str) -> None:
    """Own /proc (the pid namespace is new), empty /run (state directories, TMPDIR), cgroups as asked.

    The tmpfs on /run vanishes with the mount namespace, whatever programs that make containers without a mount
    namespace have left mounted in it: nothing is ever removed recursively.
    """
    _mount("proc", "/proc")
    _mount("tmpfs", "/run", "mode=755")
    os.mkdir("/run/tmp", 0o1777)
    os.chmod("/run/tmp", 0o1777)  # noqa: S103 - as /tmp has it
    # linux_cgroups_network takes the second interface that it finds, and a new network namespace has only one.
    subprocess.run(["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1"], check=False)
    if cgroups == "v2":
        _version_2_only()


def _version_2_only() -> None:
    """/sys/fs/cgroup becomes a cgroup2 mount whose root is a new, empty cgroup, by a cgroup namespace.

    Its root must hold no process, or it could not hand controllers on to its children (cgroups(7), "no internal
    processes"; crun waits 2 seconds for that to change): this process lives in a leaf. confine.py removes it all.
    """
    top = "/sys/fs/cgroup/unified" if os.path.isdir("/sys/fs/cgroup/unified") else "/sys/fs/cgroup"
    own = f"{top}/{_OWN}.{os.readlink('/proc/self/ns/pid')[5:-1]}"
    with open(f"{top}/cgroup.controllers") as file:
        controllers = file.read().split()
    for controller in controllers:
        try:
            with open(f"{top}/cgroup.subtree_control", "w") as file:
                file.write(f"+{controller}")
        except OSError:
            pass  # a lane's cgroup may hold processes: it has none to hand on
    os.makedirs(f"{own}/init")
    _join(own)
    _call("unshare", _CLONE_NEWCGROUP)
    _join(f"{own}/init")
    _call("umount2", b"/sys/fs/cgroup", _MNT_DETACH)
    _mount("cgroup2", "/sys/fs/cgroup")


def _join(cgroup: str) -> None:
    with open(f"{cgroup}/cgroup.procs", "w") as file:
        file.write("0")


def _others() -> list[tuple[int, str]]:
    """Every process of the namespace but this one: pid and command line; zombies are not counted."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                line = file.read().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
            with open(f"/proc/{name}/stat", "rb") as file:
                zombie = file.read().rpartition(b")")[2].split()[0] == b"Z"
        except OSError:
            continue
        if not zombie:
            found.append((int(name), line or f"[{name}]"))
    return found


def _states() -> list[str]:
    """Containers that still have a state directory below /run."""
    return sorted(
        f"{root}/{entry}"
        for root in os.listdir("/run")
        if root != "tmp" and os.path.isdir(f"/run/{root}")
        for entry in os.listdir(f"/run/{root}")
        if os.path.isdir(f"/run/{root}/{entry}") and not entry.startswith(("@", "."))
    )


def _reap(wanted: int, deadline: float) -> int | None:
    """Reaps everything until `wanted` has ended; its status as Popen.returncode has it, None if time ran out."""
    while time.monotonic() < deadline:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == wanted:
            return os.waitstatus_to_exitcode(status)
        if pid == 0:
            signal.sigtimedwait([signal.SIGCHLD], min(0.2, max(0.0, deadline - time.monotonic())))
    return None


def _drain(seconds: float) -> None:
    """Reaps for `seconds`, or until nothing is left."""
    deadline = time.monotonic() + seconds
    while _others() and time.monotonic() < deadline:
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            pass
        signal.sigtimedwait([signal.SIGCHLD], 0.02)


def main() -> int:
    """Runs one program of the suite as the JSON in the first argument says, and cleans up after it. Returns 0."""
    request = json.loads(sys.argv[1])
    prepare(request["cgroups"])
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
        os.close(request["report"])
        os.chdir(request["cwd"])
        environment = {**request["environment"], "TMPDIR": "/run/tmp"}
        os.execve(request["argv"][0], request["argv"], environment)  # noqa: S606 - no shell is what is wanted
    status = _reap(child, time.monotonic() + request["seconds"])
    if status is None:
        os.kill(child, signal.SIGKILL)
    _drain(_GRACE)
    report = {
        "status": status if status is not None else -signal.SIGKILL,
        "timed_out": status is None,
        "processes": [line for _, line in _others()],
        "states": _states(),
    }
    os.write(request["report"], json.dumps(report).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
