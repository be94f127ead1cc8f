"""Fetch monthly reports from a running server of another service."""

import http.client
import time
from collections.abc import Iterator
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import orjson

from app.connectors.reports.document import Report, read_report
from app.domain.errors import InvalidArgument, ReportFetchFailed
from app.domain.months import Month
from app.gzip_stream import decompress_gzip

_PATH = "/api/admin/chargeback/report"
_TIMEOUT_SECONDS = 120
_RETRY_DELAYS_SECONDS = (1, 4, 10)
_RETRIED_STATUSES = (429, 500, 502, 503, 504)


class ReportServer:
    """A server of another service.

    Args:
        url: Its address, without the path of the report.
        api_key: A key for it, sent as given.

    Raises:
        InvalidArgument: The address is not an http address, or a header cannot contain the key.
    """

    def __init__(self, url: str, api_key: str) -> None:
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).netloc:
            raise InvalidArgument(f"--from-url: must begin with http:// or https://; got {url!r}.")
        if not api_key.isascii() or not api_key.isprintable():
            raise InvalidArgument("--api-key: must be one line of ASCII; is the whole key there?")
        self._url, self._api_key = url.rstrip("/"), api_key

    def fetch_reports(self, first: Month, last: Month) -> Iterator[Report]:
        """Yield the reports of a range of months, both ends included, in order.

        Raises:
            InvalidReport: A response is not a report.
            ReportFetchFailed: The server refuses a request, or cannot be reached.
        """
        for month in first.through(last):
            report = read_report(self._fetch(month), f"{self._url} {month}")
            if report.month != month:
                raise ReportFetchFailed(
                    f"{self._url}: requested {month}, but it sent {report.month}."
                )
            yield report

    def _fetch(self, month: Month) -> bytes:
        """Return a month's document; retry while the server is busy."""
        address = f"{self._url}{_PATH}?{urlencode({'reportMonth': month})}"
        request = Request(  # noqa: S310  the scheme was checked
            address, headers={"Authorization": self._api_key, "Accept-Encoding": "gzip"}
        )
        place = f"{self._url}: {month}"
        for delay in (*_RETRY_DELAYS_SECONDS, None):
            try:
                with _opener.open(request, timeout=_TIMEOUT_SECONDS) as response:
                    return _read_body(response)
            except HTTPError as error:
                if error.code not in _RETRIED_STATUSES or delay is None:
                    raise ReportFetchFailed(f"{place}: {_explain_status(error)}") from None
            except (URLError, OSError, http.client.HTTPException) as error:
                if delay is None:
                    reason = getattr(error, "reason", None) or error
                    raise ReportFetchFailed(f"{place}: cannot be reached: {reason}.") from None
            time.sleep(delay)
        raise AssertionError


class _NoRedirect(HTTPRedirectHandler):
    """Do not follow redirects: the key must not reach another server than the named one."""

    def redirect_request(self, *_: object) -> None: ...


_opener = build_opener(_NoRedirect)


def _read_body(response: http.client.HTTPResponse) -> bytes:
    content = response.read()
    is_gzip = response.headers.get("Content-Encoding") == "gzip"
    return decompress_gzip(content) if is_gzip else content


def _explain_status(error: HTTPError) -> str:
    """Return the status with the server's message, or with the target of a redirect."""
    if location := error.headers.get("Location"):
        return f"{error.code}: it redirects to {location}: use that address if it is yours."
    try:
        message = orjson.loads(error.read())["msg"]
    except (orjson.JSONDecodeError, KeyError, TypeError, OSError):
        message = error.reason
    return f"{error.code}: {message}"
