"""Every file that a command opens as code, found by strace: refused if others may write it or its directory."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.container.box import Box
from tests.installation.conftest import Installation

pytestmark = pytest.mark.root

CODE = re.compile(r"\.(py|pyc|so|pack|zip|cfg)$")
OPENED = re.compile(r'(?:openat\(AT_FDCWD, |execve\()"([^"]+)".*= \d+$')


def everything(config: dict[str, Any]) -> None:
    """Much of what makes a command import more."""
    rule = {"names": ["acct"], "action": "SCMP_ACT_ERRNO"}
    config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    config["linux"]["resources"] = {"pids": {"limit": 20}}
    config["hooks"] = {"poststop": [{"path": "/bin/true"}]}


def opened(installation: Installation, log: Path, command: list[str]) -> list[Path]:
    """What it opened below the installation, and would execute or import."""
    strace = ["strace", "-f", "-qq", "-s", "400", "-e", "trace=openat,execve", "-o", str(log)]
    subprocess.run([*strace, *command], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    found = re.findall(OPENED.pattern, log.read_text("utf-8", "replace"), re.MULTILINE)
    inside = {Path(path).resolve() for path in found if path.startswith(str(installation.prefix))}
    return sorted(path for path in inside if path.is_file() and (CODE.search(path.name) or "bin" in path.parts))


@pytest.mark.parametrize("name", ["state", "run", "delete", "validate", "features", "run without a pack"])
def test_every_file_opened_as_code(installation: Installation, box: Box, name: str) -> None:
    bundle = box.bundle("exit", "0", change=everything)
    if name == "validate":
        config = json.loads((bundle / "config.json").read_text())
        config["process"]["cwd"] = 7  # so that jsonschema is imported
        (bundle / "config.json").write_text(json.dumps(config))
    if name == "run without a pack":
        for path in installation.package.glob("*.p*c*"):
            path.unlink()
    words = {
        "run": ["run", "--bundle", str(bundle), "a"],
        "validate": ["validate", "--bundle", str(bundle)],
        "features": ["features"],
    }.get(name.split()[0], [name, "a"])
    command = [str(installation.program), "--root", str(box.root), *words]
    files = opened(installation, box.directory / "trace", command)
    print("\n".join(map(str, files)))
    least = {"state": 5, "run": 12, "delete": 8, "validate": 60, "features": 13, "run without a pack": 80}
    assert len(files) >= least[name]
    files.append(installation.interpreter)  # executed by descriptor
    few = files if len(files) < 40 else files[:: len(files) // 40]
    directories = sorted({path.parent for path in files})
    for path in (*few, *directories):
        mode = path.stat().st_mode
        path.chmod(mode | 0o002)
        shutil.rmtree(box.root / "@seccomp", ignore_errors=True)  # so that the filter is compiled every time
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        assert done.returncode == 1, path
        assert f"refusing to run: {path} is writable by everybody" in done.stderr, done.stderr
        path.chmod(mode)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert "refusing" not in done.stderr  # control: nothing else was amiss


def test_refused_while_a_container_is_made(installation: Installation, box: Box) -> None:
    """The module that is found last: nothing is left of the container."""
    bundle = box.bundle("exit", "0")
    [module] = installation.site.glob("_prctl*.so")
    os.chown(module, 0, 1234)
    module.chmod(0o775)
    own, box.pyoci = box.pyoci, str(installation.program)
    done = box("--log-format", "json", "create", "--bundle", str(bundle), "a")
    box.pyoci = own
    assert done.returncode == 1
    assert f"refusing to run: {module} is writable by a group" in json.loads(done.stderr.splitlines()[0])["msg"]
    assert not (box.root / "a").exists()


def test_libseccomp(installation: Installation, tmp_path: Path) -> None:
    """Loaded by its name: where it is the dynamic linker knows, and is asked."""
    script = f"import sys; sys.path.insert(0, {str(installation.site)!r}); from pyoci.kernel import libseccomp as l; "
    python = [str(installation.interpreter), "-I", "-c", script + "print(l.path())"]
    own = Path(subprocess.run(python, capture_output=True, text=True, check=True).stdout.strip())
    copy = tmp_path / "libraries/libseccomp.so.2"
    copy.parent.mkdir()
    copy.write_bytes(own.read_bytes())
    environment = {"LD_LIBRARY_PATH": str(copy.parent)}
    done = subprocess.run(python, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == str(copy), done.stderr
    copy.chmod(0o666)
    done = subprocess.run(python, env=environment, capture_output=True, text=True, check=False)
    assert f"refusing to run: {copy} is writable by everybody" in done.stderr and done.returncode == 1


def test_nothing_that_site_would_run(installation: Installation, tmp_path: Path) -> None:
    """jsonschema beside the standard library and not beside pyoci: found there, but no *.pth and no sitecustomize."""
    sprung = tmp_path / "sprung"
    trap = f"import posix; posix.close(posix.open({str(sprung)!r}, posix.O_CREAT | posix.O_WRONLY))\n"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    installation.package.rename(elsewhere / "pyoci")
    there = installation.site
    python = [str(installation.interpreter), "-I", "-S", "-c"]
    listed = subprocess.run(
        [*python, "import site; print(*site.getsitepackages(), sep='\\n')"], capture_output=True, text=True, check=True
    )
    first = Path(listed.stdout.splitlines()[0])
    assert str(first).startswith(str(installation.prefix))
    first.mkdir(parents=True, exist_ok=True)
    for path in there.iterdir():
        if not (first / path.name).exists():
            path.rename(first / path.name)
    (first / "trap.pth").write_text(trap)
    (first / "sitecustomize.py").write_text(trap)
    code = f"import sys; sys.path.append({str(elsewhere)!r}); import pyoci.config.report as r; print(r.violations(7))"
    done = subprocess.run([*python, code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "") and "must be an object" in done.stdout
    assert not sprung.exists()
    subprocess.run([*python, "import site; site.main()"], check=False)
    assert sprung.exists()  # control: the trap is one
