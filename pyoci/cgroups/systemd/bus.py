"""A connection to systemd over D-Bus: few messages, and every wait has an end.

systemd listens on a socket of its own beside that of the bus: no Hello is needed there, its signals come unasked, and
it answers while the bus is down. It is for root, or for the owner of a user's systemd; the bus itself is what remains.
jeepney makes and reads the messages; the socket is ours, so that a signal to the runtime ends every wait.
https://dbus.freedesktop.org/doc/dbus-specification.html, org.freedesktop.systemd1(5)

The decision: docs/decisions/systemd-over-dbus.md.
"""

from __future__ import annotations

import select
import socket
import time

from jeepney import DBusAddress, HeaderFields, Message, MessageType, new_method_call

from pyoci import os
from pyoci.errors import Error, StepError, os_error_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

    from pyoci.cgroups.systemd.names import Unit
    from pyoci.kernel.signals import Interrupts

TIMEOUT = 30.0  # seconds for one answer, and for a job: runc's
_CHUNK = 65536
_LONGEST = 1 << 27  # bytes of a message: what the specification allows
_BOOTED = "/run/systemd/system"  # sd_booted(3)

_NAME = "org.freedesktop.systemd1"
_MANAGER = DBusAddress("/org/freedesktop/systemd1", _NAME, f"{_NAME}.Manager")
_PROPERTIES = DBusAddress("/org/freedesktop/systemd1", _NAME, "org.freedesktop.DBus.Properties")
_BUS = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")
_REMOVED = "type='signal',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'"


class Refused(Error):
    """systemd has answered with an error; `name` is its D-Bus name, without "org.freedesktop."."""

    def __init__(self, asked: str, name: str, text: str) -> None:
        self.name = name.removeprefix("org.freedesktop.")
        self.text = text
        super().__init__(f"{asked}: {text}", call=asked, hint=_hint(self.name, text))


class Bus:
    """One connection. Use as a context manager, or close it."""

    def __init__(self, unit: Unit, interrupts: Interrupts | None = None) -> None:
        """Connect to the systemd of the unit. Raises StepError if nobody answers at any of its addresses."""
        self.calls = 0  # that were made of systemd
        self.interrupts = interrupts
        self._serial = 0
        self._data = b""  # read and not yet understood
        self._replies: dict[int, Message] = {}
        self._jobs: dict[str, str] = {}  # path of a job that has ended -> its result
        self._socket = self._connect(unit)

    def __enter__(self) -> Bus:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. A second time does nothing."""
        self._socket.close()

    def _connect(self, unit: Unit) -> socket.socket:
        failures = []
        for address in unit.buses:
            try:
                found = _open(address)
            except OSError as error:
                failures.append((address, error))
                continue
            self._socket = found
            try:
                self._authenticate(address)
                if not _is_private(address):
                    self._join_bus()
            except BaseException:
                found.close()
                raise
            return found
        raise _unreachable(unit, failures)

    def _authenticate(self, address: str) -> None:
        """By the credentials that the kernel attests, without naming a uid: in a user namespace ours is another one."""
        self._send(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")
        said = b""
        deadline = time.monotonic() + TIMEOUT
        while said.count(b"\r\n") < 2 and b"REJECTED" not in said:
            said += self._read(deadline, "authentication")
        lines = said.split(b"\r\n", 2)
        if b"REJECTED" in said or not lines[1].startswith(b"OK"):
            raise StepError(
                f"systemd does not accept us at {address}",
                call="AUTH EXTERNAL",
                hint=f"it said {lines[0]!r}; we are uid {os.geteuid()}: is it the systemd of another user?",
            )
        self._data = lines[2]

    def _join_bus(self) -> None:
        """What a bus wants first, and to be told of jobs."""
        self._call(_BUS, "Hello", "", ())
        self._call(_BUS, "AddMatch", "s", (_REMOVED,))

    def call(self, method: str, signature: str, *body: Any, interruptible: bool = True) -> tuple[Any, ...]:
        """A method of systemd's manager. Raises Refused, StepError; Interrupted unless not `interruptible`."""
        self.calls += 1
        return self._call(_MANAGER, method, signature, body, interruptible)

    def get(self, name: str) -> Any:
        """A property of systemd's manager."""
        self.calls += 1
        (value,) = self._call(_PROPERTIES, "Get", "ss", (_MANAGER.interface, name))
        return value[1]

    def version(self) -> int:
        """systemd's version: 252 for "252.39-1~deb12u1"; 0 if it says something that nobody understands."""
        text = str(self.get("Version")).lstrip("v")
        digits = text[: len(text) - len(text.lstrip("0123456789"))]
        return int(digits or "0")

    def wait_job(self, job: str, what: str) -> str:
        """Wait until systemd has done a job; its result, "done" if all is well. Raises StepError after 30 s."""
        deadline = time.monotonic() + TIMEOUT
        while job not in self._jobs:
            self._receive(deadline, what)
        return self._jobs.pop(job)

    def _call(
        self, to: DBusAddress, method: str, signature: str, body: tuple[Any, ...], interruptible: bool = True
    ) -> tuple[Any, ...]:
        asked = f"{method}({', '.join(repr(one) for one in body if isinstance(one, str))})"
        message = new_method_call(to, method, signature or None, body)
        self._serial += 1
        serial = self._serial
        self._send(message.serialise(serial))
        deadline = time.monotonic() + TIMEOUT
        while serial not in self._replies:
            self._receive(deadline, asked, interruptible)
        reply = self._replies.pop(serial)
        if reply.header.message_type is MessageType.error:
            name = str(reply.header.fields.get(HeaderFields.error_name, ""))
            raise Refused(asked, name, str(reply.body[0]) if reply.body else name)
        return tuple(reply.body)

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise _lost(os_error_text(error)) from error

    def _receive(self, deadline: float, what: str, interruptible: bool = True) -> None:
        """Take in one message that has come, or wait for more.

        systemd tells everybody of every change of every unit; of signals only those are read that we wait for.
        """
        size = _size(self._data)
        if not size or len(self._data) < size:
            self._data += self._read(deadline, what, interruptible)
            return
        data, self._data = self._data[:size], self._data[size:]
        if data[1] == MessageType.signal.value and b"JobRemoved" not in data:
            return
        message = Message.from_buffer(data)
        fields = message.header.fields
        if message.header.message_type in (MessageType.method_return, MessageType.error):
            self._replies[fields[HeaderFields.reply_serial]] = message
        elif fields.get(HeaderFields.member) == "JobRemoved" and len(message.body) == 4:
            self._jobs[message.body[1]] = message.body[3]

    def _read(self, deadline: float, what: str, interruptible: bool = True) -> bytes:
        poll = select.poll()
        poll.register(self._socket.fileno(), select.POLLIN)
        if self.interrupts is not None and interruptible:
            poll.register(self.interrupts.fileno(), select.POLLIN)
        ready = dict(poll.poll(max(0, int((deadline - time.monotonic()) * 1000))))
        if self.interrupts is not None and interruptible:
            self.interrupts.check()
        if not ready:
            raise StepError(
                f"systemd has not answered {what} in {TIMEOUT:.0f} s",
                call=what,
                hint="it may be overloaded: `systemctl list-jobs` and `journalctl -u init.scope` tell more",
            )
        if self._socket.fileno() not in ready:
            os.read(self.interrupts.fileno(), 512) if self.interrupts is not None else None
            return b""
        try:
            data = self._socket.recv(_CHUNK)
        except OSError as error:
            raise _lost(os_error_text(error)) from error
        if not data:
            raise _lost("end of file")
        return data


