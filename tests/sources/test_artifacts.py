"""Folders of artifacts: one without files is empty where its store is, and unknown elsewhere."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.connectors.mlflow.artifacts import ArtifactSize, ArtifactStores
from app.domain.errors import ForeignUnavailable

LAYOUTS = (
    "1/0f34/artifacts",
    "1/models/m-29eb/artifacts",
    "workspaces/speech/1/0f34/artifacts",
    "workspaces/speech/1/models/m-29eb/artifacts",
)


@pytest.fixture
def stores() -> Iterator[ArtifactStores]:
    """Stores that are read where their folders say."""
    found = ArtifactStores(destination=None, server=None, parallel=1)
    yield found
    found.close()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_run_whose_workspace_holds_no_file_yet_is_empty(
    stores: ArtifactStores, tmp_path: Path, layout: str
) -> None:
    folder = tmp_path / "store" / layout
    (tmp_path / "store" / "workspaces").mkdir(parents=True)

    assert stores.measure([[str(folder)]]) == [ArtifactSize(0, None)]

    folder.mkdir(parents=True)
    (folder / "a.bin").write_bytes(b"x" * 7)
    [found] = stores.measure([[folder.as_uri()]])
    assert isinstance(found, ArtifactSize)
    assert found.size_bytes == 7


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_run_whose_store_is_not_there_has_no_known_size(
    stores: ArtifactStores, tmp_path: Path, layout: str
) -> None:
    [found] = stores.measure([[str(tmp_path / "store" / layout)]])

    assert isinstance(found, ForeignUnavailable)
    assert "does not exist." in str(found)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_below_the_destination_of_the_proxy_whatever_is_missing_is_empty(
    tmp_path: Path, layout: str
) -> None:
    stores = ArtifactStores(destination=str(tmp_path), server=None, parallel=1)

    assert stores.measure([[f"mlflow-artifacts:/{layout}"]]) == [ArtifactSize(0, None)]
    tmp_path.rmdir()
    [found] = stores.measure([[f"mlflow-artifacts:/{layout}"]])
    assert isinstance(found, ForeignUnavailable)
    stores.close()
