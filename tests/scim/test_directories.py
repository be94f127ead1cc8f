"""The requests that Microsoft Entra ID and Okta document, in their order and spelling."""

import json
from typing import Any

import pytest

from tests.conftest import GraphQLClient
from tests.scim.conftest import PATCH, Directory, read_report

USER_SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP_SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"

ENTRA_USER = {
    "schemas": [USER_SCHEMA, ENTERPRISE],
    "externalId": "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef",
    "userName": "zoe@x.test",
    "active": True,
    "displayName": "Zoe Roe",
    "emails": [{"primary": True, "type": "work", "value": "zoe@x.test"}],
    "meta": {"resourceType": "User"},
    "name": {"formatted": "Zoe Roe", "familyName": "Roe", "givenName": "Zoe", "middleName": "M"},
    "title": "Engineer",
    "preferredLanguage": "en-GB",
    "addresses": [{"type": "work", "formatted": "1 Road", "country": "UK"}],
    "phoneNumbers": [{"type": "work", "value": "1"}, {"type": "mobile", "value": "2"}],
    "roles": [{"primary": True, "type": "WindowsAzureActiveDirectoryRole", "value": "ADMIN"}],
    ENTERPRISE: {"employeeNumber": "7", "department": "ML", "manager": {"value": "26118915"}},
}
KEPT = {
    "externalId": "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef",
    "userName": "zoe@x.test",
    "active": True,
    "displayName": "Zoe Roe",
    "emails": [{"primary": True, "type": "work", "value": "zoe@x.test"}],
    "name": {"formatted": "Zoe Roe", "familyName": "Roe", "givenName": "Zoe"},
    "roles": [{"primary": True, "type": "WindowsAzureActiveDirectoryRole", "value": "ADMIN"}],
}


def without_envelope(user: dict[str, Any]) -> dict[str, Any]:
    return {name: user[name] for name in user if name not in {"schemas", "id", "meta"}}


async def test_entra_provisions_a_user(directory: Directory, graphql: GraphQLClient) -> None:
    by_name = f'userName eq "{ENTRA_USER["userName"]}"'
    assert (await directory.get("/Users", filter=by_name))["totalResults"] == 0

    created = await directory.create("/Users", **ENTRA_USER)

    assert without_envelope(created) == KEPT
    assert (await directory.get("/Users", filter=by_name))["totalResults"] == 1
    by_external_id = f'externalId eq "{ENTRA_USER["externalId"]}"'
    assert (await directory.get("/Users", filter=by_external_id))["totalResults"] == 1
    user = (await read_report(graphql)).users["zoe@x.test"]
    assert (user["email"], user["role"]) == ("zoe@x.test", "ADMIN")


NOT_KEPT = [
    {"op": "Replace", "path": f"{ENTERPRISE}:department", "value": "Ops"},
    {"op": "Add", "path": f"{ENTERPRISE}:manager", "value": "26118915"},
    {"op": "Remove", "path": f"{ENTERPRISE}:manager"},
    {"op": "Replace", "path": "title", "value": "Manager"},
    {"op": "Remove", "path": "title"},
    {"op": "Replace", "path": "preferredLanguage", "value": "de"},
    {"op": "Replace", "path": "name.middleName", "value": "N"},
    {"op": "Add", "path": 'phoneNumbers[type eq "work"].value', "value": "3"},
    {"op": "Replace", "path": 'phoneNumbers[type eq "mobile"].primary', "value": "True"},
    {"op": "Replace", "path": 'addresses[type eq "work"].formatted', "value": "2 Road"},
    {"op": "Remove", "path": 'addresses[type eq "work"]'},
    {"op": "Replace", "path": "locale", "value": "de-DE"},
    {"op": "Replace", "value": {f"{ENTERPRISE}:department": "Ops", "title": "x"}},
    {"op": "Add", "value": {ENTERPRISE: {"department": "Ops"}}},
    {"op": "Replace", "path": "urn:ietf:params:scim:schemas:extension:own:2.0:User:x", "value": 1},
]


