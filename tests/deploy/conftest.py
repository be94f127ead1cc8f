"""Run the deployment tests only under `make deploy`, which installs their tools."""

from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Ignore these files without `-m deploy`: the libraries that they import may be missing."""
    is_deploy_test = collection_path.is_relative_to(Path(__file__).parent)
    return True if is_deploy_test and config.option.markexpr != "deploy" else None
