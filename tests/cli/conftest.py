"""Running the command line as the launcher does, without the launcher."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pyoci

MAIN = Path(pyoci.__file__).with_name("__main__.py")
Run = Callable[..., subprocess.CompletedProcess[str]]
# An ordinary user who may look into every directory: a checkout below /root is closed to others.
AS_USER = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"]
AS_USER += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]


@pytest.fixture
def run_cli(tmp_path: Path) -> Run:
    """`run_cli("kill", "a")`: rc, stdout and stderr of that command line, its root below tmp_path by default."""

    def run(
        *argv: str, env: dict[str, str] | None = None, flags: tuple[str, ...] = (), **options: Any
    ) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": os.environ["PATH"], "PYOCI_ARGV0": "pyoci", "PYOCI_UMASK": "022"}
        command = [sys.executable, "-I", "-X", "utf8", *flags, str(MAIN), *argv]
        return subprocess.run(
            command,
            env={**environment, **(env or {})},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            **options,
        )

    return run
