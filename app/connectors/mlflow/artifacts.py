"""Measure artifacts in local folders, in object stores and behind MLflow's artifact proxy."""

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from app.connectors.mlflow.http_client import MlflowClient
from app.connectors.mlflow.locations import (
    BucketFolder,
    LocalFolder,
    ProxyFolder,
    parse_location,
)
from app.domain.errors import ChargebackError, InvalidArgument, SourceUnavailable

_AZURE_SCHEMES = ("wasbs", "abfss")
_PROXY_PATH = "/api/2.0/mlflow-artifacts/artifacts"


class ArtifactFile(NamedTuple):
    """A file's size, and when it was last written in milliseconds; None if that is unknown."""

    size_bytes: int
    written_ms: int | None


class ArtifactSize(NamedTuple):
    """The total size of some folders, and when their newest file was written, if known."""

    size_bytes: int
    written_ms: int | None


class ArtifactStores:
    """Lists artifact folders in parallel.

    Args:
        destination: Where MLflow's proxy stores its artifacts (`--artifacts-destination`). If
            given, these artifacts are listed there, which is much faster.
        server: The proxy, which lists `mlflow-artifacts:` folders if there is no destination.
        parallel: How many folders are listed at a time.

    Raises:
        InvalidArgument: The destination is of a kind that cannot be listed, or a local folder that
            does not exist.
    """

    def __init__(
        self, *, destination: str | None, server: MlflowClient | None, parallel: int
    ) -> None:
        self._destination = _parse_destination(destination) if destination else None
        self._server = server
        self._pool = ThreadPoolExecutor(parallel, thread_name_prefix="artifacts")
        self._buckets: dict[str, Any] = {}
        self._buckets_lock = threading.Lock()

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(cancel_futures=True)

    def measure(
        self, folder_groups: Sequence[Sequence[str]]
    ) -> Sequence[ArtifactSize | ChargebackError]:
        """Return the size of each group of folders, in the order given.

        A group that cannot be listed yields the error instead of a size.
        """
        return list(self._pool.map(self._measure_group, folder_groups))

    def _measure_group(self, folders: Sequence[str]) -> ArtifactSize | ChargebackError:
        try:
            files = [file for folder in _drop_nested(folders) for file in self._list_files(folder)]
        except Exception as error:
            reason = str(error).partition("\n")[0][:500]
            return SourceUnavailable(f"{folders[0]} cannot be listed: {reason}")
        written = [file.written_ms for file in files if file.written_ms is not None]
        return ArtifactSize(sum(file.size_bytes for file in files), max(written, default=None))

    def _list_files(self, folder: str) -> Iterable[ArtifactFile]:
        location = parse_location(folder)
        if isinstance(location, ProxyFolder):
            if self._destination is not None:
                return self._list_direct(self._destination.join(location.path), self._destination)
            if self._server is None:
                raise SourceUnavailable("give --artifacts-destination or --tracking-url.")
            return _list_proxy_files(self._server, location.path)
        return self._list_direct(location, None)

    def _list_direct(
        self, folder: LocalFolder | BucketFolder, root: LocalFolder | BucketFolder | None
    ) -> Iterable[ArtifactFile]:
        """List a local folder or a bucket. `root` is the root of the store, if it is known."""
        if isinstance(folder, BucketFolder):
            return self._list_objects(folder)
        root_path = root.path if isinstance(root, LocalFolder) else _guess_root(folder.path)
        return _list_local_files(folder.path, root_path)

    def _list_objects(self, folder: BucketFolder) -> Iterator[ArtifactFile]:
        with self._buckets_lock:
            if folder.bucket not in self._buckets:
                self._buckets[folder.bucket] = _open_bucket(folder.bucket)
        list_objects, store = self._buckets[folder.bucket]
        for page in list_objects(store, prefix=folder.prefix):
            for entry in page:
                written = int(entry["last_modified"].timestamp() * 1000)
                yield ArtifactFile(entry["size"], written)


def _open_bucket(bucket: str) -> Any:
    """Return a list function and the bucket. Credentials come from the usual environment."""
    try:
        import obstore
        from obstore.store import AzureStore, from_url
    except ModuleNotFoundError:
        raise SourceUnavailable("install chargeback-admin-api[s3].") from None
    retry: Any = {"max_retries": 3, "retry_timeout": timedelta(seconds=30)}
    scheme, _, netloc = bucket.partition("://")
    if scheme not in _AZURE_SCHEMES:
        return obstore.list, from_url(bucket, retry_config=retry)
    # The library knows neither `wasbs:` nor the domains of other clouds.
    container, _, host = netloc.partition("@")
    account, _, domain = host.partition(".")
    return obstore.list, AzureStore(
        container,
        account_name=account,
        endpoint=f"https://{account}.blob.{domain.partition('.')[2]}",
        retry_config=retry,
    )


def _parse_destination(destination: str) -> LocalFolder | BucketFolder:
    try:
        location = parse_location(destination)
    except SourceUnavailable as error:
        raise InvalidArgument(f"artifacts-destination: {error}.") from None
    if isinstance(location, ProxyFolder):
        raise InvalidArgument("artifacts-destination: must be where the proxy stores its files.")
    if isinstance(location, LocalFolder) and not location.path.is_dir():
        raise InvalidArgument(f"artifacts-destination: {location.path} is not a folder.")
    return location


def _drop_nested(folders: Iterable[str]) -> Sequence[str]:
    """Return the folders that are not inside another one, so that no file counts twice."""
    outermost: list[str] = []
    for folder in sorted({each.rstrip("/") for each in folders if each}):
        if not outermost or not folder.startswith(f"{outermost[-1]}/"):
            outermost.append(folder)
    return outermost


def _guess_root(folder: Path) -> Path:
    """Return the root of the store of a run's or logged model's folder, from MLflow's layout.

    The layout is `<root>/<experiment>/<run>/artifacts` for runs and
    `<root>/<experiment>/models/m-<id>/artifacts` for models; with workspaces, both are below
    `<root>/workspaces/<name>`. MLflow creates folders with their first file, so every folder
    below the root may be missing.
    """
    above = [*folder.parents]
    levels = 4 if above[0].name.startswith("m-") else 3
    if len(above) > levels and above[levels].name == "workspaces":
        levels += 1
    return above[min(levels, len(above)) - 1]


def _list_local_files(folder: Path, root: Path) -> Iterator[ArtifactFile]:
    """Yield the files below a folder. A missing folder is empty if the store's root exists."""
    if not folder.is_dir():
        if not root.is_dir():
            raise SourceUnavailable(f"{root} does not exist.")
        return
    pending = [folder]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(Path(entry.path))
                elif entry.is_file(follow_symlinks=False):
                    stat = entry.stat(follow_symlinks=False)
                    yield ArtifactFile(stat.st_size, stat.st_mtime_ns // 1_000_000)


def _list_proxy_files(server: MlflowClient, path: str) -> Iterator[ArtifactFile]:
    """Yield the files below a path, one request per folder; write times are unknown."""
    # A request to the proxy sees one workspace: `workspaces/<name>/<experiment>/…`.
    parts = path.split("/")
    workspace = parts[1] if len(parts) > 1 and parts[0] == "workspaces" else None
    pending = [path]
    while pending:
        folder = pending.pop()
        for entry in server.get(_PROXY_PATH, {"path": folder}, workspace).get("files", []):
            if entry.get("is_dir"):
                pending.append(f"{folder}/{entry['path']}")
            else:
                yield ArtifactFile(int(entry.get("file_size") or 0), None)
