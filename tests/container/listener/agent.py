"""A seccomp agent: takes listeners on a socket and answers what they are notified of (seccomp_unotify(2))."""

from __future__ import annotations

import array
import errno
import fcntl
import json
import os
import select
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.container.box import SOON, Box, until

NOTIFICATION = struct.Struct("=QIIiIQ6Q")  # struct seccomp_notif: id, pid, flags, then struct seccomp_data
RESPONSE = struct.Struct("=QqiI")  # id, value, error, flags
ADD_FD = struct.Struct("=QIIII")  # id, flags, the agent's number, the target's, its flags
RECEIVE, SEND, ADD = 0xC0502100, 0xC0182101, 0x40182103  # SECCOMP_IOCTL_NOTIF_*
CONTINUE = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
ADD_AND_SEND = 2  # SECCOMP_ADDFD_FLAG_SEND


GETPPID = 110  # on x86-64, a call that programs do not make by themselves
EXECVE = 59

Change = Callable[[dict[str, Any]], object]
Make = Callable[..., "Agent"]


@dataclass(frozen=True)
class Answer:
    """To one call: let it continue (all defaults), fail with `error`, return `value`, or return a file of `content`."""

    error: int = 0
    value: int | None = None
    content: bytes | None = None


@dataclass
class Agent:
    """One thread. `answers`: by the system call's number; what is not in it stays without one.

    `late`: descriptors are accepted, but calls are answered only after `go` has been set.
    """

    path: Path
    answers: dict[int, Answer] = field(default_factory=dict)
    late: bool = False
    states: list[dict[str, Any]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)  # what the descriptors that came are
    calls: list[tuple[int, int]] = field(default_factory=list)  # pid as the agent sees it, number
    pending: list[tuple[int, int]] = field(default_factory=list)  # listener and id of what has no answer yet
    go: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.bind(str(self.path))
        self.sock.listen()
        self.listeners: list[int] = []
        self.wake, self.waker = os.pipe()
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def took(self, count: int) -> bool:
        """Wait until that many listeners have come: start does not wait until the agent has looked at what it sent."""
        until(lambda: len(self.states) >= count, f"the agent has {count} listeners")
        return len(self.states) == count

    def close(self) -> None:
        os.write(self.waker, b"x")
        self.go.set()
        self.thread.join()
        for one in (self.wake, self.waker, *self.listeners):
            os.close(one)
        self.sock.close()
        self.path.unlink()

    def _serve(self) -> None:
        while True:
            poll = select.poll()
            for one in (self.sock.fileno(), self.wake, *self.listeners):
                poll.register(one, select.POLLIN)
            for descriptor, events in poll.poll():
                if descriptor == self.wake:
                    return
                if descriptor == self.sock.fileno():
                    self._accept()
                elif events & select.POLLIN:
                    self._answer(descriptor)
                else:  # nobody is left under this filter
                    self.listeners.remove(descriptor)
                    os.close(descriptor)

    def _accept(self) -> None:
        """One state and its descriptors; the connection has to end after it."""
        connection, _ = self.sock.accept()
        with connection:
            data, descriptors, _, _ = socket.recv_fds(connection, 65536, 8)
            while more := connection.recv(65536):
                data += more
        if not data:  # its process ended before there was a filter
            return
        for one in descriptors:
            self.names.append(os.readlink(f"/proc/self/fd/{one}"))
        self.listeners += descriptors
        self.states.append(json.loads(data))

    def _answer(self, listener: int) -> None:
        if self.late:
            self.go.wait()
        found = array.array("B", bytes(NOTIFICATION.size))
        try:
            fcntl.ioctl(listener, RECEIVE, found, True)
        except OSError as error:
            if error.errno == errno.ENOENT:  # the caller has died meanwhile
                return
            raise
        id, pid, _, number, *_ = NOTIFICATION.unpack(found.tobytes())
        self.calls.append((pid, number))
        if number in self.answers:
            self.reply(listener, id, self.answers[number])
        else:
            self.pending.append((listener, id))

    def reply(self, listener: int, id: int, answer: Answer) -> None:
        """Answer a call now."""
        if answer.content is not None:
            self._add(listener, id, answer.content)
        elif answer.error:
            fcntl.ioctl(listener, SEND, RESPONSE.pack(id, 0, -answer.error, 0))
        elif answer.value is not None:
            fcntl.ioctl(listener, SEND, RESPONSE.pack(id, answer.value, 0, 0))
        else:
            fcntl.ioctl(listener, SEND, RESPONSE.pack(id, 0, 0, CONTINUE))

    def _add(self, listener: int, id: int, content: bytes) -> None:
        """The call returns a new descriptor of a file of ours."""
        file = os.memfd_create("answer")
        os.pwrite(file, content, 0)
        fcntl.ioctl(listener, ADD, ADD_FD.pack(id, ADD_AND_SEND, file, 0, 0))
        os.close(file)


def filtered(box: Box, *names: str, more: Change | None = None, **fields: Any) -> Change:
    """Change a config so that the calls are notified to the agent."""

    def change(config: dict[str, Any]) -> None:
        config["linux"]["seccomp"] = {
            "defaultAction": "SCMP_ACT_ALLOW",
            "listenerPath": str(box.directory / "agent"),
            "syscalls": [{"names": list(names), "action": "SCMP_ACT_NOTIFY"}],
            **fields,
        }
        if more is not None:
            more(config)

    return change


def answered(box: Box, bundle: Path) -> dict[str, Any]:
    """What the program printed about its one call."""
    done = box("run", "--bundle", str(bundle), "a", timeout=SOON)
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def read(path: str) -> str:
    """Of a process that may be gone."""
    try:
        return Path(path).read_text()
    except OSError:
        return ""
