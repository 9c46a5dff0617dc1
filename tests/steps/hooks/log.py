"""Hooks that leave traces: a directory that all of them can write to."""

from __future__ import annotations

from typing import Any

from tests import reporter
from tests.container.box import Box
from tests.steps.look import Config

HOST = ("prestart", "createRuntime", "poststart", "poststop")
INSIDE = ("createContainer", "startContainer")
KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
IN_CREATE = ("prestart", "createRuntime", "createContainer")
Hook = dict[str, Any]


class Log:
    """A directory that hooks write to, on the host and, as /log, in the container."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.directory = box.directory / "log"
        self.directory.mkdir()
        self.directory.chmod(0o777)

    def path(self, kind: str, name: str) -> str:
        """How the hook of that kind calls it."""
        return f"{'/log' if kind == 'startContainer' else self.directory}/{name}"

    def program(self, kind: str) -> str:
        return "/reporter" if kind == "startContainer" else str(self.box.reporter)

    def hook(self, kind: str, *words: str, **more: object) -> Hook:
        """A hook that runs the reporter with these words."""
        program = self.program(kind)
        return {"path": program, "args": ["hook", *words], **more}

    def reporting(self, kind: str, **more: object) -> Hook:
        return self.hook(kind, "report-to", self.path(kind, kind), **more)

    def shell(self, script: str, **more: object) -> Hook:
        """A hook of the host's side that is a shell script."""
        return {"path": "/bin/sh", "args": ["sh", "-c", script], **more}

    def report(self, kind: str) -> dict[str, Any]:
        [seen] = reporter.parse((self.directory / kind).read_bytes())
        return seen

    def bundle(self, *words: str, **hooks: list[Hook]) -> str:
        def change(config: Config) -> None:
            config["hooks"] = hooks
            config["root"]["readonly"] = False
            bind = {"destination": "/log", "source": str(self.directory), "options": ["bind"]}
            config["mounts"].append(bind)

        return str(self.box.bundle(*(words or ("sleep",)), change=change))
