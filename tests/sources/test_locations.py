"""Artifact locations are decoded as MLflow does, for each kind of store."""

import json
import subprocess
from pathlib import Path

import pytest

from app.connectors.mlflow.artifacts import ArtifactSize, ArtifactStores
from app.connectors.mlflow.locations import (
    BucketFolder,
    LocalFolder,
    ProxyFolder,
    parse_location,
)
from app.domain.errors import InvalidArgument, SourceUnavailable
from tests.sources.mlflow_install import install_mlflow

# What the path of a location becomes in stores that keep it, decode it once, and decode it until
# nothing changes.
PATHS = [
    ("a b", "a b", "a b", "a b"),
    ("a%20b", "a%20b", "a b", "a b"),
    ("100%25", "100%25", "100%", "100%"),
    ("a%2520b", "a%2520b", "a%20b", "a b"),
    ("a+b", "a+b", "a+b", "a+b"),
    ("a%2Bb", "a%2Bb", "a+b", "a+b"),
    ("%C3%BC", "%C3%BC", "ü", "ü"),
    ("ü", "ü", "ü", "ü"),
    ("a%2Fb", "a%2Fb", "a/b", "a/b"),
    ("a;b", "a;b", "a;b", "a;b"),
    ("%zz", "%zz", "%zz", "%zz"),
]


@pytest.mark.parametrize(("written", "kept", "decoded", "fully_decoded"), PATHS)
def test_each_kind_of_store_decodes_a_path_in_its_own_way(
    written: str, kept: str, decoded: str, fully_decoded: str
) -> None:
    azure = "c@acc"
    assert parse_location(f"s3://b/{written}/r") == BucketFolder("s3://b", f"{kept}/r")
    assert parse_location(f"gs://b/{written}/r") == BucketFolder("gs://b", f"{kept}/r")
    wasbs = f"wasbs://{azure}.blob.core.windows.net"
    assert parse_location(f"{wasbs}/{written}/r") == BucketFolder(wasbs, f"{kept}/r")
    abfss = f"abfss://{azure}.dfs.core.windows.net"
    assert parse_location(f"{abfss}/{written}/r") == BucketFolder(abfss, f"{decoded}/r")
    assert parse_location(f"file:///d/{written}/r") == LocalFolder(Path(f"/d/{decoded}/r"))
    assert parse_location(f"/d/{written}/r") == LocalFolder(Path(f"/d/{decoded}/r"))
    assert parse_location(f"mlflow-artifacts:/{written}/r") == ProxyFolder(f"{fully_decoded}/r")


@pytest.mark.mlflow
@pytest.mark.timeout(600)
def test_mlflow_decodes_paths_in_the_same_way() -> None:
    program = f"""
import json
from mlflow.store.artifact.azure_blob_artifact_repo import AzureBlobArtifactRepository
from mlflow.store.artifact.azure_data_lake_artifact_repo import _parse_abfss_uri
from mlflow.store.artifact.gcs_artifact_repo import GCSArtifactRepository
from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.uri import validate_path_is_safe
wasbs, abfss = "wasbs://c@acc.blob.core.windows.net", "abfss://c@acc.dfs.core.windows.net"
print(json.dumps([
    (
        S3ArtifactRepository.parse_s3_compliant_uri(None, f"s3://b/{{path}}")[1],
        GCSArtifactRepository.parse_gcs_uri(f"gs://b/{{path}}")[1],
        AzureBlobArtifactRepository.parse_wasbs_uri(f"{{wasbs}}/{{path}}")[2],
        _parse_abfss_uri(f"{{abfss}}/{{path}}")[3],
        local_file_uri_to_path(f"file:///{{path}}")[1:],
        local_file_uri_to_path(f"/{{path}}")[1:],
        validate_path_is_safe(path),
    )
    for path in {[path for path, *_ in PATHS]!r}
]))
"""
    done = subprocess.run(
        [install_mlflow() / "python", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=500,
    )

    assert json.loads(done.stdout) == [
        [kept, kept, kept, decoded, decoded, decoded, fully_decoded]
        for _, kept, decoded, fully_decoded in PATHS
    ]


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("dbfs:/team/r", "stores of the kind dbfs: are not supported"),
        ("hdfs://host/team/r", "stores of the kind hdfs: are not supported"),
        ("sftp://host/team/r", "stores of the kind sftp: are not supported"),
        ("s3://b//team/r", "the path //team/r has an empty part"),
        ("s3://b/team//r", "the path /team//r has an empty part"),
        ("mlflow-artifacts:/1/r", "give --artifacts-destination or --tracking-url"),
    ],
)
def test_a_location_that_cannot_be_listed_is_reported_with_the_reason(
    location: str, reason: str
) -> None:
    stores = ArtifactStores(destination=None, server=None, parallel=1)

    [size] = stores.measure([[location]])

    stores.close()
    assert isinstance(size, SourceUnavailable)
    assert str(size).startswith(f"{location} cannot be listed: {reason}")


@pytest.mark.parametrize("as_uri", [False, True])
def test_a_folder_with_a_percent_sign_is_found_where_mlflow_writes(
    tmp_path: Path, as_uri: bool
) -> None:
    folder = tmp_path / "team a" / "100%" / "1/r/artifacts"
    folder.mkdir(parents=True)
    (folder / "a.bin").write_bytes(b"x" * 7)
    prefix = "file://" if as_uri else ""
    stores = ArtifactStores(destination=f"{prefix}{tmp_path}/team%20a", server=None, parallel=1)

    direct = f"{prefix}{tmp_path}/team%20a/100%25/1/r/artifacts"
    sizes = stores.measure([[direct], ["mlflow-artifacts:/100%2525/1/r/artifacts"]])

    stores.close()
    assert [size.size_bytes for size in sizes if isinstance(size, ArtifactSize)] == [7, 7]


@pytest.mark.parametrize("destination", ["dbfs:/mlflow", "mlflow-artifacts:/", "/no such folder"])
def test_an_impossible_destination_is_rejected(destination: str) -> None:
    with pytest.raises(InvalidArgument, match="artifacts-destination: "):
        ArtifactStores(destination=destination, server=None, parallel=1)
