"""The systemd driver with a real systemd: what it makes, what it says, what it leaves."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import snapshot
from tests.systemd.conftest import TESTER, Scopes, until

pytestmark = pytest.mark.booted

# pyoci's messages to systemd, as strace shows them; the name of the method is in the header of each.
METHODS = (
    r"(StartTransientUnit|SetUnitProperties|ResetFailedUnit|StopUnit|KillUnit|Get|GetAll|Hello|AddMatch|Subscribe)"
)
MOST_CALLS = 3
CYCLES = int(os.environ.get("PYOCI_TEST_SYSTEMD_CYCLES", "20"))


def annotate(**texts: str) -> Any:
    return lambda config: config.update(
        annotations={f"org.systemd.property.{name}": text for name, text in texts.items()}
    )


def test_life(either: Scopes) -> None:
    """create makes the scope with the process in it; the commands after it find the driver in the state."""
    bundle = either.bundle("sleep")
    done = either("create", "-b", bundle, "a")
    assert (done.returncode, done.stderr) == (0, "")
    unit, pid = either.unit(bundle), either.state("a")["pid"]
    assert either.cgroup(pid) == "/" + str((either.slice() / unit).relative_to("/sys/fs/cgroup"))
    saved = either.saved("a")
    assert saved["pyoci"]["cgroup_driver"] == "systemd"
    assert saved["pyoci"]["unit"]["name"] == unit
    assert saved["cgroup_paths"] == {"": str(either.slice() / unit)}
    shown = either.show(unit)
    assert shown["ActiveState"] == "active"
    assert shown["Slice"] == ("user.slice" if either.user else "system.slice")
    assert shown["Delegate"] == "yes"
    assert shown["Description"] == "libcontainer container a"
    assert either("start", "a").stderr == ""
    assert either.state("a")["status"] == "running"
    assert either("kill", "a", "KILL").stderr == ""
    until(lambda: either.state("a")["status"] == "stopped", "it is stopped")
    assert either("delete", "a").stderr == ""
    assert either.units() == []


def test_run(either: Scopes) -> None:
    """The process sees the scope as the root of its cgroup namespace."""
    done = either("run", "-b", either.bundle("read", "/proc/self/cgroup"), "a")
    assert (done.returncode, done.stderr) == (0, "")
    assert "0::/\n" in done.stdout


def test_delete_force_of_one_that_runs(either: Scopes) -> None:
    assert either("run", "-d", "-b", either.bundle("spawn", "2", ",", "sleep"), "a").stderr == ""
    assert either("delete", "-f", "a").stderr == ""
    assert either.units() == []


def test_events_find_the_scope(either: Scopes) -> None:
    """Root's and a user's own: the cgroup in state.json is asked, not systemd."""
    assert either("run", "-d", "-b", either.bundle("spawn", "2", ",", "sleep"), "a").stderr == ""
    until(lambda: statistics(either)["pids"]["current"] == 3, "three processes are counted")
    assert statistics(either)["cpu"]["usage"]["total"] > 0
    assert either("delete", "-f", "a").stderr == ""


def statistics(scopes: Scopes) -> dict[str, Any]:
    done = scopes("events", "--stats", "a")
    assert (done.returncode, done.stderr) == (0, "")
    data: dict[str, Any] = json.loads(done.stdout)["data"]
    return data


def test_at_most_three_calls(either: Scopes) -> None:
    """create asks systemd's version and starts the scope; delete stops it and lets it be forgotten."""
    log = either.directory / "calls"
    prefix = either.prefix
    either.prefix = (*prefix, "strace", "-q", "-e", "trace=sendto", "-s", "8192", "-o", str(log))
    assert either("create", "-b", either.bundle("sleep"), "a").stderr == ""
    created = re.findall(METHODS, _header(log))
    assert either("delete", "-f", "a").stderr == ""
    deleted = re.findall(METHODS, _header(log))
    bundle = either.bundle("exit", "0")
    assert either("run", "-d", "-b", bundle, "b").stderr == ""
    log.unlink()
    until(lambda: either.units() == [], "the scope has ended with its process")
    assert either("delete", "b").stderr == ""
    late = re.findall(METHODS, _header(log))
    either.prefix = prefix
    print(f"create: {created}; delete --force: {deleted}; delete of one that has ended: {late}")
    assert late == []
    assert created == ["Get", "StartTransientUnit"]
    assert deleted in ([], ["StopUnit"], ["StopUnit", "ResetFailedUnit"]), "systemd may have been faster"
    assert max(len(created), len(deleted)) <= MOST_CALLS


