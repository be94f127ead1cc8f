"""JSON values whose shape only the code that reads or writes them knows."""

from typing import Any

JsonObject = dict[str, Any]
