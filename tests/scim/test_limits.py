"""Large groups and hostile sizes: linear work, or a clear error."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from app.db.engine import Database
from app.domain.ids import organization_id
from tests.conftest import GraphQLClient
from tests.scim.conftest import PATCH, Directory, read_report


async def insert_users(database: Database, count: int) -> list[str]:
    """Store users as if SCIM had created them, and return their ids."""
    async with database.owner_transaction() as tx:
        found = await tx.execute(
            text("""
                INSERT INTO scim_resource (organization_id, resource_id, kind, name, name_key,
                    attributes, version, created_at, modified_at)
                SELECT :organization, gen_random_uuid(), 'User', 'user' || number,
                    'user' || number, jsonb_build_object('userName', 'user' || number), 1,
                    '2026-11-24T12:00:00Z', '2026-11-24T12:00:00Z'
                FROM generate_series(1, :count) AS number
                RETURNING resource_id
            """),
            {"organization": organization_id("default"), "count": count},
        )
        ids: list[UUID] = list(found.scalars())
    return [str(each) for each in ids]


async def test_a_large_group_is_patched_without_being_returned(
    directory: Directory, database: Database, graphql: GraphQLClient
) -> None:
    first, *others = [{"value": each} for each in await insert_users(database, 1_002)]
    group = await directory.create("/Groups", displayName="all", members=others)
    path = f"/Groups/{group['id']}"
    body = {"Operations": [{"op": "add", "path": "members", "value": [first]}]}

    response = await directory.send("PATCH", path, json=body)

    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["etag"] == 'W/"2"'
    shown = await directory.send("PATCH", f"{path}?attributes=displayName", json=body)
    assert (shown.status_code, shown.json()["displayName"]) == (200, "all")
    assert len((await directory.get(path))["members"]) == 1_002
    assert len((await read_report(graphql)).workspaces["all"]) == 1_002

    removal = {"Operations": [{"op": "Remove", "path": "members", "value": others}]}
    assert (await directory.send("PATCH", path, json=removal)).json()["members"][0][
        "value"
    ] == first["value"]
    assert len((await read_report(graphql)).workspaces["all"]) == 1


async def test_thousands_of_emails_are_kept(directory: Directory) -> None:
    ann = await directory.create("/Users", userName="ann")
    emails = [f"ann{number}@x.test" for number in range(8_000)]

    changed = await directory.patch(
        f"/Users/{ann['id']}", {"op": "add", "path": "emails", "value": emails}
    )

    assert [each["value"] for each in changed["emails"]] == emails


def add_emails(count: int) -> dict[str, Any]:
    return {"op": "add", "path": "emails", "value": [f"{number}@x" for number in range(count)]}


FIND = {"op": "replace", "path": 'emails[value eq "x"].value', "value": "y"}


@pytest.mark.parametrize(
    ("operations", "keyword", "message"),
    [
        ([add_emails(10_001)], "invalidValue", "Operations[0]: emails: emails: must have at most"),
        ([FIND] * 1_001, "tooMany", "Operations: at most 1000; got 1001."),
        ([add_emails(2_000), *[FIND] * 60], "tooMany", "Operations: 61 operations on"),
        (
            [
                add_emails(2_000),
                {"op": "remove", "path": "emails", "value": [{"value": "a"}] * 60},
            ],
            "tooMany",
            "Operations: 61 operations on",
        ),
        (
            [{"op": "remove", "path": f'emails[value eq "{"x" * 1_000}"]'}],
            "invalidPath",
            "Operations[0]: path: must have at most 1000 characters",
        ),
    ],
    ids=["values", "operations", "selections", "removals", "path"],
)
async def test_a_patch_beyond_a_limit_changes_nothing(
    directory: Directory, operations: list[dict[str, Any]], keyword: str, message: str
) -> None:
    ann = await directory.create("/Users", userName="ann")
    body = {"schemas": [PATCH], "Operations": operations}

    error = await directory.expect_error("PATCH", f"/Users/{ann['id']}", json=body)

    assert error[:2] == (400, keyword)
    assert error[2].startswith(message)
    assert await directory.get(f"/Users/{ann['id']}") == ann


async def test_a_text_that_the_store_cannot_keep_is_rejected(directory: Directory) -> None:
    for name in ("userName", "externalId", "displayName"):
        for value in ("x" * 513, "a\0b"):
            body = {"userName": "ann", name: value}
            status, _, message = await directory.expect_error("POST", "/Users", json=body)
            assert (status, message.startswith(f"{name}: must have at most 512")) == (400, True)


async def test_names_of_attributes_are_read_in_linear_time(directory: Directory) -> None:
    await directory.create(
        "/Users", userName="ann", emails=[{"value": f"{number}@x"} for number in range(1_000)]
    )
    names = ",".join(f"emails.part{number}" for number in range(2_000))

    [ann] = (await directory.get("/Users", attributes=f"{names},emails.value"))["Resources"]

    assert set(ann) == {"id", "schemas", "emails"}
    assert ann["emails"][0] == {"value": "0@x"}
    many = {"attributes": ["userName"] * 1_001}
    status, _, message = await directory.expect_error("POST", "/Users/.search", json=many)
    assert (status, message) == (400, "attributes: at most 1,000 names; got 1,001.")