def _header(log: Path) -> str:
    """Of every message only the beginning, where the method's name is: the values may be named alike."""
    text = "\n".join(line[:600] for line in log.read_text().splitlines() if "systemd1" in line)
    log.unlink()
    return text


def test_properties_of_annotations(either: Scopes) -> None:
    change = annotate(TimeoutStopSec="uint64 7", CollectMode="'inactive-or-failed'", KillSignal="10")
    bundle = either.bundle("sleep", change=change)
    assert either("create", "-b", bundle, "a").stderr == ""
    shown = either.show(either.unit(bundle))
    assert (shown["TimeoutStopUSec"], shown["CollectMode"], shown["KillSignal"]) == ("7s", "inactive-or-failed", "10")


def test_a_property_that_systemd_refuses(either: Scopes) -> None:
    bundle = either.bundle("sleep", change=annotate(Nonsense="1"))
    done = either("create", "-b", bundle, "a")
    assert done.returncode == 1
    first = done.stderr.splitlines()[0]
    assert f'unable to start unit \\"{either.unit(bundle)}\\": Cannot set property Nonsense' in first
    assert "call: StartTransientUnit" in done.stderr
    assert "hint: annotations named org.systemd.property.NAME set properties" in done.stderr
    assert either.units() == []


def test_nested_slices(scopes: Scopes) -> None:
    name = scopes.mark.replace("-", "_")
    bundle = scopes.bundle(
        "sleep", change=lambda config: config["linux"].update(cgroupsPath=f"{name}-b.slice:{scopes.mark}:x")
    )
    assert scopes("create", "-b", bundle, "a").stderr == ""
    assert scopes.cgroup(scopes.state("a")["pid"]) == f"/{name}.slice/{name}-b.slice/{scopes.mark}-x.scope"
    assert scopes("delete", "-f", "a").stderr == ""
    scopes.systemctl("stop", f"{name}.slice", f"{name}-b.slice")


def test_the_default_unit(either: Scopes) -> None:
    id = either.mark
    bundle = either.bundle("sleep", change=lambda config: config["linux"].pop("cgroupsPath"))
    assert either("create", "-b", bundle, id).stderr == ""
    assert either.cgroup(either.state(id)["pid"]).endswith(f"/{either.slice().name}/runc-{id}.scope")
    assert either("delete", "-f", id).stderr == ""


def test_devices(scopes: Scopes) -> None:
    """systemd knows the rules, and the one program on the cgroup is ours, in the place of its own."""

    def change(config: dict[str, Any]) -> None:
        config["linux"]["resources"]["devices"] = [
            {"allow": False, "access": "rwm"},
            {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "r"},
        ]

    bundle = scopes.bundle("try", "open", "/dev/null", "rw", ",", "sleep", change=change)
    assert scopes("create", "-b", bundle, "a").stderr == ""
    shown = scopes.systemctl("show", "-p", "DevicePolicy,DeviceAllow", scopes.unit(bundle))
    assert "DevicePolicy=strict" in shown
    assert "DeviceAllow=/dev/char/1:11 r\n" in shown
    shown = subprocess.run(
        ["bpftool", "cgroup", "list", str(scopes.slice() / scopes.unit(bundle))], capture_output=True, text=True
    ).stdout
    assert [line.split()[-1] for line in shown.splitlines()[1:]] == ["pyoci_devices"]


def test_a_left_over_unit_of_that_name(scopes: Scopes) -> None:
    """One that has failed is cleaned away, one that is alive is somebody's."""
    bundle = scopes.bundle("sleep")
    unit = scopes.unit(bundle)
    start = ["systemd-run", "--quiet", "--scope", "--slice=system.slice", f"--unit={unit}"]
    left = subprocess.Popen([*start, "-p", "OOMPolicy=kill", "-p", "RuntimeMaxSec=100ms", "sleep", "100"])
    left.wait()
    until(lambda: scopes.show(unit)["ActiveState"] == "failed", "it has failed")
    assert scopes("create", "-b", bundle, "a").stderr == ""
    assert scopes.show(unit)["Description"] == "libcontainer container a"
    assert scopes("delete", "-f", "a").stderr == ""

    alive = subprocess.Popen([*start, "sleep", "100"])
    try:
        until(lambda: scopes.show(unit)["ActiveState"] == "active", "it is there")
        done = scopes("create", "-b", bundle, "a")
        assert done.returncode == 1
        assert "container's cgroup is not empty: 1 process(es) found" in done.stderr
        assert f"hint: {scopes.slice() / unit}" in done.stderr
        assert scopes.show(unit)["ActiveState"] == "active", "it is somebody else's"
        assert alive.poll() is None
    finally:
        alive.kill()
        alive.wait()
        until(lambda: scopes.units() == [], "it is gone")


