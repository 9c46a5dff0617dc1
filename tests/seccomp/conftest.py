"""What tests of containers use."""

from __future__ import annotations

from tests.container.conftest import agent, box, either_box, seeded, tell

__all__ = ["agent", "box", "either_box", "seeded", "tell"]
