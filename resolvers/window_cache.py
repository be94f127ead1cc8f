"""The windows of reports that a request has read."""

import asyncio
from collections import defaultdict
from uuid import UUID

from app.db.report_windows import ReportWindow
from app.domain.months import Month


class WindowCache:
    """The windows of a request, by organization and month; all of one snapshot.

    Attributes:
        lock: Held while missing windows are read, so that concurrent levels read each once.
    """

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self._found: dict[UUID, dict[Month, ReportWindow]] = defaultdict(dict)

    def of(self, organization_id: UUID) -> dict[Month, ReportWindow]:
        """Return the windows of an organization."""
        return self._found[organization_id]
