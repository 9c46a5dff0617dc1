"""config.json of a bundle: read, checked against the schema, made into records, checked against the rules."""

from __future__ import annotations

from pyoci import jsonfile
from pyoci.config import Config, read
from pyoci.config.rules import rules
from pyoci.config.schema import schema
from pyoci.config.schema.table import CONFIG
from pyoci.errors import ConfigError
from pyoci.log import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyoci.config.keys import Remark


def load(bundle: str, needs_process: bool = False) -> tuple[Config, dict[str, Any]]:
    """The records, and the file's content that they were made of. Raises ConfigError.

    The keys of the content are spelled as in the specification; the log tells of those that were not, and of unknown
    ones that look like a slip.
    """
    raw, remarks = check(jsonfile.read(f"{bundle}/config.json", what="config.json"))
    try:
        config = read(raw)
        rules.check(config)
        if needs_process and config.process is None:
            raise ConfigError("process property must not be empty", pointer="/process", hint="say what to run")
    except ConfigError as error:
        error.hint = schema.slip(remarks, error.pointer) or error.hint
        raise
    if remarks:
        from pyoci.config import remarked

        remarked.warn(remarks, "config.json")
    for pointer, reason in rules.oddities(config):
        log.warning(f"config.json#{pointer}: {reason}")
    return config, raw


def check(raw: Any) -> tuple[Any, list[Remark]]:
    """The value of config.json, null members dropped, as `schema.look` finds it.

    Errors: ConfigError for the first violation; its hint tells the others.
    """
    raw, remarks, fault = schema.look(raw, CONFIG)
    if fault is not None:
        from pyoci.config import refusal

        raise refusal.error(raw, remarks, fault)
    return raw, remarks
