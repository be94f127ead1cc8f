"""An MLflow server over HTTP: one request at a time and thread, errors in words."""

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlencode, urlsplit
from urllib.request import Request, urlopen

from app.domain.errors import InvalidArgument, SourceUnavailable

_PATIENCE_SECONDS = 60
WORKSPACE_HEADER = "X-MLFLOW-WORKSPACE"


class EndpointNotFound(SourceUnavailable):
    """This version of MLflow has no such path."""


class MlflowClient:
    """A server's REST API.

    Args:
        url: Its address, `https://mlflow.example.com`, with a user and password when it wants
            them: `https://user:password@…`.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise InvalidArgument(
                "tracking-url: must be an address such as https://mlflow.example.com."
            )
        port = f":{parts.port}" if parts.port else ""
        self.shown = f"{parts.scheme}://{parts.hostname}{port}{parts.path.rstrip('/')}"
        self.has_credentials = bool(parts.username)
        self._headers = {"Content-Type": "application/json"}
        if parts.username:
            password = unquote(parts.password or "")
            credentials = f"{unquote(parts.username)}:{password}".encode()
            self._headers["Authorization"] = f"Basic {base64.b64encode(credentials).decode()}"

    def get(
        self, path: str, parameters: Mapping[str, Any], workspace: str | None = None
    ) -> dict[str, Any]:
        """A GET's answer.

        Raises:
            SourceUnavailable: The server cannot be reached or refuses.
            EndpointNotFound: It does not know the path.
        """
        return self._answer(f"{path}?{urlencode(parameters)}", None, workspace)

    def post(
        self, path: str, body: Mapping[str, Any], workspace: str | None = None
    ) -> dict[str, Any]:
        """A POST's answer.

        Raises:
            SourceUnavailable: The server cannot be reached or refuses.
            EndpointNotFound: It does not know the path.
        """
        return self._answer(path, json.dumps(body).encode(), workspace)

    def pages(
        self, path: str, body: Mapping[str, Any], workspace: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """The answers of a search, page by page."""
        token = ""
        while True:
            page = self.post(path, {**body, **({"page_token": token} if token else {})}, workspace)
            yield page
            token = page.get("next_page_token") or ""
            if not token:
                return

    def _answer(self, path: str, body: bytes | None, workspace: str | None) -> dict[str, Any]:
        headers = self._headers | ({WORKSPACE_HEADER: workspace} if workspace else {})
        request = Request(f"{self.shown}{path}", data=body, headers=headers)  # noqa: S310  checked
        try:
            with urlopen(request, timeout=_PATIENCE_SECONDS) as response:  # noqa: S310  as above
                found = json.load(response)
        except HTTPError as error:
            said = error.read(500).decode(errors="replace")
            # What MLflow itself does not find, it says in JSON.
            is_unknown = error.code in {404, 405} and "error_code" not in said
            kind = EndpointNotFound if is_unknown else SourceUnavailable
            raise kind(
                f"{self.shown}{path.partition('?')[0]} answers {error.code}: {said}"
            ) from None
        except (URLError, OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise SourceUnavailable(f"{self.shown} cannot be read: {reason}") from None
        return found if isinstance(found, dict) else {}
