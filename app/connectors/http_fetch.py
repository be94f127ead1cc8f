"""Fetch from HTTP servers: with a time limit, no redirects, and retries while one is busy."""

import http.client
import time
from collections.abc import Mapping, Sequence
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from app.domain.errors import InvalidArgument
from app.gzip_stream import decompress_gzip

_RETRIED_STATUSES = (429, 500, 502, 503, 504)


class FetchFailed(Exception):
    """A server refused a request, or could not be reached; the message says why.

    Attributes:
        status: The status of the response; None without a response.
        body: The body of the response.
    """

    def __init__(self, reason: str, status: int | None = None, body: bytes = b"") -> None:
        super().__init__(reason)
        self.status, self.body = status, body


def fetch(
    url: str,
    headers: Mapping[str, str],
    body: bytes | None = None,
    *,
    timeout_seconds: float,
    retry_delays_seconds: Sequence[float] = (),
) -> bytes:
    """Return the body of the response to a GET request or, with a body, a POST request.

    Redirects are not followed: a key in the headers must not reach another server.

    Args:
        url: The address; the caller has checked that it is an HTTP address.
        headers: The headers of the request.
        body: The body of a POST request.
        timeout_seconds: How long to wait for the server.
        retry_delays_seconds: How long to wait before each retry, if the server is busy or away.

    Raises:
        FetchFailed: The server refused the request, or could not be reached.
        InvalidArgument: The response is not valid gzip, although it claims to be.
    """
    headers = {**headers, "Accept-Encoding": "gzip"}
    request = Request(url, data=body, headers=headers)  # noqa: S310  the caller checked it
    for delay in retry_delays_seconds:
        try:
            return _send(request, timeout_seconds)
        except FetchFailed as failure:
            if failure.status is not None and failure.status not in _RETRIED_STATUSES:
                raise
        time.sleep(delay)
    return _send(request, timeout_seconds)


def _send(request: Request, timeout_seconds: float) -> bytes:
    try:
        with _opener.open(request, timeout=timeout_seconds) as response:
            return _read_body(response)
    except HTTPError as error:
        raise _to_failure(error) from None
    except (URLError, OSError, http.client.HTTPException) as error:
        raise FetchFailed(str(getattr(error, "reason", None) or error)) from None


def _read_body(response: http.client.HTTPResponse | HTTPError) -> bytes:
    content = response.read()
    is_gzip = response.headers.get("Content-Encoding") == "gzip"
    return decompress_gzip(content) if is_gzip else content


def _to_failure(error: HTTPError) -> FetchFailed:
    try:
        body = _read_body(error)
    except (InvalidArgument, OSError, http.client.HTTPException):
        body = b""
    location = error.headers.get("Location")
    redirect = f"it redirects to {location}: use that address if it is yours."
    return FetchFailed(redirect if location else error.reason, error.code, body)


class _NoRedirect(HTTPRedirectHandler):
    """Do not follow redirects."""

    def redirect_request(self, *_: object) -> None: ...


_opener = build_opener(_NoRedirect)
