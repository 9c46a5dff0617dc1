"""What hooks are told about their container (runtime.md, "State")."""

from __future__ import annotations

from pyoci import SPEC_VERSION
from pyoci.jsonfile import dumps
from pyoci.record import Record


class HookState(Record):
    """What every hook of one container is told (runtime.md, "State"), but for status and pid."""

    id: str
    bundle: str
    annotations: dict[str, str]

    def text(self, status: str, pid: int) -> str:
        """One line of JSON without a newline; no pid when the container is gone."""
        return dumps(self.fields(status, pid))

    def fields(self, status: str, pid: int) -> dict[str, object]:
        """The same as an object."""
        state: dict[str, object] = {"ociVersion": SPEC_VERSION, "id": self.id, "status": status}
        if pid:
            state["pid"] = pid
        state["bundle"] = self.bundle
        if self.annotations:
            state["annotations"] = self.annotations
        return state
