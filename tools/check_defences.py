"""Whether the security tests notice when a line of defence is missing: a test of the tests.

tests/security/mutations lists the defences, each with the texts that make it one and texts that take it away. In a copy
of the project each is taken away in turn, the runtime put together, and the tests named for it run; one of them has to
fail. First all of these tests run as they are, each once, and have to pass. Ten seconds or so for each; not part of any
other check (make defences).

    .venv/bin/python -m tools.check_defences [--part 1/2] [--place DIRECTORY] [--table FILE] [REGEX]

REGEX: only the defences whose names match.

Everything runs in a mount namespace of its own.
"""

from __future__ import annotations

import argparse
import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pyoci import pack
from tests.security.mutations import MUTATIONS, Mutation
from tools.generate import pack as build_pack

PROJECT = Path(__file__).resolve().parent.parent
PLACE = Path("/var/tmp")  # noqa: S108 - the directory made in it has a random name
LIMIT = 300  # seconds: a defence may be one against waiting for ever
WHOLE = 3600  # seconds for all of the tests as they are
RACES = "30"  # creates per race instead of 200: what is missing shows sooner than that
HERE = "not guest and not tree and not booted and not legacy"
QUICK = "-k=not userns and not nested"  # first, of tests that run in several kinds of user namespaces, the plain ones
NONE_CHOSEN = 5  # pytest's exit status
MEMORY = 4 << 30  # bytes: or against reading without end
# Without some of the defences mounts would reach the host's, and its null device would get another owner.
NULL = 'mount -t tmpfs t /mnt; mknod -m 666 /mnt/null c 1 3; mount --bind /mnt/null /dev/null; exec "$@"'
APART = ["prlimit", f"--as={MEMORY}", "unshare", "--mount", "--propagation", "private", "sh", "-ec", NULL, "sh"]

DOCUMENT = PROJECT / "docs/defences.md"
HEAD = """# Lines of defence, and the test that sees each

What keeps a container, its image or another user of the machine from more than they are given. `make defences` takes
each away in turn, and the test beside it has to fail (ten seconds for each on an idle machine;
tests/security/mutations has the texts). Where two lines keep the same out, both were taken away together: the row names
both files, or says so. tests/security/test_mutations.py, one of the usual tests, says when a row is no longer about the
code.

Written by `python -m tools.check_defences --document`.
"""


