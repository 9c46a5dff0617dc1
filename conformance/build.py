"""Builds the suite and the runtimes it is compared with, from the Go module proxy, into a cache.

    CACHE/suite/            runtimetest, the validation programs and the root filesystem archive they unpack
    CACHE/runc-VERSION/runc
    CACHE/results/          what earlier runs found, LANE/LABEL.json

CACHE is $PYOCI_CONFORMANCE_CACHE or /var/cache/pyoci-conformance. A directory is complete when it holds `.complete`,
written last, with what it was made from; anything else is built again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
GO = HERE.parent / "tools/go"
CACHE = Path(os.environ.get("PYOCI_CONFORMANCE_CACHE", "/var/cache/pyoci-conformance"))
SUITE = CACHE / "suite"
RESULTS = CACHE / "results"
TOOLS = "github.com/opencontainers/runtime-tools"
NEWEST_RUNC = "v1.6.0-rc.1"
STABLE_RUNC = "v1.5.2"


def suite() -> Path:
    """The directory with the built suite; a minute's work the first time.

    Raises CalledProcessError if it does not build or there is no go.
    """
    identity = _identity(HERE / "go.mod", HERE / "go.sum")
    if _complete(SUITE, identity):
        return SUITE
    SUITE.mkdir(parents=True, exist_ok=True)
    _go(["build", "-trimpath", "-o", f"{SUITE}/", "tool"], CGO_ENABLED="0")
    module = _go(["list", "-m", "-f", "{{.Dir}}", TOOLS]).strip()
    for archive in Path(module).glob("rootfs-*.tar.gz"):
        shutil.copyfile(archive, SUITE / archive.name)
    (SUITE / ".complete").write_text(identity)
    return SUITE


def programs() -> list[str]:
    """The names of all validation programs, from go.mod."""
    prefix = f"{TOOLS}/validation/"
    lines = (line.strip() for line in (HERE / "go.mod").read_text().splitlines())
    return sorted(line.removeprefix(prefix) for line in lines if line.startswith(prefix))


def runc(version: str) -> Path:
    """runc of that version ("v1.5.2"), with seccomp (needs libseccomp-dev)."""
    directory = CACHE / f"runc-{version}"
    if not _complete(directory, version):
        directory.mkdir(parents=True, exist_ok=True)
        _go(["install", "-tags", "seccomp", f"github.com/opencontainers/runc@{version}"], GOBIN=str(directory))
        (directory / ".complete").write_text(version)
    return directory / "runc"


def _go(arguments: list[str], **environment: str) -> str:
    """Runs go, gently: it shares the machine with other work."""
    command = ["nice", str(GO), arguments[0], *(["-p", "2"] if arguments[0] != "list" else []), *arguments[1:]]
    return subprocess.run(
        command, cwd=HERE, env={**os.environ, **environment}, check=True, text=True, stdout=subprocess.PIPE
    ).stdout


def _identity(*files: Path) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _complete(directory: Path, identity: str) -> bool:
    mark = directory / ".complete"
    return mark.is_file() and mark.read_text() == identity
