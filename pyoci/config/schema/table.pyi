from typing import Any

CONFIG: tuple[Any, ...]
