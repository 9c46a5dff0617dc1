"""plan: what create would do with a bundle, step by step, without doing any of it."""

from __future__ import annotations

from pyoci import host, jsonfile
from pyoci.cli.bundle import bundle
from pyoci.cli.output import emit
from pyoci.config import loader
from pyoci.container.inputs import create_inputs
from pyoci.container.options import CreateOptions
from pyoci.errors import UsageError
from pyoci.log import printable
from pyoci.plan import create as plan
from pyoci.plan.plan import Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyoci.cli.options import Options
    from pyoci.config import Config

_NO_ID = "CONTAINER-ID"  # stands in paths for the id that has not been chosen


def main(options: Options) -> int:
    """Print the plan for the container named on the command line, or for one without a name."""
    form = options.text("format")
    if form not in ("text", "json"):
        raise UsageError("invalid format option", pointer="--format", hint="it is text or json")
    create = CreateOptions(
        root=options.text("root"),
        id=options.arguments[0] if options.arguments else _NO_ID,
        bundle=bundle(options),
        rootless=options.text("rootless"),
        systemd_cgroup=options.flag("systemd-cgroup"),
    )
    config, _ = loader.load(create.bundle)
    made = plan.make(config, create_inputs(config, create, facts=_facts(config)))
    emit(as_json(made) if form == "json" else as_text(made))
    return 0


def _facts(config: Config) -> host.Host:
    """The host as it is; but for a bundle that only root can run, the plan is root's, whoever asks."""
    facts = host.read()
    if facts.euid == 0 or config.linux.namespace("user") is not None:
        return facts
    return host.Host(euid=0, egid=0, user_namespace=False, kcore=facts.kcore)


def as_text(made: Plan) -> str:
    """A line per step: its number, the process that takes it, the pointer of its property, what it does."""
    rows = [(side, step.pointer or "-", printable(step.describe()).replace("\n", " ")) for side, step in made.steps()]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines = [
        f"{number:>3}  {side:<{widths[0]}}  {pointer:<{widths[1]}}  {does}"
        for number, (side, pointer, does) in enumerate(rows, 1)
    ]
    return "\n".join(lines) + "\n"


def as_json(made: Plan) -> str:
    """{"twoStage": bool, "steps": [{"side", "step", "pointer", "description"}]}: pointer may be ""."""
    steps: list[dict[str, Any]] = [
        {"side": side, "step": type(step).__name__, "pointer": step.pointer, "description": step.describe()}
        for side, step in made.steps()
    ]
    return jsonfile.dumps_indent({"twoStage": made.two_stage, "steps": steps}, 2) + "\n"
