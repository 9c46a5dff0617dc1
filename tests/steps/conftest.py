"""Real containers whose program is the reporter: what it sees is the effect of the steps."""

from __future__ import annotations

from tests.container.conftest import box, either_box
from tests.steps.look import Look, look

__all__ = ["Look", "box", "either_box", "look"]
