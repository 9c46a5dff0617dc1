from typing import Any

DOCUMENTS: dict[str, Any]
