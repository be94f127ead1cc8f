"""What a directory sends over SCIM, and what the report then shows."""

from typing import Any

import pytest

from app.domain.callers import Scope
from tests.conftest import Feed, GraphQLClient, MakeKey, event
from tests.scim.conftest import Directory, read_report


async def test_a_user_is_created_suspended_and_deleted(
    directory: Directory, graphql: GraphQLClient
) -> None:
    ann = await directory.create(
        "/Users",
        userName="ann",
        externalId="e-1",
        emails=[{"value": "home@x.test"}, {"value": "ann@x.test", "primary": True}],
        nickName="not kept",
    )

    assert (ann["userName"], ann["externalId"], "nickName" in ann) == ("ann", "e-1", False)
    assert ann["meta"]["version"] == 'W/"1"'
    report = await read_report(graphql)
    assert report.users["ann"]["email"] == "ann@x.test"
    assert report.users["ann"]["suspended"] is False

    path = f"/Users/{ann['id']}"
    await directory.patch(path, {"op": "replace", "path": "active", "value": False})
    assert (await read_report(graphql)).users["ann"]["suspended"] is True
    await directory.patch(path, {"op": "replace", "value": {"active": True}})
    assert (await read_report(graphql)).users["ann"]["suspended"] is False

    assert (await directory.send("DELETE", path)).status_code == 204
    assert (await read_report(graphql)).users["ann"]["deletedAt"] is not None
    status, _, message = await directory.expect_error("GET", path)
    assert (status, message) == (404, f"There is no User with the id '{ann['id']}'.")


async def test_a_group_is_a_workspace_with_members(
    directory: Directory, graphql: GraphQLClient
) -> None:
    ann, bob = [(await directory.create("/Users", userName=name))["id"] for name in ("ann", "bob")]
    group = await directory.create("/Groups", displayName="vision", members=[{"value": ann}])
    path = f"/Groups/{group['id']}"
    assert (await read_report(graphql)).workspaces == {"vision": ["ann"]}

    changed = await directory.patch(
        path, {"op": "add", "path": "members", "value": [{"value": bob}]}
    )
    assert {member["value"] for member in changed["members"]} == {ann, bob}
    assert (await read_report(graphql)).workspaces == {"vision": ["ann", "bob"]}
    [membership] = (await directory.get(f"/Users/{bob}"))["groups"]
    assert (membership["display"], membership["value"]) == ("vision", group["id"])
    assert membership["$ref"].endswith(path)

    await directory.patch(path, {"op": "remove", "path": f'members[value eq "{ann}"]'})
    assert (await read_report(graphql)).workspaces == {"vision": ["bob"]}

    await directory.patch(path, {"op": "remove", "path": "members"})
    assert (await read_report(graphql)).workspaces == {"vision": []}


async def test_later_operations_on_members_win(
    directory: Directory, graphql: GraphQLClient
) -> None:
    ann, bob = [(await directory.create("/Users", userName=name))["id"] for name in ("ann", "bob")]
    group = await directory.create("/Groups", displayName="vision", members=[{"value": ann}])

    await directory.patch(
        f"/Groups/{group['id']}",
        {"op": "add", "path": "members", "value": [{"value": bob}]},
        {"op": "remove", "path": f'members[value eq "{bob}" or value eq "{ann}"]'},
        {"op": "add", "value": {"members": [{"value": ann}], "externalId": "e"}},
    )

    assert (await read_report(graphql)).workspaces == {"vision": ["ann"]}
    assert (await directory.get(f"/Groups/{group['id']}"))["externalId"] == "e"


async def test_deleting_a_group_keeps_its_workspace_and_experiments(
    directory: Directory, graphql: GraphQLClient, feed: Feed
) -> None:
    ann = (await directory.create("/Users", userName="ann"))["id"]
    group = await directory.create("/Groups", displayName="vision", members=[{"value": ann}])
    await feed(
        event(
            "experiment.created",
            "2026-11-24T12:00:01Z",
            experiment="x",
            workspace="vision",
            project="p",
            username="ann",
        )
    )

    assert (await directory.send("DELETE", f"/Groups/{group['id']}")).status_code == 204

    query = """{ chargebackReport(month: "2026-11") { workspaces {
        name numberOfExperiments members { userName } formerMembers { userName } } } }"""
    [vision] = (await graphql(query))["chargebackReport"]["workspaces"]
    assert vision == {
        "name": "vision",
        "numberOfExperiments": 1,
        "members": [],
        "formerMembers": [{"userName": "ann"}],
    }


