"""Whether the security tests notice when a line of defence is missing: a test of the tests.

tests/security/mutations.py lists the defences, each with the text that makes it one and a text that takes it away. In a
copy of the project each is taken away in turn, the runtime installed, and the tests named for it run; one of them has
to fail. First all of them run as they are, and have to pass. Some twenty minutes for all; not part of any other check.

    .venv/bin/python -m tools.check_defences [REGEX]        only the defences whose names match
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.security.mutations import MUTATIONS, Mutation

PROJECT = Path(__file__).resolve().parent.parent
PLACE = Path("/var/tmp")
LIMIT = 600  # seconds: a defence may be one against waiting for ever
HERE = "not guest and not tree and not booted and not legacy"


def copy_of_project() -> Path:
    """The files that git knows, as they are now, with an environment of their own."""
    place = Path(tempfile.mkdtemp(prefix="pyoci-defences.", dir=PLACE))
    place.chmod(0o755)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        capture_output=True,
        check=True,
    ).stdout
    for name in listed.decode().split("\0"):
        if name and (PROJECT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, place / name)
    subprocess.run(["make", ".venv/.test", "all"], cwd=place, stdout=subprocess.DEVNULL, check=True)
    return place


def install(place: Path) -> None:
    subprocess.run(["tools/install", ".venv"], cwd=place, stdout=subprocess.DEVNULL, check=True)


def failed(place: Path, tests: tuple[str, ...]) -> str:
    """The first test that fails, "" if none does. One that hangs has failed."""

    command = [".venv/bin/python", "-m", "pytest", "-x", "-q", "-n0", "-p", "no:cacheprovider", "-m", HERE, *tests]
    try:
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return f"nothing ended within {LIMIT} s"
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stdout + done.stderr)
    (place / "pytest.log").write_text(done.stdout)
    if done.returncode == 0:
        return ""
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    return found[1] if found else "a test that pytest does not name"


def without(place: Path, mutation: Mutation) -> str:
    """The first test that fails while the defence is missing."""
    path = place / mutation.file
    whole = path.read_text()
    if whole.count(mutation.old) != 1:
        raise RuntimeError(f"{mutation.name}: its text occurs {whole.count(mutation.old)} times in {mutation.file}")
    path.write_text(whole.replace(mutation.old, mutation.new))
    try:
        install(place)
        return failed(place, mutation.tests)
    finally:
        path.write_text(whole)


def main() -> int:
    wanted = re.compile(sys.argv[1] if len(sys.argv) > 1 else "")
    chosen = [one for one in MUTATIONS if wanted.search(one.name)]
    place = copy_of_project()
    begun = time.monotonic()
    everything = tuple(sorted({test for one in chosen for test in one.tests}))
    if broken := failed(place, everything):
        print(f"{broken} fails as it is; see {place}/pytest.log")
        return 1
    unnoticed = 0
    for one in chosen:
        noticed = without(place, one)
        unnoticed += not noticed
        print(f"{one.name}: {noticed or 'NOBODY MISSES IT in ' + ', '.join(one.tests)}", flush=True)
    print(f"{len(chosen)} defences, {unnoticed} unnoticed, {time.monotonic() - begun:.0f} s")
    shutil.rmtree(place)
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
