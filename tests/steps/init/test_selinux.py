"""SELinux's labels. No lane has SELinux: that it is missing is tested on the real kernel; what would be asked of it,
where the kernel's answers are written by the test."""

from __future__ import annotations

import os
from errno import EINVAL
from pathlib import Path
from typing import Any

import pytest

from pyoci.cli import spec
from pyoci.errors import StepError
from pyoci.kernel import mount as kernel
from pyoci.kernel import procfs
from pyoci.kernel.constants import SELINUX_MAGIC
from pyoci.plan import create
from pyoci.steps.init import selinux
from pyoci.steps.init.cgroup_mounts import MountCgroup1
from pyoci.steps.init.context import InitContext, run
from pyoci.steps.init.mounts import MountFilesystem
from pyoci.steps.init.selinux import MountLabelledQueue, SetKeyringLabel, SetProcessLabel
from tests.container.box import Box
from tests.isolation import in_namespace
from tests.plan.configs import HYBRID, V2, around, read
from tests.steps.look import Change, process
from tests.steps.scene import context, mount

LABEL = "system_u:system_r:container_t:s0:c1,c2"
FILES = "system_u:object_r:container_file_t:s0:c1,c2"
ENABLED = Path("/sys/fs/selinux/enforce").exists()


def with_linux(**members: object) -> Change:
    return lambda config: config["linux"].update(members)


@pytest.mark.root
@pytest.mark.skipif(ENABLED, reason="this kernel has SELinux, where the label decides")
@pytest.mark.parametrize(
    ("change", "pointer", "what"),
    [
        (process(selinuxLabel=LABEL), "/process/selinuxLabel", "selinux label"),
        (with_linux(mountLabel=FILES), "/linux/mountLabel", "mount label"),
    ],
    ids=["process", "mount"],
)
def test_a_kernel_without_selinux_refuses(box: Box, change: Change, pointer: str, what: str) -> None:
    """Also one that has the module, but without a policy: a container never runs without what was asked for."""
    done = box("run", "--bundle", str(box.bundle("report", change=change)), "a")
    said = done.stderr.splitlines()
    assert done.returncode == 1
    assert f"{what} is specified in config, but selinux is disabled or not supported" in said[0]
    assert f"  pointer: {pointer}" in said
    assert os.listdir(box.root) == []


@pytest.mark.root
def test_labels_that_are_empty_are_none(box: Box) -> None:
    def change(config: dict[str, Any]) -> None:
        config["process"]["selinuxLabel"] = config["linux"]["mountLabel"] = ""

    assert box("run", "--bundle", str(box.bundle("exit", "3", change=change)), "a").returncode == 3


# -- what SELinux is asked


@pytest.fixture
def proc(tmp_path: Path) -> int:
    """A directory in place of procfs."""
    (tmp_path / "self/attr").mkdir(parents=True)
    for name in ("current", "exec", "keycreate"):
        (tmp_path / "self/attr" / name).touch()
    return os.open(tmp_path, os.O_PATH)


@pytest.mark.parametrize(
    ("label", "magic", "expected"),
    [
        (b"system_u:system_r:unconfined_t:s0\0", SELINUX_MAGIC, True),
        (b"kernel\0", SELINUX_MAGIC, False),  # no policy is loaded
        (b"", SELINUX_MAGIC, False),
        (b"unconfined\n", 0x01021994, False),  # AppArmor, and a tmpfs in the place
    ],
)
def test_enabled(
    label: bytes, magic: int, expected: bool, proc: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "self/attr/current").write_bytes(label)
    monkeypatch.setattr(selinux, "PLACE", str(tmp_path))
    monkeypatch.setattr(selinux, "filesystem_type", lambda descriptor: magic)
    assert selinux.enabled(proc) is expected


def test_enabled_without_its_file_system(proc: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selinux, "PLACE", "/nowhere/selinux")
    assert not selinux.enabled(proc)


def carry_out(step: Any, proc: int, monkeypatch: pytest.MonkeyPatch, errno: int = 0) -> list[tuple[str, str]]:
    written: list[tuple[str, str]] = []

    def write(proc: int, name: str, text: str) -> None:
        written.append((name, text))
        if errno:
            raise OSError(errno, os.strerror(errno))

    monkeypatch.setattr(procfs, "write", write)
    made = InitContext(None)  # type: ignore[arg-type]
    made.proc = proc
    run((step,), made)
    return written


