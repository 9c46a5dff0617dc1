"""The reporter: a static C program that is the container's process in the tests. reporter.c says what it can do."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parent
PROJECT = SOURCES.parent.parent
FLAGS = ("-std=gnu17", "-D_GNU_SOURCE", "-O1", "-Wall", "-Wextra", "-Werror", "-static")


def build() -> Path:
    """Path of the program, compiled if no build of these sources is in the cache (PYOCI_TEST_CACHE or .cache/).

    Atomic: several runs may build at the same time. A lane without a compiler finds what the host has built.
    """
    files = sorted([*SOURCES.glob("*.c"), *SOURCES.glob("*.h")])
    content = b"\0".join([" ".join(FLAGS).encode(), *(file.read_bytes() for file in files)])
    cache = Path(os.environ.get("PYOCI_TEST_CACHE", PROJECT / ".cache"))
    program = cache / f"reporter-{hashlib.sha256(content).hexdigest()[:16]}" / "reporter"
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        temporary = program.with_name(f"reporter.{os.getpid()}")
        compiled = [str(file) for file in files if file.suffix == ".c"]
        subprocess.run(["gcc", *FLAGS, "-o", str(temporary), *compiled], check=True)
        temporary.rename(program)
    return program


def parse(output: bytes) -> list[dict[str, Any]]:
    """The JSON objects in the output, one a line. Other lines are passed over, odd bytes become surrogates."""
    lines = output.decode("utf-8", "surrogateescape").splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]
