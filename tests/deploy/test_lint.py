"""What deploys the service, before anything is built: the linters of each format."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent

pytestmark = pytest.mark.deploy


def test_the_dockerfile_has_no_findings() -> None:
    found = subprocess.run(
        (BIN / "hadolint", ROOT / "Dockerfile"), capture_output=True, text=True, check=False
    )

    assert (found.returncode, found.stdout) == (0, "")
