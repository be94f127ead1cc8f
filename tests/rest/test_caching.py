"""ETags of the report: a client gets 304 if its copy is current, and only then."""

from datetime import timedelta

import httpx

from tests.conftest import Feed, FixedClock, event

REPORT = "/api/admin/chargeback/report"


class ReportRequester:
    """Requests a month's document conditionally."""

    def __init__(self, client: httpx.AsyncClient, key: str) -> None:
        self._client, self._key = client, key

    async def __call__(
        self, month: str | None = "2026-10", tags: str | None = None, encoding: str = "identity"
    ) -> httpx.Response:
        headers = {"Authorization": self._key, "Accept-Encoding": encoding}
        if tags is not None:
            headers["If-None-Match"] = tags
        parameters = {"reportMonth": month} if month else {}
        return await self._client.get(REPORT, params=parameters, headers=headers)


def usage(time: str) -> bytes:
    return event("usage.recorded", time, username="ann", channel="ui")


async def test_an_unchanged_document_is_304_without_a_body(
    client: httpx.AsyncClient, admin_key: str, feed: Feed, clock: FixedClock
) -> None:
    get_report = ReportRequester(client, admin_key)
    await feed(usage("2026-10-01T00:00:00Z"))
    first = await get_report()
    tag = first.headers["etag"]
    # A strong ETag is quoted and has no W/.
    assert tag.startswith('"')
    assert tag.endswith('"')
    assert "private" in first.headers["cache-control"]

    clock.now += timedelta(days=1)
    for tags in (tag, f'"other", {tag}', f'"other",{tag}', f"W/{tag}", "*"):
        known = await get_report(tags=tags)
        assert (known.status_code, known.content) == (304, b""), tags
        assert known.headers["etag"] == tag
        assert known.headers["cache-control"] == first.headers["cache-control"]

    for tags in ('"other"', tag.strip('"'), tag[:-2] + '"', ""):
        assert (await get_report(tags=tags)).status_code == 200, tags


async def test_every_change_of_the_document_changes_its_etag(
    client: httpx.AsyncClient, admin_key: str, feed: Feed
) -> None:
    get_report = ReportRequester(client, admin_key)
    await feed(usage("2026-10-01T00:00:00Z"))
    seen: dict[str, bytes] = {}
    batches = [
        usage("2026-10-02T00:00:00Z"),
        event("user.upserted", "2026-10-02T00:00:00Z", username="ann", email="a"),
        event("user.upserted", "2026-10-03T00:00:00Z", username="ann", email="b"),
        event("workspace.upserted", "2026-10-02T00:00:00Z", name="w"),
        event("workspace.deleted", "2026-10-09T00:00:00Z", name="w"),
    ]
    for batch in batches:
        for month in ("2026-10", None):
            answer = await get_report(month)
            assert seen.setdefault(answer.headers["etag"], answer.content) == answer.content
        await feed(batch)

    # Each state has its own ETag for each of the two forms.
    assert len(seen) == 2 * len(batches)


async def test_a_duplicate_changes_neither_document_nor_etag(
    client: httpx.AsyncClient, admin_key: str, feed: Feed, clock: FixedClock
) -> None:
    get_report = ReportRequester(client, admin_key)
    line = usage("2026-10-01T00:00:00Z")
    await feed(line)
    first = await get_report()

    clock.now += timedelta(minutes=1)
    await feed(line)

    again = await get_report()
    assert (again.headers["etag"], again.content) == (first.headers["etag"], first.content)


async def test_forms_and_organizations_have_different_etags(
    client: httpx.AsyncClient, admin_key: str, feed: Feed, other_organization: str
) -> None:
    tags = set()
    for parameters in (
        {},
        {"reportMonth": "2026-11"},
        {"reportMonth": "2026-10"},
        {"reportMonth": "2026-11", "organization": "other"},
    ):
        answer = await client.get(REPORT, params=parameters, headers={"Authorization": admin_key})
        tags.add(answer.headers["etag"])
    assert len(tags) == 4


async def test_compressed_and_plain_documents_have_different_etags(
    client: httpx.AsyncClient, admin_key: str, feed: Feed
) -> None:
    """RFC 9110, section 8.8.1: a strong ETag identifies one representation byte for byte."""
    get_report = ReportRequester(client, admin_key)
    time = "2026-10-01T00:00:00Z"
    await feed(*(event("workspace.upserted", time, name=f"w{n}") for n in range(100)))

    plain, packed = await get_report(), await get_report(encoding="gzip")

    assert plain.json() == packed.json()
    assert "content-encoding" not in plain.headers
    if "content-encoding" in packed.headers:
        assert plain.headers["etag"] != packed.headers["etag"]
        assert "accept-encoding" in packed.headers["vary"].lower()
        for answer, encoding in ((plain, "identity"), (packed, "gzip")):
            known = await get_report(tags=answer.headers["etag"], encoding=encoding)
            assert known.status_code == 304


async def test_a_bad_key_gets_no_304(
    client: httpx.AsyncClient, admin_key: str, feed: Feed
) -> None:
    await feed(usage("2026-10-01T00:00:00Z"))
    tag = (await ReportRequester(client, admin_key)()).headers["etag"]
    assert (await ReportRequester(client, "nonsense")(tags=tag)).status_code == 401


async def test_the_current_month_changes_its_etag_when_time_changes_the_document(
    client: httpx.AsyncClient, admin_key: str, feed: Feed, clock: FixedClock
) -> None:
    """Without events, the same URL returns another document once the month changes."""
    get_report = ReportRequester(client, admin_key)
    await feed(usage("2026-11-01T00:00:00Z"))
    november = await get_report(None)

    clock.now += timedelta(days=30)

    december = await get_report(None, tags=november.headers["etag"])
    assert december.status_code == 200
    assert december.json()["reportDate"] == "2026-12"