class Copy:
    """The files that git knows, as they are now, with an environment of their own."""

    def __init__(self, place: Path | None) -> None:
        self.kept = place is not None
        self.place = place or Path(tempfile.mkdtemp(prefix="pyoci-defences.", dir=PLACE))
        self.place.mkdir(exist_ok=True)
        self.place.chmod(0o755)
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=PROJECT, capture_output=True, check=True).stdout
        for name in listed.decode().split("\0"):
            if name and (PROJECT / name).is_file():
                (self.place / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(PROJECT / name, self.place / name)
        command = ["make", "-s", ".venv/.test", "all", "pyoci/config/schema/table.py"]
        subprocess.run(command, cwd=self.place, stdout=subprocess.DEVNULL, check=True)
        if self.kept:  # an earlier run may have ended in the middle
            subprocess.run(["tools/install", ".venv"], cwd=self.place, stdout=subprocess.DEVNULL, check=True)
        (self.installed,) = self.place.glob(".venv/lib/python3*/site-packages/pyoci")

    def write(self, name: str, text: str) -> None:
        """Change a file of the sources, and of the installed package."""
        files = [self.place / name]
        if name.startswith("pyoci/"):
            files.append(self.installed.parent / name)
        for file in files:
            file.write_text(text)
            for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"):
                compiled.unlink()

    def put_together(self, names: set[str], tests: tuple[str, ...]) -> None:
        """As tools/install does it, which takes longer. The launcher's own tests compile it themselves."""
        if any(name.startswith("native/") for name in names):
            if not all(test.startswith("tests/native/") for test in tests):
                subprocess.run(["tools/install", ".venv"], cwd=self.place, stdout=subprocess.DEVNULL, check=True)
            return
        (self.installed / "modules.pack").write_bytes(pack.dump(*build_pack.collect(str(self.installed), [])))

    def failed(self, tests: tuple[str, ...], *options: str, limit: int = LIMIT) -> str:
        """The first test that fails, "" if none does. One that hangs has failed."""
        command = [*APART, ".venv/bin/python", "-m", "pytest", "-x", "-q", "-n0", "-p", "no:cacheprovider", "-m", HERE]
        environment = {"PYOCI_TEST_RACES": RACES, **os.environ}
        process = subprocess.Popen(
            [*command, *options, *tests],
            cwd=self.place,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output = process.communicate(timeout=limit)[0]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.communicate()
            return f"nothing ended within {limit} s"
        (self.place / "pytest.log").write_text(output)
        if process.returncode in (0, NONE_CHOSEN):
            return ""
        if process.returncode < 0:
            return f"the tests died of signal {-process.returncode}"
        if process.returncode != 1:
            raise RuntimeError(output)
        found = re.search(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
        return found[1] if found else "a test that pytest does not name"

    def without(self, mutation: Mutation) -> str:
        """The first test that fails while the defence is missing."""
        whole = {one.file: (self.place / one.file).read_text() for one in mutation.changes}
        changed = dict(whole)
        for one in mutation.changes:
            if changed[one.file].count(one.old) != 1:
                raise RuntimeError(f"{mutation.name}: {one.old!r} is not there once in {one.file}")
            changed[one.file] = changed[one.file].replace(one.old, one.new)
        try:
            for name, text in changed.items():
                self.write(name, text)
            self.put_together(set(whole), mutation.tests)
            return self.failed(mutation.tests, QUICK) or self.failed(mutation.tests)
        finally:
            for name, text in whole.items():
                self.write(name, text)
            if any(name.startswith("native/") for name in whole):  # the rest is put together for the next one
                self.put_together(set(whole), mutation.tests)


def document() -> str:
    """docs/defences.md."""
    rows = []
    for one in MUTATIONS:
        files = ", ".join(dict.fromkeys(change.file for change in one.changes))
        tests = ", ".join(f"`{test.removeprefix('tests/')}`" for test in one.tests)
        rows.append(f"| {one.name} | {files} | {tests} |\n")
    return f"{HEAD}\n| defence | in | seen by |\n|---|---|---|\n{''.join(rows)}"


def main() -> int:
    """Take away each line of defence, and print whether a test sees it. Returns 1 if none sees one."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--table", type=Path, help="write the result there, one row for each")
    parser.add_argument("--part", default="1/1", help="2/3: the second third of them")
    parser.add_argument("--place", type=Path, help="where the copy is kept, which is quicker the next time")
    parser.add_argument("--trust", action="store_true", help="the tests are known to pass as they are")
    parser.add_argument("names", nargs="?", default="", help="a regular expression")
    parser.add_argument("--document", action="store_true", help="only write docs/defences.md")
    options = parser.parse_args()
    if options.document:
        DOCUMENT.write_text(document())
        return 0
    chosen = [one for one in MUTATIONS if re.search(options.names, one.name)]
    part, parts = map(int, options.part.split("/"))
    chosen = chosen[part - 1 :: parts]
    for name in ("strip", "imports"):  # of one module of the package, of which most stay the same
        setattr(build_pack, name, functools.cache(getattr(build_pack, name)))
    copy = Copy(options.place)
    begun = time.monotonic()
    everything = tuple(sorted({test for one in chosen for test in one.tests}))
    if broken := "" if options.trust else copy.failed(everything, limit=WHOLE):
        print(f"{broken} fails as it is; see {copy.place}/pytest.log")
        return 1
    if not options.trust:
        print(f"{len(everything)} tests pass as they are, {time.monotonic() - begun:.0f} s", flush=True)
    rows = []
    for one in chosen:
        noticed = copy.without(one)
        rows.append((one.name, noticed or f"NOBODY MISSES IT in {', '.join(one.tests)}"))
        print(f"{rows[-1][0]}: {rows[-1][1]}", flush=True)
    unnoticed = sum("NOBODY" in row[1] for row in rows)
    total = f"{len(chosen)} defences, {unnoticed} unnoticed, {time.monotonic() - begun:.0f} s"
    print(total)
    if options.table:
        lines = [f"| {name} | `{noticed.removeprefix('tests/')}` |\n" for name, noticed in rows]
        options.table.write_text(f"| taken away | noticed by |\n|---|---|\n{''.join(lines)}\n{total}\n")
    if not copy.kept:
        shutil.rmtree(copy.place)
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