def test_the_label_of_the_program_and_of_its_keys(proc: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert carry_out(SetProcessLabel(label=LABEL), proc, monkeypatch) == [("self/attr/exec", LABEL)]
    assert carry_out(SetKeyringLabel(label=LABEL), proc, monkeypatch) == [("self/attr/keycreate", LABEL)]
    (tmp_path / "self/attr/keycreate").unlink()
    assert carry_out(SetKeyringLabel(label=LABEL), proc, monkeypatch) == [], "a kernel without keyrings"


@pytest.mark.parametrize(("kind", "what"), [(SetProcessLabel, "process"), (SetKeyringLabel, "key")])
def test_a_label_that_the_policy_does_not_know(
    kind: Any, what: str, proc: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StepError) as caught:
        carry_out(kind(label="no_such_label"), proc, monkeypatch, EINVAL)
    assert caught.value.message == f"can't set {what} label: invalid argument"
    assert (caught.value.pointer, caught.value.errno) == ("/process/selinuxLabel", EINVAL)
    assert "no_such_label" in caught.value.call


@pytest.mark.root
def test_the_kernel_has_the_files(box: Box) -> None:
    """On this kernel, which has the module without a policy: the names are right, and a write is refused."""
    if not Path("/proc/self/attr/keycreate").exists():
        pytest.skip("a kernel without SELinux has no keycreate")

    def body() -> None:
        run((SetKeyringLabel(label="x:y:z:s0"),), context())

    with pytest.raises(StepError, match="can't set key label: "):
        in_namespace(body, 0)


# -- the label of mounts


def planned(change: Change, layout: Any = V2) -> dict[str, Any]:
    """The steps of the mounts of a container, by destination."""
    raw = spec.example(v2=False)
    raw["linux"]["mountLabel"] = FILES
    change(raw)
    made = create.make(read(raw), around(raw, layout=layout))
    return {step.mount.destination: step for step in made.inside if hasattr(step, "mount")} | {"": made}


def test_every_file_system_by_its_rule() -> None:
    """As runc: context= for what has no labels of its own; not for proc, sysfs, and what is bound; mqueue by xattr."""

    def change(raw: dict[str, Any]) -> None:
        raw["mounts"] += [
            {"destination": "/copy", "type": "tmpfs", "options": ["tmpcopyup"]},
            {"destination": "/bound", "source": "/srv", "options": ["bind"]},
            {"destination": "/own", "type": "tmpfs", "options": ["fscontext=system_u:object_r:tmp_t:s0"]},
        ]

    found = planned(change)
    context = f"context={FILES}"
    labels = {name: context in step.mount.data for name, step in found.items() if name}
    assert {name for name, has in labels.items() if has} == {"/dev", "/dev/pts", "/dev/shm", "/copy"}
    assert {"/proc", "/sys", "/dev/mqueue", "/bound", "/own"} <= set(labels)
    assert isinstance(found["/dev/mqueue"], MountLabelledQueue) and found["/dev/mqueue"].label == FILES
    first = found[""].prepare[0]
    assert (type(first).__name__, first.pointer) == ("RequireSelinux", "/linux/mountLabel")
    masks = [step.label for step in found[""].finish if type(step).__name__ == "MaskPath"]
    assert set(masks) == {FILES} and len(masks) > 3


def test_a_tmpfs_of_cgroups_is_labelled() -> None:
    found = planned(lambda raw: None, HYBRID)["/sys/fs/cgroup"]
    assert isinstance(found, MountCgroup1)
    assert found.label == FILES


def test_labels_before_what_they_are_for() -> None:
    raw = spec.example(v2=False)
    raw["process"]["selinuxLabel"] = LABEL
    names = [type(step).__name__ for _, step in create.make(read(raw), around(raw)).steps()]
    assert names[0] == "RequireSelinux"
    assert names.index("OpenProc") < names.index("SetKeyringLabel") == names.index("JoinSessionKeyring") - 1
    assert names.index("PivotRoot") < names.index("SetProcessLabel") < names.index("SetUser")


@pytest.mark.parametrize("given", [FILES, f'"{FILES}"'])
def test_options_as_the_kernel_takes_them(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commas of a label: bare for fsconfig(2), in quotes in the text that mount(2) takes."""
    calls: list[tuple[bytes, bytes]] = []
    monkeypatch.setattr(kernel, "_fsconfig", lambda context, command, *option, path: calls.append(option[:2]))
    kernel._configure(-1, (f"context={given}", 'lowerdir="a"'), ())
    assert calls == [(b"context", FILES.encode()), (b"lowerdir", b'"a"')]
    from pyoci.steps.init.mounts import _quoted

    assert (_quoted(f"context={given}"), _quoted("size=1")) == (f'context="{FILES}"', "size=1")


@pytest.mark.root
def test_the_root_of_a_queue_has_the_label(tmp_path: Path) -> None:
    """A tmpfs stands for mqueue, which has no extended attributes where there is no SELinux."""

    def body() -> str:
        made = context()
        wanted = mount("/dev/mqueue", "mqueue")
        tree = kernel.new_filesystem("tmpfs")
        MountLabelledQueue(mount=wanted, label=FILES).complete(made, tree)
        return os.getxattr(os.open(f"/proc/self/fd/{tree}", os.O_RDONLY), "security.selinux").decode()

    assert in_namespace(body, 1 << 17) == FILES


def test_descriptions() -> None:
    queue = MountLabelledQueue(mount=mount("/q", "mqueue"), label="l")
    assert queue.describe() == "mount mqueue on /q, labelled l"
    assert SetProcessLabel(label="l").describe() == "label the program l"
    assert SetKeyringLabel(label="l").describe() == "label new keys l"
    assert issubclass(MountLabelledQueue, MountFilesystem)