async def test_renaming_a_user_or_a_group_moves_the_memberships(
    directory: Directory, graphql: GraphQLClient
) -> None:
    ann = (await directory.create("/Users", userName="ann"))["id"]
    group = await directory.create("/Groups", displayName="vision", members=[{"value": ann}])

    await directory.patch(f"/Users/{ann}", {"op": "replace", "path": "userName", "value": "anna"})
    await directory.patch(
        f"/Groups/{group['id']}", {"op": "replace", "value": {"displayName": "see"}}
    )

    report = await read_report(graphql)
    assert report.users["anna"]["deletedAt"] is None
    assert report.workspaces == {"see": ["anna"], "vision": []}


async def test_put_resets_attributes_that_it_omits(
    directory: Directory, graphql: GraphQLClient
) -> None:
    ann = await directory.create(
        "/Users",
        userName="ann",
        displayName="Ann",
        userType="ServiceAccount",
        roles=[{"value": "admin"}],
    )
    user = (await read_report(graphql)).users["ann"]
    assert (user["serviceAccount"], user["role"]) == (True, "ADMIN")

    response = await directory.send("PUT", f"/Users/{ann['id']}", json={"userName": "ann"})

    assert response.status_code == 200
    assert "displayName" not in response.json()
    user = (await read_report(graphql)).users["ann"]
    assert (user["serviceAccount"], user["role"]) == (False, "MEMBER")


async def test_a_request_that_changes_nothing_keeps_the_version(directory: Directory) -> None:
    ann = await directory.create("/Users", userName="ann", active=True)
    group = await directory.create("/Groups", displayName="g", members=[{"value": ann["id"]}])

    again = await directory.send(
        "PUT", f"/Users/{ann['id']}", json={"userName": "ann", "active": True}
    )
    same = await directory.patch(
        f"/Groups/{group['id']}", {"op": "add", "path": "members", "value": [{"value": ann["id"]}]}
    )

    assert again.json()["meta"] == ann["meta"]
    assert same["meta"] == group["meta"]
    known = {"If-None-Match": again.headers["etag"]}
    response = await directory.send("GET", f"/Users/{ann['id']}", headers=known)
    assert response.status_code == 304


async def test_lists_are_filtered_and_paged(directory: Directory) -> None:
    for number in range(5):
        await directory.create(
            "/Users",
            userName=f"user{number}@x.test",
            externalId=f"e{number}",
            active=number % 2 == 0,
            emails=[{"value": f"user{number}@x.test", "type": "work"}],
        )

    async def names(matching: str) -> list[str]:
        found = await directory.get("/Users", filter=matching)
        return [each["userName"][:5] for each in found["Resources"]]

    assert await names('userName eq "USER3@x.test"') == ["user3"]
    assert await names('externalId eq "e1"') == ["user1"]
    assert await names('externalId eq "e1" and active eq true') == []
    assert await names('emails[type eq "work" and value sw "user4"]') == ["user4"]
    assert await names('emails[type eq "work"].value eq "user2@x.test"') == ["user2"]
    assert await names('emails co "user2"') == ["user2"]
    assert await names("active eq false") == ["user1", "user3"]
    assert await names('active eq "False"') == ["user1", "user3"]
    assert await names('not (active eq true) and externalId gt "e1"') == ["user3"]
    assert await names('userName ew "x.test" and (externalId eq "e0" or externalId eq "e4")') == [
        "user0",
        "user4",
    ]
    assert await names("displayName pr") == []
    assert await names('meta.created ge "2026-11-24T12:00:05Z"') == ["user4"]
    assert await names(r'userName eq "\u0000"') == await names(r'userName eq "\ud800"') == []

    page = await directory.get("/Users", startIndex=2, count=2, attributes="userName")
    assert (page["totalResults"], page["startIndex"], page["itemsPerPage"]) == (5, 2, 2)
    assert [sorted(each) for each in page["Resources"]] == [["id", "schemas", "userName"]] * 2
    nothing = await directory.get("/Users", count=0)
    assert (nothing["totalResults"], nothing["Resources"]) == (5, [])
    short = await directory.get("/Users", excludedAttributes="emails,meta.version", count=1)
    assert "emails" not in short["Resources"][0]
    assert "version" not in short["Resources"][0]["meta"]