def test_a_failed_create_removes_the_scope(either: Scopes) -> None:
    """The program does not exist: found out long after the scope was made."""
    bundle = either.bundle("sleep", change=lambda config: config["process"].update(args=["/nothing"]))
    done = either("create", "-b", bundle, "a")
    assert done.returncode == 1
    assert "nothing" in done.stderr
    assert either.units() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_create_that_is_ended(either: Scopes, number: signal.Signals) -> None:
    """In a hook, with the scope made: by SIGTERM it undoes that; what SIGKILL leaves, delete finds."""
    fifo, arrived = either.directory / "fifo", either.directory / "arrived"
    os.mkfifo(fifo, 0o666)
    os.chmod(fifo, 0o666)
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"echo > {arrived}; read x < {fifo}"]}
    bundle = either.bundle("sleep", change=lambda config: config.update(hooks={"createRuntime": [hook]}))
    creating = either.begin("--systemd-cgroup", "create", "-b", bundle, "a")
    until(arrived.exists, "the hook is there")
    assert either.units() == [either.unit(bundle)]
    creating.send_signal(number)
    either.end(creating)
    if number == signal.SIGTERM:
        assert either.units() == []
        assert not (either.root / "a").exists()
    else:
        os.close(os.open(fifo, os.O_RDWR | os.O_NONBLOCK))
        done = either("delete", "--force", "a")
        assert (done.returncode, done.stderr) == (0, "")
        until(lambda: either.units() == [], "the scope is gone")


def test_killed_at_any_moment(scopes: Scopes) -> None:
    """SIGKILL after each message to systemd; delete leaves nothing, whatever was made."""
    bundle = scopes.bundle("sleep")
    for count in range(1, 8):
        prefix = scopes.prefix
        scopes.prefix = ("strace", "-q", "-o", "/dev/null", "-e", f"inject=sendto:signal=KILL:when={count}")
        done = scopes("create", "-b", bundle, "a")
        scopes.prefix = prefix
        assert scopes("delete", "--force", "a").returncode == 0
        until(lambda: scopes.units() == [], "the scope is gone")
        if done.returncode == 0:
            break
    assert count > 3


def test_no_limits_of_others(scopes: Scopes) -> None:
    """delete of a create that never made its scope leaves a scope of that name alone."""
    bundle = scopes.bundle("sleep")
    unit = scopes.unit(bundle)
    prefix = scopes.prefix
    scopes.prefix = ("strace", "-q", "-o", "/dev/null", "-e", "inject=sendto:signal=KILL:when=1")
    assert scopes("create", "-b", bundle, "a").returncode != 0
    scopes.prefix = prefix
    assert scopes.saved("a")["pyoci"]["unit"]["name"] == unit
    other = subprocess.Popen(
        ["systemd-run", "--quiet", "--scope", "--slice=system.slice", f"--unit={unit}", "sleep", "9"]
    )
    until(lambda: scopes.show(unit)["ActiveState"] == "active", "it is there")
    assert scopes("delete", "--force", "a").returncode == 0
    assert scopes.show(unit)["ActiveState"] == "active"
    other.kill()
    other.wait()
    until(lambda: scopes.units() == [], "it is gone")


def test_no_systemd_there(either: Scopes) -> None:
    """Who answers nobody is named, with what to do."""
    prefix, environment = either.prefix, either.environment
    either.environment = environment | {"XDG_RUNTIME_DIR": "/nowhere", "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere"}
    if not either.user:
        hide = "mount -t tmpfs none /run/systemd && mkdir /run/systemd/system && mount -t tmpfs none /run/dbus"
        either.prefix = ("unshare", "-m", "sh", "-c", f'{hide} && exec "$@"', "sh")
    done = either("create", "-b", either.bundle("sleep"), "a")
    either.prefix, either.environment = prefix, environment
    assert done.returncode == 1
    whose = "the systemd of this user" if either.user else "systemd"
    assert f"failed to connect to dbus: cannot reach {whose}" in done.stderr
    assert "no such file or directory" in done.stderr
    assert ("enable-linger" in done.stderr) is either.user


