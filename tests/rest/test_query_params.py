"""REST routes refuse query parameters that they do not have, and repeated ones."""

import httpx
import pytest

from tests.access.surface import routes
from tests.conftest import event
from tests.rest.test_error_responses import PATHS, REPORT, check_error

PROBES_AND_PAGES = {
    *("/graphql", "/healthz", "/readyz", "/signin", "/signout"),
    *("/", "/months/{month}", "/licences", "/close", "/statements"),
}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("month=2026-09", "There is no parameter 'month'; did you mean 'reportMonth'?"),
        ("reportmonth=2026", "There is no parameter 'reportmonth'; did you mean 'reportMonth'?"),
        ("report_month=1", "There is no parameter 'report_month'; did you mean 'reportMonth'?"),
        (
            "reportMonth=2026-09&organisation=x",
            "There is no parameter 'organisation'; did you mean 'organization'?",
        ),
        ("top=3", "There is no parameter 'top'; known are organization, reportMonth."),
        ("=2026-09", "There is no parameter ''; known are organization, reportMonth."),
        ("reportMonth=2026-09&reportMonth=2026-09", "reportMonth: must be given once; got 2."),
    ],
)
async def test_a_wrong_parameter_of_the_report_is_named_with_the_right_one(
    client: httpx.AsyncClient, admin_key: str, query: str, message: str
) -> None:
    """It used to be ignored, and answered with the current month."""
    for path in PATHS[:2]:
        answer = await client.get(f"{path}?{query}", headers={"Authorization": admin_key})

        assert check_error(answer, 400) == message
        assert answer.json()["error"] == "INVALID_ARGUMENT"


async def test_every_rest_route_refuses_an_unknown_parameter(
    client: httpx.AsyncClient, admin_key: str
) -> None:
    app = client._transport.app  # type: ignore[attr-defined]
    refusing = set()
    for route in routes(app):
        if route.path.startswith(("/scim/", "/static/")) or route.path in PROBES_AND_PAGES:
            continue
        method = "POST" if "POST" in (route.methods or ()) else "GET"
        answer = await client.request(
            method, f"{route.path}?zzz=1", headers={"Authorization": admin_key}
        )
        assert "There is no parameter 'zzz'" in check_error(answer, 400), route.path
        refusing.add(route.path)

    assert refusing >= {*PATHS, "/api/events", "/metrics", "/openapi.json"}


async def test_a_bad_key_is_refused_before_a_bad_parameter(client: httpx.AsyncClient) -> None:
    assert check_error(await client.get(f"{REPORT}?zzz=1"), 401)


async def test_events_with_an_unknown_parameter_are_not_stored(
    client: httpx.AsyncClient, admin_key: str
) -> None:
    """`?dryRun=1` must not store."""
    answer = await client.post(
        "/api/events?dryRun=1",
        content=event("user.upserted", "2026-11-01T00:00:00Z", username="ann"),
        headers={"Authorization": admin_key, "Content-Type": "application/cloudevents+json"},
    )

    assert check_error(answer, 400) == "There is no parameter 'dryRun': this route has none."
    listed = await client.get("/scim/v2/Users", headers={"Authorization": admin_key})
    assert listed.json()["totalResults"] == 0


@pytest.mark.parametrize("name", ["Filter", "filters", "startindex", "excludedAttribute"])
async def test_scim_refuses_a_misspelt_parameter(
    client: httpx.AsyncClient, admin_key: str, name: str
) -> None:
    """A list without its filter would be the list of all users."""
    answer = await client.get(f"/scim/v2/Users?{name}=x", headers={"Authorization": admin_key})

    assert answer.status_code == 400
    assert f"There is no parameter '{name}'; did you mean" in answer.json()["detail"]


@pytest.mark.parametrize("query", ["aadOptscim062020", "sortBy=userName&sortOrder=descending"])
async def test_scim_ignores_parameters_that_directories_add(
    client: httpx.AsyncClient, admin_key: str, query: str
) -> None:
    answer = await client.get(f"/scim/v2/Users?{query}", headers={"Authorization": admin_key})

    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_probes_ignore_parameters(client: httpx.AsyncClient, path: str) -> None:
    """Monitors add a number to defeat caches."""
    assert (await client.get(f"{path}?_=17")).status_code == 200
