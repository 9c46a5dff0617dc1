"""What holds for all tests."""

from __future__ import annotations

from tests import schema_modules

schema_modules.make()  # before any test module imports pyoci.config
