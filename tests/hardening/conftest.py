"""A running service with the demo organization, for all who try to break it."""

from collections.abc import Iterator

import pytest

from tests.server_process import ServerProcess


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The process that every test here attacks, one after the other."""
    with ServerProcess(tmp_path_factory.mktemp("hardening")) as server:
        yield server