@pytest.mark.parametrize("operation", NOT_KEPT, ids=range(len(NOT_KEPT)))
async def test_an_attribute_that_is_not_kept_does_not_keep_a_leaver_active(
    directory: Directory, graphql: GraphQLClient, operation: dict[str, Any]
) -> None:
    zoe = await directory.create("/Users", **ENTRA_USER)

    changed = await directory.patch(
        f"/Users/{zoe['id']}", operation, {"op": "Replace", "path": "active", "value": "False"}
    )

    assert without_envelope(changed) == {**KEPT, "active": False}
    assert (await read_report(graphql)).users["zoe@x.test"]["suspended"] is True


ROLE = "WindowsAzureActiveDirectoryRole"
DEMOTIONS = [
    # (operations, roles afterwards)
    (
        [{"op": "Replace", "path": 'roles[primary eq "True"].value', "value": "MEMBER"}],
        [{"primary": True, "type": ROLE, "value": "MEMBER"}],
    ),
    (
        [{"op": "Add", "path": 'roles[primary eq "True"].value', "value": "MEMBER"}],
        [{"primary": True, "type": ROLE, "value": "MEMBER"}],
    ),
    ([{"op": "Remove", "path": 'roles[primary eq "True"]'}], None),
    ([{"op": "Remove", "path": "roles"}], None),
    ([{"op": "Replace", "path": "roles", "value": []}], None),
    (
        [{"op": "Replace", "path": "roles", "value": [{"value": "MEMBER"}]}],
        [{"value": "MEMBER"}],
    ),
    (
        # Entra's form of an added role: JSON within a text, and the old role is never removed.
        [
            {
                "op": "Add",
                "path": "roles",
                "value": [{"value": json.dumps({"id": "06b07648", "value": "MEMBER"})}],
            }
        ],
        [{"value": "MEMBER"}],
    ),
    (
        [{"op": "Add", "value": {"roles": [{"value": "MEMBER", "primary": "false"}]}}],
        [{"value": "MEMBER", "primary": False}],
    ),
]


@pytest.mark.parametrize(("operations", "roles"), DEMOTIONS, ids=range(len(DEMOTIONS)))
async def test_an_admin_who_loses_the_role_is_a_member(
    directory: Directory,
    graphql: GraphQLClient,
    operations: list[dict[str, Any]],
    roles: list[dict[str, Any]] | None,
) -> None:
    zoe = await directory.create("/Users", **ENTRA_USER)

    changed = await directory.patch(f"/Users/{zoe['id']}", *operations)

    assert changed.get("roles") == roles
    assert (await read_report(graphql)).users["zoe@x.test"]["role"] == "MEMBER"


async def test_the_primary_role_decides(directory: Directory, graphql: GraphQLClient) -> None:
    roles = [{"value": "ADMIN", "primary": False}, {"value": "User", "primary": True}]
    await directory.create("/Users", userName="zoe", roles=roles)
    await directory.create(
        "/Users", userName="ann", roles=[{**each, "primary": False} for each in roles]
    )

    users = (await read_report(graphql)).users
    assert (users["zoe"]["role"], users["ann"]["role"]) == ("MEMBER", "ADMIN")


async def test_entra_updates_a_user(directory: Directory, graphql: GraphQLClient) -> None:
    zoe = await directory.create("/Users", **ENTRA_USER)

    changed = await directory.patch(
        f"/Users/{zoe['id']}",
        {"op": "Replace", "path": 'emails[type eq "work"].value', "value": "roe@x.test"},
        {"op": "Replace", "path": "name.familyName", "value": "Row"},
        {"op": "Add", "value": {"displayName": "Zoe Row", "name.formatted": "Zoe Row"}},
    )

    assert changed["emails"] == [{"primary": True, "type": "work", "value": "roe@x.test"}]
    assert changed["name"] == {"formatted": "Zoe Row", "familyName": "Row", "givenName": "Zoe"}
    assert (await read_report(graphql)).users["zoe@x.test"]["email"] == "roe@x.test"


