"""A running service with the demo organization, for all who try to break it."""

from collections.abc import Iterator

import pytest

from tests.served import Served


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The process that every test here attacks, one after the other."""
    with Served(tmp_path_factory.mktemp("hardening")) as served:
        yield served
