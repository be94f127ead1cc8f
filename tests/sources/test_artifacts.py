"""Artifact folders: a missing folder is empty if its store exists, and unmeasured if not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.connectors.mlflow.artifacts import ArtifactSize, ArtifactStores
from app.domain.errors import SourceUnavailable

LAYOUTS = (
    "1/0f34/artifacts",
    "1/models/m-29eb/artifacts",
    "workspaces/speech/1/0f34/artifacts",
    "workspaces/speech/1/models/m-29eb/artifacts",
)


@pytest.fixture
def stores() -> Iterator[ArtifactStores]:
    """Return stores without a proxy destination."""
    opened = ArtifactStores(destination=None, server=None, parallel=1)
    yield opened
    opened.close()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_run_without_files_in_an_existing_store_is_empty(
    stores: ArtifactStores, tmp_path: Path, layout: str
) -> None:
    folder = tmp_path / "store" / layout
    (tmp_path / "store" / "workspaces").mkdir(parents=True)

    assert stores.measure([[str(folder)]]) == [ArtifactSize(0, None)]

    folder.mkdir(parents=True)
    (folder / "a.bin").write_bytes(b"x" * 7)
    [size] = stores.measure([[folder.as_uri()]])
    assert isinstance(size, ArtifactSize)
    assert size.size_bytes == 7


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_run_in_a_missing_store_has_no_size(
    stores: ArtifactStores, tmp_path: Path, layout: str
) -> None:
    [size] = stores.measure([[str(tmp_path / "store" / layout)]])

    assert isinstance(size, SourceUnavailable)
    assert "does not exist." in str(size)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_missing_folder_below_the_proxy_destination_is_empty(
    tmp_path: Path, layout: str
) -> None:
    stores = ArtifactStores(destination=str(tmp_path), server=None, parallel=1)

    assert stores.measure([[f"mlflow-artifacts:/{layout}"]]) == [ArtifactSize(0, None)]
    tmp_path.rmdir()
    [size] = stores.measure([[f"mlflow-artifacts:/{layout}"]])
    assert isinstance(size, SourceUnavailable)
    stores.close()