async def test_entra_manages_a_group(directory: Directory, graphql: GraphQLClient) -> None:
    ann, bob = [(await directory.create("/Users", userName=name))["id"] for name in ("ann", "bob")]
    group = await directory.create(
        "/Groups",
        schemas=[
            GROUP_SCHEMA,
            "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group",
        ],
        externalId="8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159",
        displayName="vision",
        meta={"resourceType": "Group"},
    )
    path = f"/Groups/{group['id']}"
    found = await directory.get(
        "/Groups", excludedAttributes="members", filter='displayName eq "vision"'
    )
    assert [each["id"] for each in found["Resources"]] == [group["id"]]

    for operation, members in (
        ({"op": "Add", "path": "members", "value": [{"$ref": None, "value": ann}]}, ["ann"]),
        ({"op": "Add", "path": "members", "value": [{"value": bob}]}, ["ann", "bob"]),
        ({"op": "Remove", "path": "members", "value": [{"$ref": None, "value": ann}]}, ["bob"]),
        ({"op": "Remove", "path": "members", "value": [{"value": bob}, {"value": ann}]}, []),
        ({"op": "Replace", "path": "members", "value": [{"value": ann}]}, ["ann"]),
    ):
        await directory.patch(path, operation)
        assert (await read_report(graphql)).workspaces == {"vision": members}

    await directory.patch(path, {"op": "Replace", "path": "displayName", "value": "sight"})
    assert (await read_report(graphql)).workspaces == {"sight": ["ann"], "vision": []}
    assert (await directory.send("DELETE", path)).status_code == 204


async def test_okta_manages_a_user(directory: Directory, graphql: GraphQLClient) -> None:
    found = await directory.get(
        "/Users", filter='userName eq "ann@x.test"', startIndex=1, count=100
    )
    assert found["totalResults"] == 0
    ann = await directory.create(
        "/Users",
        schemas=[USER_SCHEMA],
        userName="ann@x.test",
        name={"givenName": "Ann", "familyName": "Roe"},
        emails=[{"primary": True, "value": "ann@x.test", "type": "work"}],
        displayName="Ann Roe",
        locale="en-US",
        externalId="00ujl29u0le5T6Aj10h7",
        groups=[],
        password="1mz050nq",
        active=True,
    )
    assert "password" not in ann
    path = f"/Users/{ann['id']}"

    whole = {**ann, "name": {"givenName": "Anne", "middleName": "", "familyName": "Roe"}}
    replaced = await directory.send("PUT", path, json=whole)
    assert (replaced.status_code, replaced.json()["name"]["givenName"]) == (200, "Anne")

    body = {"schemas": [PATCH], "Operations": [{"op": "replace", "value": {"active": False}}]}
    assert (await directory.send("PATCH", path, json=body)).json()["active"] is False
    assert (await read_report(graphql)).users["ann@x.test"]["suspended"] is True


async def test_okta_pushes_a_group(directory: Directory, graphql: GraphQLClient) -> None:
    ann, bob = [(await directory.create("/Users", userName=name))["id"] for name in ("ann", "bob")]
    group = await directory.create("/Groups", schemas=[GROUP_SCHEMA], displayName="g", members=[])
    path = f"/Groups/{group['id']}"
    assert (await directory.get("/Groups", startIndex=1, count=100))["totalResults"] == 1

    # Okta repeats the group's id when it renames a group.
    await directory.patch(
        path, {"op": "replace", "value": {"id": group["id"], "displayName": "vision"}}
    )
    await directory.patch(
        path,
        {"op": "add", "path": "members", "value": [{"value": ann, "display": "ann"}]},
        {"op": "add", "path": "members", "value": [{"value": bob, "display": "bob"}]},
    )
    assert (await read_report(graphql)).workspaces == {"g": [], "vision": ["ann", "bob"]}

    await directory.patch(path, {"op": "remove", "path": f'members[value eq "{ann}"]'})
    assert (await read_report(graphql)).workspaces["vision"] == ["bob"]

    whole = {
        "schemas": [GROUP_SCHEMA],
        "id": group["id"],
        "displayName": "vision",
        "members": [{"value": ann, "display": "ann"}],
    }
    assert (await directory.send("PUT", path, json=whole)).status_code == 200
    assert (await read_report(graphql)).workspaces["vision"] == ["ann"]
