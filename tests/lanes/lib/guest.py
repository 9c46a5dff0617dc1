"""Runs QEMU for the guest lane.

guest.py save DIR                boots the guest in DIR, waits until it is ready, writes its state to DIR/state.ram
guest.py run DIR RUN OPT [HOW]   resumes that state and runs the command in RUN/export/.lane; OPT is the disk that holds
                                 /opt/pyoci; the command's status is this program's. HOW: "cold" boots instead, "v1"
                                 and "hybrid" boot with those cgroup hierarchies

The machine talks to the guest through three virtio-serial ports, each a socket pair made here: "control" carries the
lines "ready" and "go", "out" and "err" the command's two streams, each ended by NUL, a token and the status.
"""

from __future__ import annotations

import json
import os
import secrets
import selectors
import socket
import subprocess
import sys
import time

KERNEL_LINE = (
    "console=ttyS0 quiet loglevel=4 mitigations=off nokaslr tsc=reliable no_timer_check random.trust_cpu=on"
    " systemd.show_status=0 psi=1 panic=-1 net.ifnames=0 audit=0"
)
# What makes systemd mount the hierarchies of version 1, with its own in one of them or in one of version 2.
_LEGACY = " SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1 systemd.unified_cgroup_hierarchy=0"
CGROUPS = {
    "v1": f"{_LEGACY} systemd.legacy_systemd_cgroup_controller=1",
    "hybrid": f"{_LEGACY} systemd.legacy_systemd_cgroup_controller=0",
}
PORTS = ("control", "out", "err")
_ATTEMPTS = 2
LOST = 125  # the exit status when the guest ended without the command's status


class Lost(Exception):
    """The guest has ended, or QEMU has, before it did what was asked; the text ends with the console's last lines."""


class Guest:
    """One QEMU process and its sockets."""

    def __init__(self, directory: str, run: str, opt: str, *, resume: bool, snapshot: bool, words: str = "") -> None:
        """Starts QEMU; `run` is a directory with `export` and `results`, where the console's log goes too.

        words: what is added to the kernel's command line.
        """
        self.console = os.path.join(run, "console.log")
        pairs = {name: socket.socketpair() for name in (*PORTS, "monitor")}
        self.ports = {name: pair[0] for name, pair in pairs.items()}
        theirs = {name: pair[1] for name, pair in pairs.items()}
        command = command_line(directory, run, opt, words, {name: end.fileno() for name, end in theirs.items()})
        if snapshot:
            command += ["-snapshot"]
        if resume:
            command += ["-incoming", "exec:cat " + os.path.join(directory, "state.ram")]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            pass_fds=[end.fileno() for end in theirs.values()],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR": run},
        )
        for end in theirs.values():
            end.close()
        self.monitor = self.ports.pop("monitor").makefile("rw")
        self.monitor.readline()
        self.ask("qmp_capabilities")

    def ask(self, command: str, **arguments: object) -> dict[str, object]:
        """One QMP command; its answer. Raises SystemExit if QEMU refuses it, Lost if it ends."""
        json.dump({"execute": command, "arguments": arguments}, self.monitor)
        self.monitor.write("\n")
        self.monitor.flush()
        for line in self.monitor:
            answer = json.loads(line)
            if "return" in answer:
                return dict(answer["return"]) if isinstance(answer["return"], dict) else {}
            if "error" in answer:
                raise SystemExit(f"guest: {command}: {answer['error']['desc']}")
        raise Lost(f"QEMU ended during {command}")

    def wait_ready(self) -> None:
        """Waits for the guest's first word. Raises Lost if it never comes."""
        received = b""
        control = self.ports["control"]
        control.settimeout(180)
        while b"ready" not in received:
            try:
                data = control.recv(4096)
            except TimeoutError:
                data = b""
            if not data:
                raise Lost("no word from it; its console:\n" + self.last_lines())
            received += data
        control.settimeout(None)

    def last_lines(self) -> str:
        """The end of the console's log."""
        try:
            with open(self.console, errors="replace") as file:
                return "".join(file.readlines()[-25:])
        except OSError:
            return ""

    def end(self) -> None:
        """Turns the machine off; what its disk holds is thrown away."""
        self.process.kill()
        self.process.wait()


def command_line(directory: str, run: str, opt: str, line: str, descriptors: dict[str, int]) -> list[str]:
    """QEMU's command line: the same devices whether the state is saved or resumed."""
    words = ["qemu-system-x86_64", "-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max,la57=off,pku=off"]
    words += ["-smp", "2", "-m", "4096", "-M", "q35,usb=off,vmport=off,hpet=off", "-nodefaults", "-no-user-config"]
    words += ["-display", "none", "-no-reboot", "-serial", "file:" + os.path.join(run, "console.log")]
    words += ["-kernel", directory + "/vmlinux", "-initrd", directory + "/initramfs", "-append", KERNEL_LINE + line]
    words += ["-drive", f"file={directory}/overlay.qcow2,if=none,id=root,format=qcow2,cache=unsafe"]
    words += ["-device", "virtio-blk-pci,drive=root"]
    words += ["-drive", f"file={opt},if=none,id=opt,format=raw,readonly=on,cache=unsafe"]
    words += ["-device", "virtio-blk-pci,drive=opt"]
    words += ["-device", "virtio-rng-pci", "-device", "virtio-serial-pci"]
    for name in PORTS:
        words += ["-chardev", f"socket,id={name},fd={descriptors[name]}"]
        words += ["-device", f"virtserialport,chardev={name},name={name}"]
    words += ["-chardev", f"socket,id=monitor,fd={descriptors['monitor']}", "-mon", "chardev=monitor,mode=control"]
    share = "local,security_model=none,multidevs=remap"
    words += ["-virtfs", f"{share},path={run}/export,mount_tag=machine,readonly=on"]
    words += ["-virtfs", f"{share},path={run}/results,mount_tag=results"]
    return words


