"""The values of a cgroup's files before they are written, and putting them back."""

from __future__ import annotations

from errno import ENOSPC

from pyoci import os
from pyoci.cgroups import files
from pyoci.cgroups.files import Directory, Tree
from pyoci.cgroups.limits.limit import MustExceed, Write
from pyoci.errors import os_error_text
from pyoci.kernel import textfile
from pyoci.log import log

# What takes the limit from a device that had none before; on v1 it is 0.
_NONE = {
    "io.max": b"rbps=max wbps=max riops=max wiops=max",
    "io.weight": b"default",
    "io.bfq.weight": b"default",
    "io.latency": b"target=max",
}


class Saved:
    """What stands in the files of `writes` now. A file that cannot be read is not put back either."""

    def __init__(self, paths: dict[str, str], writes: tuple[Write, ...]) -> None:
        self._before: dict[tuple[str, str], bytes] = {}
        self._lost = tuple([_weight(write) for write in writes if write.file == "cpu.idle"])
        with Tree() as tree:
            for write in (*writes, *self._lost):
                self._save(tree, paths, write)

    def _save(self, tree: Tree, paths: dict[str, str], write: Write) -> None:
        if write.otherwise is not None:
            self._save(tree, paths, write.otherwise)
        key = (paths.get(write.controller, ""), write.file)
        if not key[0] or key in self._before or isinstance(write, MustExceed):
            return
        try:
            with tree.open(key[0]) as cgroup:
                self._before[key] = cgroup.read(write.file)
        except OSError:
            pass

    def writes(self, paths: dict[str, str], writes: tuple[Write, ...]) -> tuple[Write, ...]:
        """The same with the values that stood there; without those whose file is not saved, or was empty where that is
        no value: a cpuset that names nothing has what the one above has."""
        found = []
        for write in (*writes, *self._lost):
            before = self._before.get((paths.get(write.controller, ""), write.file))
            value = os.fsdecode(before or b"").strip()
            if value or (before is not None and write.file.startswith("cpuset.")):
                found.append(write.replace(text=value, otherwise=None))
        return tuple(found)

    def put_back(self) -> None:
        """Write back what differs, the last first. What the kernel refuses is tried again as long as that helps: of two
        values that depend on each other one has to go first. What is left then is a warning, as in runc."""
        left = list(reversed(self._before.items()))
        with Tree() as tree:
            while left:
                failed = []
                for (path, file), before in left:
                    try:
                        with tree.open(path) as cgroup:
                            _put_back(cgroup, file, before)
                    except OSError as error:
                        failed.append((((path, file), before), error))
                if len(failed) == len(left):
                    texts = "; ".join(os_error_text(error) for _, error in failed)
                    log.warning(f"Setting back cgroup configs failed due to error: {texts}")
                    return
                left = [item for item, _ in failed]


def _weight(idle: Write) -> Write:
    """What the kernel forgets when the cgroup becomes idle, or ends to be: then it has the usual weight."""
    file = "cpu.shares" if idle.controller else "cpu.weight"
    return Write(controller=idle.controller, file=file, text="", pointer=idle.pointer)


def _put_back(cgroup: Directory, file: str, before: bytes) -> None:
    now = cgroup.read(file)
    if now == before:
        return
    if file == "memory.oom_control":
        cgroup.write(file, files.keyed(before, b"oom_kill_disable"))
        return
    lines = textfile.lines(before)
    devices = {line.split()[0] for line in lines if _of_device(line)}
    for line in textfile.lines(now):
        if _of_device(line) and line.split()[0] not in devices:
            cgroup.write(file, line.split()[0] + b" " + _NONE.get(file, b"0"))
    for line in lines or [b""]:
        if line or (not devices and not _of_device(now)):
            try:
                cgroup.write(file, line + b"\n")
            except OSError as error:
                if error.errno != ENOSPC or line or not file.startswith("cpuset."):
                    raise
                cgroup.write(file, cgroup.read(f"../{file}.effective"))  # a cpuset with processes cannot be emptied


def _of_device(line: bytes) -> bool:
    """Whether a line is about one device: it begins with MAJOR:MINOR."""
    major, _, minor = line.partition(b" ")[0].partition(b":")
    return major.isdigit() and minor.isdigit()
