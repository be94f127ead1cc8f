"""Where artifacts lie, and how much they hold: a folder, an object store, or MLflow's proxy."""

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from app.connectors.mlflow.http_client import MlflowClient
from app.domain.errors import ChargebackError, InvalidArgument, SourceUnavailable

PROXIED = "mlflow-artifacts"
_PROXY_PATH = "/api/2.0/mlflow-artifacts/artifacts"


class ArtifactFile(NamedTuple):
    """A file, and when it was last written, in milliseconds; None where that is not told."""

    size_bytes: int
    written_ms: int | None


class ArtifactSize(NamedTuple):
    """What some folders hold, and the last time that a file of them was written, if told."""

    size_bytes: int
    written_ms: int | None


class ArtifactStores:
    """Lists folders of artifacts, side by side.

    Args:
        destination: Where MLflow's proxy keeps what it serves (its `--artifacts-destination`), so
            that it is listed there, which is much faster.
        server: The proxy, for `mlflow-artifacts:` without a destination.
        parallel: How many folders are listed at a time.

    Raises:
        InvalidArgument: The destination is a folder that is not there.
    """

    def __init__(
        self, *, destination: str | None, server: MlflowClient | None, parallel: int
    ) -> None:
        self._destination = destination.rstrip("/") if destination else None
        self._server = server
        self._pool = ThreadPoolExecutor(parallel, thread_name_prefix="artifacts")
        self._buckets: dict[str, Any] = {}
        self._opening = threading.Lock()
        if self._destination and not _protocol(self._destination):
            folder = _local(self._destination)
            if not folder.is_dir():
                raise InvalidArgument(f"artifacts-destination: {folder} is no folder.")

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(cancel_futures=True)

    def measure(
        self, folders: Sequence[Sequence[str]]
    ) -> Sequence[ArtifactSize | ChargebackError]:
        """The sizes of several things, each in one or several folders, in their order.

        What cannot be listed is the error that says why: its size is unknown.
        """
        return list(self._pool.map(self._measure, folders))

    def _measure(self, folders: Sequence[str]) -> ArtifactSize | ChargebackError:
        try:
            files = [file for folder in _outermost(folders) for file in self._files(folder)]
        except ChargebackError as error:
            return error
        except Exception as error:
            reason = str(error).partition("\n")[0][:500]
            return SourceUnavailable(f"{folders[0]} cannot be listed: {reason}")
        written = [file.written_ms for file in files if file.written_ms is not None]
        return ArtifactSize(sum(file.size_bytes for file in files), max(written, default=None))

    def _files(self, folder: str) -> Iterable[ArtifactFile]:
        if _protocol(folder) == PROXIED:
            path = urlsplit(folder).path.strip("/")
            if self._destination is not None:
                return self._files_at(f"{self._destination}/{path}", self._destination)
            if self._server is None:
                raise SourceUnavailable(
                    f"{folder} cannot be listed: give --artifacts-destination or --tracking-url."
                )
            return _files_of_proxy(self._server, path)
        return self._files_at(folder, None)

    def _files_at(self, folder: str, root: str | None) -> Iterable[ArtifactFile]:
        """The files below a folder or in a bucket; the store's root, if it is known."""
        if _protocol(folder):
            return self._files_of_objects(folder)
        here = _local(folder)
        return _files_of_folder(here, _root_above(here) if root is None else _local(root))

    def _files_of_objects(self, folder: str) -> Iterator[ArtifactFile]:
        parts = urlsplit(folder)
        bucket = f"{parts.scheme}://{parts.netloc}"
        with self._opening:
            if bucket not in self._buckets:
                self._buckets[bucket] = _opened(bucket)
        listing, store = self._buckets[bucket]
        for some in listing(store, prefix=unquote(parts.path).strip("/")):
            for entry in some:
                written = int(entry["last_modified"].timestamp() * 1000)
                yield ArtifactFile(entry["size"], written)


def _opened(bucket: str) -> Any:
    """How to list a bucket, and the bucket; credentials are where its tools look for them."""
    try:
        import obstore
        from obstore.store import from_url
    except ModuleNotFoundError:
        raise SourceUnavailable(
            f"{bucket} cannot be listed: install chargeback-admin-api[s3]."
        ) from None
    return obstore.list, from_url(
        bucket, retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=30)}
    )


def _protocol(folder: str) -> str:
    """The scheme of a URI; empty for a folder of this machine."""
    scheme = urlsplit(folder).scheme
    return "" if scheme in {"", "file"} else scheme


def _local(folder: str) -> Path:
    return Path(unquote(urlsplit(folder).path) if folder.startswith("file:") else folder)


def _outermost(folders: Iterable[str]) -> Sequence[str]:
    """Folders that lie in none of the others: nothing is counted twice."""
    found: list[str] = []
    for folder in sorted({each.rstrip("/") for each in folders if each}):
        if not found or not folder.startswith(f"{found[-1]}/"):
            found.append(folder)
    return found


def _root_above(folder: Path) -> Path:
    """The store in which a run's folder, or a logged model's, lies as MLflow lays them out.

    `<root>/<experiment>/<run>/artifacts`, `<root>/<experiment>/models/m-<id>/artifacts`; with
    workspaces below `<root>/workspaces/<name>`. A folder comes to be with its first file, so that
    all between the root and the run may be missing.
    """
    above = [*folder.parents]
    levels = 4 if above[0].name.startswith("m-") else 3
    if len(above) > levels and above[levels].name == "workspaces":
        levels += 1
    return above[min(levels, len(above)) - 1]


def _files_of_folder(folder: Path, root: Path) -> Iterator[ArtifactFile]:
    """The files below a folder; one that is not there holds nothing, if its store is there."""
    if not folder.is_dir():
        if not root.is_dir():
            raise SourceUnavailable(f"{folder} cannot be listed: {root} is not there.")
        return
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                elif entry.is_file(follow_symlinks=False):
                    known = entry.stat(follow_symlinks=False)
                    yield ArtifactFile(known.st_size, known.st_mtime_ns // 1_000_000)


def _files_of_proxy(server: MlflowClient, path: str) -> Iterator[ArtifactFile]:
    """The files below a path, a folder a request; when they were written is not told."""
    # The proxy serves one workspace a request: `workspaces/<name>/<experiment>/…`.
    parts = path.split("/")
    workspace = parts[1] if len(parts) > 1 and parts[0] == "workspaces" else None
    waiting = [path]
    while waiting:
        folder = waiting.pop()
        for entry in server.get(_PROXY_PATH, {"path": folder}, workspace).get("files", []):
            if entry.get("is_dir"):
                waiting.append(f"{folder}/{entry['path']}")
            else:
                yield ArtifactFile(int(entry.get("file_size") or 0), None)
