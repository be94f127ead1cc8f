"""A running service with the demo organization, the target of the attacks."""

from collections.abc import Iterator

import pytest

from tests.server_process import ServerProcess


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The process that all tests here share."""
    with ServerProcess(tmp_path_factory.mktemp("hardening")) as server:
        yield server
