"""The OpenAPI document lists every REST route and describes its responses."""

from typing import Any

import httpx
import jsonschema_rs
import orjson

from tests.conftest import CONTRACT, Feed, RestClient, event


async def document(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.get("/openapi.json")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def schema_of(document: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a self-contained schema."""
    return {"$ref": f"#/components/schemas/{name}", "components": document["components"]}


async def test_every_rest_route_is_listed_and_requires_a_key(client: httpx.AsyncClient) -> None:
    """The document itself needs no key, because clients start with it."""
    found = await document(client)
    assert found["openapi"] == "3.1.0"
    assert found["security"] == [{"key": []}]
    operations = {(method, path) for path, item in found["paths"].items() for method in item}
    assert operations >= {
        ("get", "/api/admin/chargeback/report"),
        ("get", "/clientlib/api/admin/chargeback/report"),
        ("get", "/api/admin/service-accounts"),
        ("get", "/clientlib/api/admin/service-accounts"),
        ("get", "/clientlib/isAlive/ver"),
        ("post", "/api/events"),
    }
    for path, item in found["paths"].items():
        for operation in item.values():
            assert operation["summary"], path
            assert operation["responses"], path


async def test_the_documented_report_matches_its_schema(
    client: httpx.AsyncClient, rest: RestClient, feed: Feed
) -> None:
    schema = schema_of(await document(client), "Report")
    jsonschema_rs.validate(schema, orjson.loads((CONTRACT / "report.json").read_bytes()))

    await feed(event("user.upserted", "2026-09-01T00:00:00Z", username="ann", email="a@x.test"))
    for month in ("2026-09", None):
        jsonschema_rs.validate(schema, await rest(month))


async def test_errors_match_their_schema(client: httpx.AsyncClient, rest: RestClient) -> None:
    schema = schema_of(await document(client), "Error")
    for answer in (
        await client.get("/api/admin/chargeback/report"),
        await rest.get(reportMonth="2023-13"),
        await client.get("/nothing"),
        await client.put("/api/events"),
    ):
        assert answer.status_code >= 400
        jsonschema_rs.validate(schema, answer.json())
