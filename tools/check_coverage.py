"""Whether the tests that docs/coverage.md names notice when a property is missing: a test of the tests.

For every property its tests run once more, with that property taken out of every config.json that they make
(tests/container/box.py). One of them has to fail. Half an hour; not part of any other check.

    .venv/bin/python -m tools.check_coverage [REGEX]        only properties whose names match, as in the table
"""

from __future__ import annotations

import os
import re
import subprocess
import sys

from tools.generate.coverage import IGNORED, PROJECT, dotted, leaves, rows

# Not on this machine, or not by a container: taken out of its config.json, nobody could notice it.
ELSEWHERE = {
    "linux.resources.": "limits have tests for v1, v2 and the guest; tests/test_resources_table.py knows which",
    "linux.seccomp.": "the program that a filter becomes is compared with a model (tests/container/test_seccomp*.py)",
    "linux.intelRdt.": "a directory stands for resctrl, so there is no container (tests/steps/host/test_rdt.py)",
    "process.capabilities.effective": "execve(2) computes the set anew; the step's test looks before that",
    "ociVersion": "nothing depends on it",
    "root.path": "without it there is no container",
}
HERE = "not guest and not tree and not booted and not legacy"


def notices(pointer: str, files: list[str]) -> bool:
    """Whether one of the tests fails without the property."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", HERE, *files]
    environment = {**os.environ, "PYOCI_TEST_WITHOUT": pointer}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stdout + done.stderr)
    return done.returncode == 1


def main() -> int:
    """Print each property whose tests pass without it. Returns 1 if there is one."""
    wanted = re.compile(sys.argv[1] if len(sys.argv) > 1 else "")
    tests = {name: files.split(", ") for name, _, files in rows()}
    unnoticed = 0
    for pointer, _, _ in leaves():
        name = dotted(pointer)
        if pointer in IGNORED or not wanted.search(name) or name.startswith(tuple(ELSEWHERE)):
            continue
        if not notices(pointer, tests[name]):
            unnoticed += 1
            print(f"{name}: nobody misses it in {', '.join(tests[name])}", flush=True)
    print(f"{unnoticed} unnoticed")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