async def test_groups_are_found_by_their_members(directory: Directory) -> None:
    ann = (await directory.create("/Users", userName="ann"))["id"]
    group = await directory.create("/Groups", displayName="g", members=[{"value": ann}])
    await directory.create("/Groups", displayName="other")

    found = await directory.get("/Groups", filter=f'members[value eq "{ann}"]')
    assert [each["displayName"] for each in found["Resources"]] == ["g"]
    one = await directory.get(
        "/Groups", filter=f'id eq "{group["id"]}" and members eq "{ann}"', attributes="id"
    )
    assert [each["id"] for each in one["Resources"]] == [group["id"]]


async def test_a_search_covers_users_and_groups(directory: Directory) -> None:
    await directory.create("/Users", userName="ann", displayName="A")
    await directory.create("/Groups", displayName="A")

    for matching, expected in (
        ('displayName eq "A"', ["User", "Group"]),
        ('userName eq "ann"', ["User"]),
    ):
        response = await directory.send("POST", "/.search", json={"filter": matching})
        found = [each["meta"]["resourceType"] for each in response.json()["Resources"]]
        assert found == expected


USER = {"userName": "ann"}


@pytest.mark.parametrize(
    ("method", "path", "request_", "error"),
    [
        ("POST", "/Users", {"json": {}}, (400, "invalidValue", "Field 'userName' is required")),
        ("POST", "/Users", {"json": {"userName": ""}}, (400, "invalidValue", "userName: must")),
        (
            "POST",
            "/Users",
            {"json": {"userName": "ann", "active": "maybe"}},
            (400, "invalidValue", "active: input should be a valid boolean, unable to interpret"),
        ),
        ("POST", "/Users", {"json": []}, (400, "invalidSyntax", "The body must be a JSON object")),
        (
            "POST",
            "/Users",
            {"content": b"{", "headers": {"Content-Type": "application/scim+json"}},
            (400, "invalidSyntax", "The body is not valid JSON: unexpected end of data"),
        ),
        (
            "POST",
            "/Users",
            {"content": b"<a/>", "headers": {"Content-Type": "text/xml"}},
            (415, "", "Content-Type must be application/scim+json or application/json; got"),
        ),
        (
            "POST",
            "/Groups",
            {"json": {"displayName": "g", "members": [{"value": "nobody"}]}},
            (400, "invalidValue", "members[0]: must have the id of a user as its value; got"),
        ),
        (
            "POST",
            "/Groups",
            {"json": {"displayName": "g", "members": ["2819c223-7f76-453a-919d-413861904646"]}},
            (400, "invalidValue", "members: there is no user with the id 2819c223-7f76-453a-"),
        ),
        (
            "GET",
            "/Users",
            {"params": {"filter": "userName eq"}},
            (400, "invalidFilter", "filter: invalid syntax at column"),
        ),
        (
            "GET",
            "/Users",
            {"params": {"filter": 'shoeSize eq "9"'}},
            (400, "invalidFilter", "filter: Field not found: shoeSize."),
        ),
        (
            "POST",
            "/Users/.search",
            {"json": {"filter": 5}},
            (400, "invalidFilter", "filter: must be a text of at most 1000 characters"),
        ),
        (
            "GET",
            "/Users",
            {"params": {"filter": "(" * 1_001}},
            (400, "invalidFilter", "filter: must be a text of at most 1000 characters"),
        ),
        (
            "GET",
            "/Users",
            {"params": {"count": "many"}},
            (400, "invalidValue", "count: must be a whole number; got 'many'."),
        ),
        ("GET", "/Users/nobody", {}, (404, "", "There is no User with the id 'nobody'.")),
        ("GET", "/Nothing", {}, (404, "", "There is nothing at /scim/v2/Nothing.")),
        ("PUT", "/Users", {"json": USER}, (405, "", "PUT is not allowed here, only GET, POST.")),
        ("GET", "/Schemas", {"params": {"filter": "x"}}, (403, "", "This list cannot be")),
    ],
)  # fmt: skip
async def test_errors_have_the_form_of_scim(
    directory: Directory,
    method: str,
    path: str,
    request_: dict[str, Any],
    error: tuple[int, str, str],
) -> None:
    status, keyword, message = await directory.expect_error(method, path, **request_)

    assert (status, keyword) == error[:2]
    assert message.startswith(error[2])
    assert (await directory.get("/Users"))["totalResults"] == 0


async def test_two_users_cannot_differ_in_case_alone(directory: Directory) -> None:
    ann = await directory.create("/Users", userName="ann")

    error = await directory.expect_error("POST", "/Users", json={"userName": "ANN"})

    assert error == (409, "uniqueness", f"userName: 'ANN' belongs to the User {ann['id']}.")


