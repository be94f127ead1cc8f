"""A small HTTP client for an MLflow server's REST API, safe to use from several threads."""

import base64
import json
from collections.abc import Iterator
from urllib.parse import unquote, urlencode, urlsplit

from app.connectors.http_fetch import FetchFailed, fetch
from app.domain.errors import InvalidArgument, SourceUnavailable
from app.domain.json_types import JsonObject

_TIMEOUT_SECONDS = 60
WORKSPACE_HEADER = "X-MLFLOW-WORKSPACE"


class EndpointNotFound(SourceUnavailable):
    """This version of MLflow does not have the endpoint."""


class MlflowClient:
    """A client for the REST API of one server.

    Args:
        url: The server's address, such as `https://mlflow.example.com`. Credentials are part of
            it: `https://user:password@…`.

    Raises:
        InvalidArgument: The URL is not an HTTP address.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise InvalidArgument(
                "tracking-url: must be an address such as https://mlflow.example.com."
            )
        port = f":{parts.port}" if parts.port else ""
        self.display_url = f"{parts.scheme}://{parts.hostname}{port}{parts.path.rstrip('/')}"
        self.has_credentials = bool(parts.username)
        self._headers = {"Content-Type": "application/json"}
        if parts.username:
            password = unquote(parts.password or "")
            credentials = f"{unquote(parts.username)}:{password}".encode()
            self._headers["Authorization"] = f"Basic {base64.b64encode(credentials).decode()}"

    def get(self, path: str, parameters: JsonObject, workspace: str | None = None) -> JsonObject:
        """Send a GET request and return the JSON object of the response.

        Raises:
            SourceUnavailable: The server cannot be reached, or answers with an error.
            EndpointNotFound: The server does not have the path.
        """
        return self._send(f"{path}?{urlencode(parameters)}", None, workspace)

    def post(self, path: str, body: JsonObject, workspace: str | None = None) -> JsonObject:
        """Send a POST request and return the JSON object of the response.

        Raises:
            SourceUnavailable: The server cannot be reached, or answers with an error.
            EndpointNotFound: The server does not have the path.
        """
        return self._send(path, json.dumps(body).encode(), workspace)

    def post_pages(
        self, path: str, body: JsonObject, workspace: str | None = None
    ) -> Iterator[JsonObject]:
        """Send a paged POST request and yield the JSON object of each page."""
        token = ""
        while True:
            page = self.post(path, {**body, **({"page_token": token} if token else {})}, workspace)
            yield page
            token = page.get("next_page_token") or ""
            if not token:
                return

    def _send(self, path: str, body: bytes | None, workspace: str | None) -> JsonObject:
        headers = self._headers | ({WORKSPACE_HEADER: workspace} if workspace else {})
        url = f"{self.display_url}{path}"
        try:
            content = json.loads(fetch(url, headers, body, timeout_seconds=_TIMEOUT_SECONDS))
        except FetchFailed as failure:
            raise self._to_error(failure, path) from None
        except ValueError as error:
            raise SourceUnavailable(f"{self.display_url} cannot be read: {error}") from None
        return content if isinstance(content, dict) else {}

    def _to_error(self, failure: FetchFailed, path: str) -> SourceUnavailable:
        if failure.status is None:
            return SourceUnavailable(f"{self.display_url} cannot be read: {failure}")
        text = failure.body[:500].decode(errors="replace") or str(failure)
        # For a missing object, MLflow answers 404 with an error code in JSON.
        is_unknown_path = failure.status in {404, 405} and "error_code" not in text
        error_type = EndpointNotFound if is_unknown_path else SourceUnavailable
        place = f"{self.display_url}{path.partition('?')[0]}"
        return error_type(f"{place} answers {failure.status}: {text}")