def save(directory: str) -> None:
    """Boots and writes the state, then QEMU ends; overlay.qcow2 holds what the boot wrote."""
    run = os.path.join(directory, "save")
    for name in ("export", "results"):
        os.makedirs(os.path.join(run, name), exist_ok=True)
    overlay = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", "disk.raw", "-F", "raw", "overlay.qcow2"]
    subprocess.run(overlay, cwd=directory, check=True)
    begin = time.monotonic()
    guest = Guest(directory, run, directory + "/blank.raw", resume=False, snapshot=False)
    try:
        guest.wait_ready()
        print(f"boot until ready: {time.monotonic() - begin:.1f} s", flush=True)
        time.sleep(3)  # what else the boot started comes to rest
        guest.ask("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        guest.ask("migrate", uri=f"exec:cat >{directory}/state.ram")
        while (status := guest.ask("query-migrate").get("status")) != "completed":
            if status in ("failed", "cancelled"):
                raise SystemExit(f"guest: saving the state {status}")
            time.sleep(0.1)
        guest.ask("quit")
        guest.process.wait()
    finally:
        guest.end()
    size = os.path.getsize(directory + "/state.ram") >> 20
    print(f"state saved: {time.monotonic() - begin:.1f} s, {size} MB", flush=True)


class Stream:
    """One of the command's streams: passes on what comes until the token."""

    def __init__(self, port: socket.socket, target: int, token: bytes) -> None:
        """Bytes from `port` go to the descriptor `target`."""
        self.port, self.target, self.mark = port, target, b"\0" + token + b" "
        self.held = b""
        self.status: int | None = None

    def feed(self) -> bool:
        """Reads once; False when the stream has ended."""
        data = self.port.recv(65536)
        self.held += data
        place = self.held.find(self.mark)
        if place >= 0 and self.held.endswith(b"\n"):
            write_all(self.target, self.held[:place])
            self.status = int(self.held[place + len(self.mark) :])
            return False
        if place < 0:
            # Only a beginning of the mark may have to wait; NUL is its first byte.
            place = self.held.rfind(b"\0", max(0, len(self.held) - len(self.mark)))
            if place < 0 or not self.mark.startswith(self.held[place:]):
                place = len(self.held)
        write_all(self.target, self.held[:place])
        self.held = self.held[place:]
        return bool(data)


def write_all(descriptor: int, data: bytes) -> None:
    """Writes everything."""
    while data:
        data = data[os.write(descriptor, data) :]


def run(directory: str, run_directory: str, opt: str, how: str) -> int:
    """Resumes or boots, sends "go", passes the streams on; the command's status. Raises Lost."""
    guest = Guest(directory, run_directory, opt, resume=not how, snapshot=True, words=CGROUPS.get(how, ""))
    try:
        if how:
            guest.wait_ready()
        token = secrets.token_hex(16)
        guest.ports["control"].sendall(f"go {time.time():.6f} {token} {secrets.token_hex(64)}\n".encode())
        streams = [Stream(guest.ports["out"], 1, token.encode()), Stream(guest.ports["err"], 2, token.encode())]
        with selectors.DefaultSelector() as selector:
            for stream in streams:
                selector.register(stream.port, selectors.EVENT_READ, stream)
            while selector.get_map():
                for key, _ in selector.select():
                    if not key.data.feed():
                        selector.unregister(key.fileobj)
        status = streams[0].status
        if status is None:
            raise Lost("it ended before the command did; its console:\n" + guest.last_lines())
        return status
    finally:
        guest.end()


def panicked(run_directory: str) -> bool:
    """Whether the last guest's kernel did: its processors run into code being patched (docs/lanes.md)."""
    with open(os.path.join(run_directory, "console.log"), errors="replace") as console:
        return "Kernel panic" in console.read()


def main() -> int:
    """See the module's docstring."""
    what, directory = sys.argv[1:3]
    run_directory = os.path.join(directory, "save") if what == "save" else sys.argv[3]
    for attempt in range(_ATTEMPTS):
        try:
            if what == "save":
                save(directory)
                return 0
            return run(directory, run_directory, sys.argv[4], "".join(sys.argv[5:]))
        except Lost as lost:
            again = panicked(run_directory) and attempt < _ATTEMPTS - 1
            print(f"guest: {lost}", flush=True, file=sys.stderr)
            if not again:
                break
            print("guest: its kernel panicked; everything once more", flush=True, file=sys.stderr)
    return LOST


if __name__ == "__main__":
    sys.exit(main())