def _size(data: bytes) -> int:
    """The length of the message that `data` begins with, 0 if that is not known yet. Raises StepError."""
    if len(data) < 16:
        return 0
    order: Literal["little", "big"] = "little" if data[:1] == b"l" else "big"
    body, fields = (int.from_bytes(data[at : at + 4], order) for at in (4, 12))
    size = (16 + fields + 7) // 8 * 8 + body
    if data[:1] not in (b"l", b"B") or size > _LONGEST:
        raise _lost("what it sends is no message of D-Bus")
    return size


def _open(address: str) -> socket.socket:
    """Connect to "unix:path=..." or "unix:abstract=...". Raises OSError."""
    path = _path(address)
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # A full queue of connections is waited for, as long as for an answer.
        found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, int(TIMEOUT).to_bytes(8, "little") + bytes(8))
        found.connect(path)
    except BaseException:
        found.close()
        raise
    return found


def _path(address: str) -> bytes:
    kind, _, rest = address.partition(":")
    fields = dict(field.split("=", 1) for field in rest.split(",") if "=" in field)
    if kind == "unix" and "path" in fields:
        return _unescape(fields["path"])
    if kind == "unix" and "abstract" in fields:
        return b"\0" + _unescape(fields["abstract"])
    raise OSError(0, "not an address of a unix socket", address)


def _unescape(text: str) -> bytes:
    """%20 -> a blank: how addresses of D-Bus write what is not plain."""
    head, *parts = text.split("%")
    try:
        return os.fsencode(head) + b"".join(bytes((int(one[:2], 16),)) + os.fsencode(one[2:]) for one in parts)
    except ValueError:
        raise OSError(0, "not an address of a unix socket", text) from None


def _is_private(address: str) -> bool:
    return address.endswith("/systemd/private")


def _unreachable(unit: Unit, failures: list[tuple[str, OSError]]) -> StepError:
    tried = "; ".join(f"{address}: {os.strerror(error.errno or 0).lower()}" for address, error in failures)
    if not os.path.isdir(_BOOTED):
        message, hint = (
            "systemd not running on this host, cannot use systemd cgroups manager",
            f"there is no {_BOOTED}; leave out --systemd-cgroup (podman: --cgroup-manager cgroupfs)",
        )
    elif unit.user:
        message = "failed to connect to dbus: cannot reach the systemd of this user"
        hint = (
            f"tried {tried or 'nothing'}; is it running (`systemctl --user status`), and are XDG_RUNTIME_DIR and "
            "DBUS_SESSION_BUS_ADDRESS set? For a user without a session, root runs `loginctl enable-linger USER`"
        )
    else:
        message = "failed to connect to dbus: cannot reach systemd"
        hint = f"tried {tried}"
    return StepError(
        message,
        pointer="--systemd-cgroup",
        call="connect",
        errno=failures[-1][1].errno or 0 if failures else 0,
        hint=hint,
    )


def _lost(how: str) -> StepError:
    return StepError(
        f"systemd has closed the connection: {how}",
        hint="it may have been restarted; try again",
    )


def _hint(name: str, text: str) -> str:
    """What to do about an answer of systemd's."""
    if name == "systemd1.UnitExists":
        return (
            "a unit of that name is there and alive: `systemctl status` tells whose; choose another id or cgroupsPath"
        )
    if "AccessDenied" in name or "InteractiveAuthorizationRequired" in name or "not permitted" in text:
        return (
            "systemd does not let this user do that; a user's own systemd can only take processes from cgroups that "
            "belong to it: start pyoci from a session or unit of that user (`systemd-run --user --scope`)"
        )
    if "unknown property" in text or "PropertyReadOnly" in name:
        return f"annotations named org.systemd.property.NAME set properties; systemd calls this one wrong: {text}"
    return f"systemd's answer was {name}"
