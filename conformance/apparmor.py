"""The AppArmor profile that a program of the suite asks for by name, where the kernel has AppArmor."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

ENABLED = Path("/sys/module/apparmor/parameters/enabled")
# It allows everything: what counts is that the process has it.
PROFILE = """
profile acme_secure_profile flags=(attach_disconnected, mediate_deleted) {
  file,
  network,
  capability,
  mount,
  umount,
  signal,
  ptrace,
  unix,
}
"""


@contextlib.contextmanager
def profile() -> Iterator[None]:
    """With the profile loaded, if that is possible here."""
    if not ENABLED.exists() or ENABLED.read_text()[:1] != "Y" or shutil.which("apparmor_parser") is None:
        yield
        return
    _parser("--replace", "--skip-cache")
    try:
        yield
    finally:
        _parser("--remove")


def _parser(*options: str) -> None:
    subprocess.run(["apparmor_parser", *options], input=PROFILE, text=True, check=True)
