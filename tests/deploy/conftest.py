"""What deploys the service is tested where `make deploy` has installed the tools for it."""

from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Without `-m deploy` these files are not even imported: their libraries may be missing."""
    own = collection_path.is_relative_to(Path(__file__).parent)
    return True if own and config.option.markexpr != "deploy" else None
