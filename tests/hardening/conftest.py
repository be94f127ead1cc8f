"""A running service with the demo organization, the target of the attacks."""

from collections.abc import Iterator

import pytest

from tests.server_process import ServerProcess


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One service with the demo organization for all tests of this folder."""
    with ServerProcess(tmp_path_factory.mktemp("hardening")) as server:
        yield server
