"""Run a command and stop it at one of its system calls: to look, to send it a signal, or to make the call fail.

A program of its own, because it waits for every process there is: python3 tracer.py REQUEST COMMAND... (ptrace(2)).

REQUEST is one JSON object:
  log     file for the answer, {"status": wait status of the command, "calls": [names], "acted": bool}
  inside  false: system calls of the command itself (the runtime); true: those of the processes it makes
  calls   the names that count, null for every one that has a name below
  begin   nothing counts before the first call with one of these names; [] for the command's start
  at      act at the AT-th call that counts, the first is 0; null: only record
  signal  send this signal once the call is done, or 0
  early   the same at the entry of the call, before it is done
  errno   the call is not made and fails with this error, or 0
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import signal
import struct
import sys
from typing import Any

_TABLE = """
0 read  1 write  2 open  3 close  7 poll  16 ioctl  18 pwrite64  33 dup2  46 sendmsg  47 recvmsg  56 clone
57 fork  58 vfork  59 execve  61 wait4  72 fcntl  80 chdir  81 fchdir  82 rename  83 mkdir  84 rmdir  87 unlink
88 symlink  91 fchmod  93 fchown  95 umask  105 setuid  106 setgid  112 setsid  116 setgroups  117 setresuid
119 setresgid  126 capset  133 mknod  155 pivot_root  157 prctl  161 chroot  165 mount  166 umount2
170 sethostname  171 setdomainname  217 getdents64  247 waitid  250 keyctl  257 openat  258 mkdirat  259 mknodat
260 fchownat  263 unlinkat  264 renameat  265 linkat  266 symlinkat  268 fchmodat  272 unshare  292 dup3
293 pipe2  302 prlimit64  308 setns  316 renameat2  317 seccomp  321 bpf  424 pidfd_send_signal  428 open_tree
429 move_mount  430 fsopen  431 fsconfig  432 fsmount  434 pidfd_open  435 clone3  436 close_range  437 openat2
442 mount_setattr
"""
_words = _TABLE.split()
NAMES = dict(zip(map(int, _words[::2]), _words[1::2], strict=True))
SUPPORTED = platform.machine() == "x86_64"  # the numbers and the registers below

_TRACEME, _POKEUSER, _CONT, _DETACH, _SYSCALL = 0, 6, 7, 17, 24
_SETOPTIONS, _EVENT_MESSAGE, _SYSCALL_INFO = 0x4200, 0x4201, 0x420E
_SYSGOOD, _FORK, _VFORK, _CLONE, _EXEC = 1, 2, 4, 8, 0x10
_EVENT_FORK, _EVENT_VFORK, _EVENT_CLONE = 1, 2, 3
_ORIG_RAX, _RAX = 15 * 8, 10 * 8
_ENTRY, _EXIT = 1, 2
_WALL = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_libc.ptrace.restype = ctypes.c_long


def ptrace(request: int, pid: int, address: int = 0, data: int = 0) -> int:
    """ptrace(2). A tracee that has been killed meanwhile is no error: waitpid(2) will tell."""
    result: int = _libc.ptrace(request, pid, address, data)
    if result < 0 and ctypes.get_errno() != 3:
        raise OSError(ctypes.get_errno(), f"ptrace({request:#x}, {pid})")
    return result


class Tracer:
    def __init__(self, request: dict[str, Any], command: list[str]) -> None:
        self.request = request
        self.begun = not request["begin"]
        self.calls: list[str] = []
        self.acted = False
        self.pending: dict[int, int] = {}  # pid -> what to do at the exit of its call
        self.known: set[int] = set()
        self.born: set[int] = set()  # made, and perhaps not known yet
        self.main = os.fork()
        if self.main == 0:
            ptrace(_TRACEME, 0)
            os.kill(os.getpid(), signal.SIGSTOP)
            os.execv(command[0], command)

    def run(self) -> int:
        """Until the command ends; its wait status. What it leaves behind goes on untraced when we exit."""
        os.waitpid(self.main, _WALL)
        follow = _FORK | _VFORK | _CLONE if self.request["inside"] else 0
        ptrace(_SETOPTIONS, self.main, 0, _SYSGOOD | _EXEC | follow)
        self.known.add(self.main)
        ptrace(_SYSCALL, self.main)
        while True:
            pid, status = os.waitpid(-1, _WALL)
            if not os.WIFSTOPPED(status):
                if pid == self.main:
                    self.release_newborn()
                    return status
                continue
            self.stopped(pid, os.WSTOPSIG(status), status >> 16)

    def release_newborn(self) -> None:
        """A process starts with a SIGSTOP for us. One that nobody took back would stop it for ever once we are gone."""
        for pid in self.born - self.known:
            try:
                _, status = os.waitpid(pid, _WALL)
            except ChildProcessError:
                continue
            if os.WIFSTOPPED(status):
                ptrace(_DETACH, pid)

    def stopped(self, pid: int, number: int, event: int) -> None:
        deliver = 0
        if number == signal.SIGTRAP | 0x80:
            self.at_call(pid)
        elif pid not in self.known:  # the stop in which a new process starts
            self.known.add(pid)
        elif not event:
            deliver = number
        elif event in (_EVENT_FORK, _EVENT_VFORK, _EVENT_CLONE):
            message = ctypes.c_ulong()
            if ptrace(_EVENT_MESSAGE, pid, 0, ctypes.addressof(message)) == 0:
                self.born.add(message.value)
        # Nothing is looked at any more once it has acted: each stop less makes the rest quicker.
        ptrace(_SYSCALL if not self.acted or pid in self.pending else _CONT, pid, 0, deliver)

    def at_call(self, pid: int) -> None:
        info = ctypes.create_string_buffer(128)
        if ptrace(_SYSCALL_INFO, pid, 128, ctypes.addressof(info)) <= 0:
            return
        if info.raw[0] == _ENTRY:
            if (pid != self.main) == self.request["inside"]:
                self.entered(pid, NAMES.get(struct.unpack_from("<Q", info.raw, 24)[0], ""))
        elif pid in self.pending:
            errno = self.pending.pop(pid)
            if errno:
                ptrace(_POKEUSER, pid, _RAX, -errno)
            else:
                os.kill(pid, self.request["signal"])

    def entered(self, pid: int, name: str) -> None:
        request = self.request
        self.begun = self.begun or name in request["begin"]
        if not self.begun or not name or (request["calls"] is not None and name not in request["calls"]):
            return
        self.calls.append(name)
        if self.acted or request["at"] != len(self.calls) - 1:
            return
        self.acted = True
        if request["errno"]:
            ptrace(_POKEUSER, pid, _ORIG_RAX, -1)
            self.pending[pid] = request["errno"]
        elif request["early"]:
            os.kill(pid, request["signal"])
        else:
            self.pending[pid] = 0


def main() -> None:
    request = json.loads(sys.argv[1])
    tracer = Tracer(request, sys.argv[2:])
    status = tracer.run()
    with open(request["log"], "w") as file:
        json.dump({"status": status, "calls": tracer.calls, "acted": tracer.acted}, file)


if __name__ == "__main__":
    main()
