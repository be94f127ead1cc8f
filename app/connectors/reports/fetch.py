"""Fetch monthly reports from a running server of another service."""

from collections.abc import Iterator
from urllib.parse import urlencode, urlsplit

import orjson

from app.connectors.http_fetch import FetchFailed, fetch
from app.connectors.reports.document import Report, read_report
from app.domain.errors import InvalidArgument, ReportFetchFailed
from app.domain.months import Month

_PATH = "/api/admin/chargeback/report"
_TIMEOUT_SECONDS = 120
_RETRY_DELAYS_SECONDS = (1, 4, 10)


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
        try:
            return fetch(
                address,
                {"Authorization": self._api_key},
                timeout_seconds=_TIMEOUT_SECONDS,
                retry_delays_seconds=_RETRY_DELAYS_SECONDS,
            )
        except FetchFailed as failure:
            raise ReportFetchFailed(f"{self._url}: {month}: {_explain(failure)}") from None


def _explain(failure: FetchFailed) -> str:
    """Return the status with the server's message, or why there is no response."""
    if failure.status is None:
        return f"cannot be reached: {failure}."
    try:
        message = orjson.loads(failure.body)["msg"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        message = failure
    return f"{failure.status}: {message}"
