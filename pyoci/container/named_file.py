"""A JSON file that an option names: --process of exec and --resources of update. Imported only if one is given."""

from __future__ import annotations

from pyoci import jsonfile, os
from pyoci.config.schema import schema
from pyoci.errors import ConfigError, cannot_open

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyoci.config.keys import Remark

_CHUNK = 65536


class NamedFile:
    """What the file says, at the place of config.json that it stands for. Errors name the file and the option."""

    def __init__(self, path: str, option: str, part: tuple[str, ...]) -> None:
        """part: the keys that lead to that place. path: "-" is the standard input, for an option that takes it."""
        self.path = path
        self.name = path
        self.option = option
        self.part = part
        self.remarks: list[Remark] = []

    def read(self, node: schema.Node, *, standard_input: bool = False) -> Any:
        """The value, which has passed the schema `node`. Raises Error."""
        if standard_input and self.path == "-":
            self.name = "standard input"
        try:
            found = self._content()
            raw, self.remarks, fault = schema.look(found, node, self.name)
            if fault is not None:
                from pyoci.config import refusal

                raise refusal.error(raw, self.remarks, fault, self.name, self.part)
        except OSError as error:
            raise cannot_open(self.path, error, self.option) from None
        except ConfigError as error:
            error.pointer = self.option
            raise
        return raw

    def _content(self) -> Any:
        if self.name == self.path:
            return jsonfile.read(self.path, what=self.name)
        data = b""
        while chunk := os.read(0, _CHUNK):
            data += chunk
        return jsonfile.parse(data, self.name)

    def placed(self, error: ConfigError, pointer: str) -> ConfigError:
        """A broken rule of what was read at `pointer`, told of the file."""
        place = error.pointer.removeprefix(pointer)
        error.hint = schema.slip(self.remarks, place, "", self.name) or error.hint
        error.message = error.message.replace(f"config.json#{pointer}", f"{self.name}#")
        error.pointer = self.option
        return error

    def pointer(self, place: str) -> str:
        """Of a property in it, for an error whose message does not name that."""
        return f"{self.name}#{place}"

    def tell(self) -> None:
        """Warn of keys that are not the specification's."""
        if self.remarks:
            from pyoci.config import remarked

            remarked.warn(self.remarks, self.name)