def test_no_systemd_at_all(scopes: Scopes) -> None:
    prefix, scopes.prefix = scopes.prefix, ("unshare", "-m", "sh", "-c", 'mount -t tmpfs none /run && exec "$@"', "sh")
    done = scopes("create", "-b", scopes.bundle("sleep"), "a")
    scopes.prefix = prefix
    assert "systemd not running on this host, cannot use systemd cgroups manager" in done.stderr
    assert "leave out --systemd-cgroup" in done.stderr


def test_the_bus_itself(either: Scopes) -> None:
    """Where systemd's own socket is not in reach: an explicit address of the bus is used, and remembered for delete."""
    bus = f"unix:path=/run/user/{TESTER}/bus" if either.user else "unix:path=/run/dbus/system_bus_socket"
    prefix, environment = either.prefix, either.environment
    either.environment = environment | {"XDG_RUNTIME_DIR": "/nowhere", "DBUS_SESSION_BUS_ADDRESS": bus}
    if not either.user:
        hide = "mount --bind /dev/null /run/systemd/private"
        either.prefix = ("unshare", "-m", "sh", "-c", f'{hide} && exec "$@"', "sh")
    done = either("create", "-b", either.bundle("sleep"), "a")
    assert (done.returncode, done.stderr) == (0, "")
    del either.environment["DBUS_SESSION_BUS_ADDRESS"]
    assert either("delete", "-f", "a").stderr == ""
    either.prefix, either.environment = prefix, environment
    assert either.units() == []


def test_delete_without_systemd(scopes: Scopes) -> None:
    """The container goes all the same, and systemd notices by itself that the scope is empty."""
    assert scopes("run", "-d", "-b", scopes.bundle("sleep"), "a").stderr == ""
    prefix, scopes.prefix = scopes.prefix, ("unshare", "-m", "sh", "-c", 'mount -t tmpfs none /run && exec "$@"', "sh")
    done = scopes("delete", "-f", "a")
    scopes.prefix = prefix
    assert done.returncode == 0
    assert "cannot stop" in done.stderr
    until(lambda: scopes.units() == [], "the scope is gone")


def test_a_cgroup_of_its_own_to_manage(scopes: Scopes) -> None:
    """A writable cgroup mount in a cgroup namespace: the scope belongs to the user of the process."""

    def change(config: dict[str, Any]) -> None:
        config["process"]["user"]["uid"] = 5
        for mount in config["mounts"]:
            if mount["destination"] == "/sys/fs/cgroup":
                mount["options"].remove("ro")

    bundle = scopes.bundle("try", "mkdir", "/sys/fs/cgroup/sub", ",", "sleep", change=change)
    assert scopes("create", "-b", bundle, "a").stderr == ""
    path = scopes.slice() / scopes.unit(bundle)
    assert path.stat().st_uid == 5
    assert {name for name in os.listdir(path) if (path / name).stat().st_uid == 5} >= {
        "cgroup.procs",
        "cgroup.subtree_control",
    }
    assert (path / "cgroup.freeze").stat().st_uid == 0
    assert scopes("start", "a").stderr == ""
    until((path / "sub").is_dir, "it has made a cgroup")


def test_the_wrong_form_of_cgroups_path(scopes: Scopes) -> None:
    bundle = scopes.bundle("sleep", change=lambda config: config["linux"].update(cgroupsPath="/a/b"))
    done = scopes("create", "-b", bundle, "a")
    assert "expected cgroupsPath to be of format" in done.stderr
    assert "pointer: /linux/cgroupsPath" in done.stderr


def test_cycles(either: Scopes) -> None:
    """Nothing is left after many: no unit, cgroup, device program, connection, directory."""
    bundle = either.bundle("sleep")
    before, programs = either.snapshot(), len(set(snapshot.programs(either.mark)))
    for _ in range(CYCLES):
        assert either("create", "-b", bundle, "a").stderr == ""
        assert either("delete", "-f", "a").stderr == ""
    assert either.differences(before) == set()
    # The machine's other containers have such programs too; a leak would be one for every cycle.
    until(lambda: len(set(snapshot.programs(either.mark))) < programs + CYCLES // 2, "the programs are gone")
    print(f"{CYCLES} cycles: {sorted(before)}; device programs {programs}, {len(set(snapshot.programs(either.mark)))}")