@pytest.mark.parametrize(
    ("operation", "keyword", "message"),
    [
        ({"op": "move"}, "invalidSyntax", "op: must be add, remove or replace; got 'move'."),
        ({"op": "remove"}, "noTarget", "path: is required to remove."),
        ({"op": "remove", "path": "userName"}, "mutability", "userName: required attribute"),
        ({"op": "add", "path": "groups", "value": []}, "mutability", "groups: 'groups' is read"),
        ({"op": "replace", "path": "a b", "value": 1}, "invalidPath", "a b: invalid syntax at"),
        ({"op": "replace", "path": 5, "value": 1}, "invalidPath", "path: must be a text; got 5."),
        ({"op": "replace", "value": 1}, "invalidValue", "value: must be an object; got 1."),
        ({"op": "add", "path": "active", "value": "x"}, "invalidValue", "active: active: input"),
        (
            {"op": "replace", "path": 'emails[value co "x"].type', "value": "work"},
            "noTarget",
            'emails[value co "x"].type: no value of',
        ),
    ],
)  # fmt: skip
async def test_a_patch_that_cannot_be_applied_changes_nothing(
    directory: Directory, operation: dict[str, Any], keyword: str, message: str
) -> None:
    ann = await directory.create("/Users", userName="ann")
    body = {"Operations": [{"op": "add", "path": "displayName", "value": "A"}, operation]}

    error = await directory.expect_error("PATCH", f"/Users/{ann['id']}", json=body)

    assert error[:2] == (400, keyword)
    assert error[2].startswith(f"Operations[1]: {message}")
    assert await directory.get(f"/Users/{ann['id']}") == ann


async def test_one_of_several_values_is_changed_or_created(directory: Directory) -> None:
    ann = await directory.create(
        "/Users", userName="ann", emails=[{"value": "a@x", "type": "home"}]
    )

    changed = await directory.patch(
        f"/Users/{ann['id']}",
        {"op": "replace", "path": 'emails[type eq "work"].value', "value": "w@x"},
        {"op": "replace", "path": 'emails[type eq "home"].value', "value": "h@x"},
        {"op": "add", "path": "emails", "value": {"value": "p@x", "primary": True}},
    )

    assert changed["emails"] == [
        {"value": "h@x", "type": "home"},
        {"type": "work", "value": "w@x"},
        {"value": "p@x", "primary": True},
    ]


async def test_a_change_of_another_version_is_rejected(directory: Directory) -> None:
    ann = await directory.create("/Users", userName="ann")
    await directory.patch(f"/Users/{ann['id']}", {"op": "add", "value": {"displayName": "A"}})

    error = await directory.expect_error(
        "DELETE", f"/Users/{ann['id']}", headers={"If-Match": ann["meta"]["version"]}
    )

    assert error == (412, "", "The resource now has the version 2, and not 1.")


@pytest.mark.parametrize("path", ["/Users", "/Groups", "/ServiceProviderConfig", "/Schemas", "/x"])
async def test_every_path_requires_a_key_that_may_write_events(
    directory: Directory, make_key: MakeKey, path: str
) -> None:
    reader = {"Authorization": await make_key("root")}
    invalid = {"Authorization": "Bearer no"}

    assert (await directory.expect_error("GET", path, headers=invalid))[0] == 401
    status, _, message = await directory.expect_error("GET", path, headers=reader)
    assert status == 403
    assert message.startswith("This needs a key with the scope events:write")


async def test_changes_of_one_instant_apply_in_their_order(
    directory: Directory, graphql: GraphQLClient
) -> None:
    """The clocks of several processes differ; the last change must win."""
    ann = (await directory.create("/Users", userName="ann"))["id"]
    group = await directory.create("/Groups", displayName="g", members=[{"value": ann}])
    for members in ([], [{"value": ann}], [], [{"value": ann}]):
        directory.clock.now = directory.clock.now.replace(second=0)
        body = {"displayName": "g", "members": members}
        await directory.send("PUT", f"/Groups/{group['id']}", json=body)

    assert (await read_report(graphql)).workspaces == {"g": ["ann"]}


async def test_organizations_do_not_see_each_others_resources(
    directory: Directory, make_key: MakeKey, other_organization: str
) -> None:
    ann = await directory.create("/Users", userName="ann")
    key = await make_key("root", Scope.EVENTS_WRITE, organization=other_organization)
    other = Directory(directory.client, key, directory.clock)

    assert (await other.get("/Users"))["totalResults"] == 0
    assert (await other.expect_error("GET", f"/Users/{ann['id']}"))[0] == 404
    await other.create("/Users", userName="ann")
