"""Decode artifact locations as MLflow does, which differs by the kind of store.

| kind | MLflow's code | percent signs in the path |
|---|---|---|
| a path, `file:` | `local_file_uri_to_path` | decoded once |
| `s3:`, `gs:`, `wasbs:` | `parse_s3_compliant_uri`, `parse_gcs_uri`, `parse_wasbs_uri` | kept |
| `abfss:` | `_parse_abfss_uri` | decoded once |
| `mlflow-artifacts:` | `validate_path_is_safe`, on the server | decoded until nothing changes |
"""

from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

from app.domain.errors import SourceUnavailable

_PROXY_SCHEME = "mlflow-artifacts"
_BUCKET_SCHEMES = ("s3", "gs", "wasbs", "abfss")
_MAX_DECODINGS = 10


class LocalFolder(NamedTuple):
    """A folder of this machine."""

    path: Path

    def join(self, path: str) -> "LocalFolder":
        """Return a folder below this one."""
        return LocalFolder(self.path / path)


class BucketFolder(NamedTuple):
    """A prefix in a bucket; `bucket` is the URI of the bucket itself."""

    bucket: str
    prefix: str

    def join(self, path: str) -> "BucketFolder":
        """Return a folder below this one."""
        return BucketFolder(self.bucket, "/".join(filter(None, (self.prefix, path))))


class ProxyFolder(NamedTuple):
    """A folder below the root of the server's artifact proxy."""

    path: str


def parse_location(uri: str) -> LocalFolder | BucketFolder | ProxyFolder:
    """Return the folder that an artifact location stands for.

    Raises:
        SourceUnavailable: The store is of another kind, or the object names cannot be listed.
    """
    parts = urlsplit(uri)
    if parts.scheme == "":
        return LocalFolder(Path(unquote(uri)))
    if parts.scheme == "file":
        return LocalFolder(Path(unquote(parts.path)))
    if parts.scheme == _PROXY_SCHEME:
        return ProxyFolder(_decode_proxy_path(parts.path))
    if parts.scheme not in _BUCKET_SCHEMES:
        raise SourceUnavailable(f"stores of the kind {parts.scheme}: are not supported")
    key = unquote(parts.path) if parts.scheme == "abfss" else parts.path
    prefix = key.removeprefix("/").rstrip("/")
    # The library for object stores would drop the empty part, and find nothing.
    if prefix.startswith("/") or "//" in prefix:
        raise SourceUnavailable(f"the path {key} has an empty part")
    return BucketFolder(f"{parts.scheme}://{parts.netloc}", prefix)


def _decode_proxy_path(path: str) -> str:
    for _ in range(_MAX_DECODINGS):
        decoded = urlunsplit(urlsplit(unquote(path)))
        if decoded == path:
            break
        path = decoded
    return "/".join(filter(None, path.split("/")))
