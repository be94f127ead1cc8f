"""What a directory says over SCIM, and what the report says then."""

from typing import Any

import pytest

from app.domain.callers import Scope
from tests.conftest import Feed, GraphQLClient, MakeKey, event
from tests.scim.conftest import Directory

REPORT = """
{ chargebackReport(month: "2026-11") {
    users { licensedUsers { username email suspended serviceAccount deletedAt } }
    workspaces { name numberOfExperiments members { userName } formerMembers { userName } } } }
"""


async def reported(graphql: GraphQLClient) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Licensed users by name, and workspaces with the names of their members."""
    found = (await graphql(REPORT))["chargebackReport"]
    users = {each["username"]: each for each in found["users"]["licensedUsers"]}
    return users, {
        each["name"]: [member["userName"] for member in each["members"]]
        for each in found["workspaces"]
    }


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
    users, _ = await reported(graphql)
    assert users["ann"]["email"] == "ann@x.test"
    assert users["ann"]["suspended"] is False

    path = f"/Users/{ann['id']}"
    # As one well-known directory writes it.
    await directory.patch(path, {"op": "Replace", "path": "active", "value": "False"})
    assert (await reported(graphql))[0]["ann"]["suspended"] is True
    await directory.patch(path, {"op": "replace", "value": {"active": True}})
    assert (await reported(graphql))[0]["ann"]["suspended"] is False

    assert (await directory.ask("DELETE", path)).status_code == 204
    assert (await reported(graphql))[0]["ann"]["deletedAt"] is not None
    status, _, words = await directory.refusal("GET", path)
    assert (status, words) == (404, f"There is no User with the id '{ann['id']}'.")


async def test_a_group_is_a_workspace_and_its_members(
    directory: Directory, graphql: GraphQLClient
) -> None:
    ann, bob = [(await directory.create("/Users", userName=name))["id"] for name in ("ann", "bob")]
    group = await directory.create("/Groups", displayName="vision", members=[{"value": ann}])
    path = f"/Groups/{group['id']}"
    assert (await reported(graphql))[1] == {"vision": ["ann"]}

    await directory.patch(path, {"op": "add", "path": "members", "value": [{"value": bob}]})
    assert (await reported(graphql))[1] == {"vision": ["ann", "bob"]}
    shown = await directory.get(f"/Users/{bob}")
    [of_bob] = shown["groups"]
    assert (of_bob["display"], of_bob["value"]) == ("vision", group["id"])
    assert of_bob["$ref"].endswith(path)

    await directory.patch(path, {"op": "remove", "path": f'members[value eq "{ann}"]'})
    assert (await reported(graphql))[1] == {"vision": ["bob"]}

    # Some clients put what to remove beside the operation.
    await directory.patch(path, {"op": "Remove", "path": "members", "value": [{"value": bob}]})
    assert (await reported(graphql))[1] == {"vision": []}


async def test_a_group_that_is_deleted_leaves_its_workspace_and_what_it_holds(
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

    assert (await directory.ask("DELETE", f"/Groups/{group['id']}")).status_code == 204

    [vision] = (await graphql(REPORT))["chargebackReport"]["workspaces"]
    assert vision == {
        "name": "vision",
        "numberOfExperiments": 1,
        "members": [],
        "formerMembers": [{"userName": "ann"}],
    }


async def test_another_name_is_another_user_and_another_workspace(
    directory: Directory, graphql: GraphQLClient
) -> None:
    ann = (await directory.create("/Users", userName="ann"))["id"]
    group = await directory.create("/Groups", displayName="vision", members=[{"value": ann}])

    await directory.patch(f"/Users/{ann}", {"op": "replace", "path": "userName", "value": "anna"})
    await directory.patch(
        f"/Groups/{group['id']}", {"op": "replace", "value": {"displayName": "see"}}
    )

    users, workspaces = await reported(graphql)
    assert users["ann"]["deletedAt"] is not None
    assert users["anna"]["deletedAt"] is None
    assert workspaces == {"see": ["anna"], "vision": []}


async def test_put_replaces_and_what_is_left_out_is_gone(
    directory: Directory, graphql: GraphQLClient
) -> None:
    ann = await directory.create(
        "/Users",
        userName="ann",
        displayName="Ann",
        userType="ServiceAccount",
        roles=[{"value": "admin"}],
    )
    assert (await reported(graphql))[0]["ann"]["serviceAccount"] is True

    answer = await directory.ask("PUT", f"/Users/{ann['id']}", json={"userName": "ann"})

    assert answer.status_code == 200
    assert "displayName" not in answer.json()
    assert (await reported(graphql))[0]["ann"]["serviceAccount"] is False


async def test_the_same_again_changes_nothing(directory: Directory) -> None:
    ann = await directory.create("/Users", userName="ann", active=True)

    again = await directory.ask(
        "PUT", f"/Users/{ann['id']}", json={"userName": "ann", "active": True}
    )

    assert again.json()["meta"] == ann["meta"]
    fresh = {"If-None-Match": again.headers["etag"]}
    assert (await directory.ask("GET", f"/Users/{ann['id']}", headers=fresh)).status_code == 304


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
    assert await names('emails[type eq "work" and value sw "user4"]') == ["user4"]
    assert await names('emails co "user2"') == ["user2"]
    assert await names("active eq false") == ["user1", "user3"]
    assert await names('not (active eq true) and externalId gt "e1"') == ["user3"]
    assert await names('userName ew "x.test" and (externalId eq "e0" or externalId eq "e4")') == [
        "user0",
        "user4",
    ]
    assert await names("displayName pr") == []
    assert await names('meta.created ge "2026-11-24T12:00:05Z"') == ["user4"]

    page = await directory.get("/Users", startIndex=2, count=2, attributes="userName")
    assert (page["totalResults"], page["startIndex"], page["itemsPerPage"]) == (5, 2, 2)
    assert [sorted(each) for each in page["Resources"]] == [["id", "schemas", "userName"]] * 2
    nothing = await directory.get("/Users", count=0)
    assert (nothing["totalResults"], nothing["Resources"]) == (5, [])
    short = await directory.get("/Users", excludedAttributes="emails,meta.version", count=1)
    assert "emails" not in short["Resources"][0]
    assert "version" not in short["Resources"][0]["meta"]


USER = {"userName": "ann"}


@pytest.mark.parametrize(
    ("method", "path", "request_", "refusal"),
    [
        ("POST", "/Users", {"json": {}}, (400, "invalidValue", "userName: is required.")),
        (
            "POST",
            "/Users",
            {"json": {"userName": "ann", "active": "maybe"}},
            (400, "invalidValue", "active: must be true or false; got 'maybe'."),
        ),
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
            (400, "invalidValue", "members[0]: the id of a user is needed; got 'nobody'."),
        ),
        (
            "GET",
            "/Users",
            {"params": {"filter": "userName eq"}},
            (400, "invalidFilter", "filter: ends early."),
        ),
        (
            "GET",
            "/Users",
            {"params": {"filter": 'shoeSize eq "9"'}},
            (400, "invalidFilter", "filter: User has no attribute 'shoeSize'."),
        ),
        (
            "GET",
            "/Users",
            {"params": {"filter": "(" * 2_000}},
            (400, "invalidFilter", "filter: nested more than 50 deep."),
        ),
        (
            "GET",
            "/Users",
            {"params": {"count": "many"}},
            (400, "invalidValue", "count: must be a whole number; got 'many'."),
        ),
        ("GET", "/Users/nobody", {}, (404, "", "There is no User with the id 'nobody'.")),
        ("GET", "/Nothing", {}, (404, "", "There is nothing at /scim/v2/Nothing.")),
        ("PUT", "/Users", {"json": USER}, (405, "", "PUT is not for this path: GET, POST.")),
        ("GET", "/Schemas", {"params": {"filter": "x"}}, (403, "", "There is no filter on what")),
    ],
)  # fmt: skip
async def test_refusals_have_scims_own_form(
    directory: Directory,
    method: str,
    path: str,
    request_: dict[str, Any],
    refusal: tuple[int, str, str],
) -> None:
    status, keyword, words = await directory.refusal(method, path, **request_)

    assert (status, keyword) == refusal[:2]
    assert words.startswith(refusal[2])


async def test_a_name_that_is_taken_is_refused_whatever_its_case(directory: Directory) -> None:
    ann = await directory.create("/Users", userName="ann")

    refused = await directory.refusal("POST", "/Users", json={"userName": "ANN"})

    assert refused == (409, "uniqueness", f"userName: 'ANN' belongs to the User {ann['id']}.")


@pytest.mark.parametrize(
    ("operation", "keyword", "words"),
    [
        ({"op": "move"}, "invalidSyntax", "op: must be add, remove or replace; got 'move'."),
        ({"op": "remove"}, "noTarget", "path: is needed to remove."),
        ({"op": "remove", "path": "userName"}, "mutability", "userName: is required."),
        ({"op": "add", "path": "groups", "value": []}, "mutability", "groups: only the"),
        ({"op": "add", "path": "shoe", "value": 1}, "invalidPath", "User has no attribute"),
        ({"op": "replace", "path": "a b", "value": 1}, "invalidPath", "path: 'a b' cannot be"),
        (
            {"op": "replace", "path": 'emails[type eq "work"]', "value": {"value": "a@x.test"}},
            "noTarget",
            "path: no value matches the filter.",
        ),
    ],
)  # fmt: skip
async def test_a_patch_that_cannot_be_applied_changes_nothing(
    directory: Directory, operation: dict[str, Any], keyword: str, words: str
) -> None:
    ann = await directory.create("/Users", userName="ann")
    body = {"Operations": [{"op": "add", "path": "displayName", "value": "A"}, operation]}

    refused = await directory.refusal("PATCH", f"/Users/{ann['id']}", json=body)

    assert refused[:2] == (400, keyword)
    assert refused[2].startswith(f"Operations[1]: {words}")
    assert await directory.get(f"/Users/{ann['id']}") == ann


async def test_a_value_of_a_kind_is_changed_or_begun(directory: Directory) -> None:
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


async def test_a_version_that_is_not_the_last_is_refused(directory: Directory) -> None:
    ann = await directory.create("/Users", userName="ann")
    await directory.patch(f"/Users/{ann['id']}", {"op": "add", "value": {"displayName": "A"}})

    refused = await directory.refusal(
        "DELETE", f"/Users/{ann['id']}", headers={"If-Match": ann["meta"]["version"]}
    )

    assert refused == (412, "", "The resource has the version 2 now, and not 1.")


@pytest.mark.parametrize("path", ["/Users", "/Groups", "/ServiceProviderConfig", "/Schemas", "/x"])
async def test_a_key_that_may_write_events_is_needed(
    directory: Directory, make_key: MakeKey, path: str
) -> None:
    reader = {"Authorization": await make_key("root")}

    assert (await directory.refusal("GET", path, headers={"Authorization": "Bearer no"}))[0] == 401
    status, _, words = await directory.refusal("GET", path, headers=reader)
    assert status == 403
    assert words.startswith("This needs a key with the scope events:write")


async def test_changes_of_one_instant_apply_in_their_order(
    directory: Directory, graphql: GraphQLClient
) -> None:
    """Clocks of several processes differ; what SCIM said last is what holds."""
    ann = (await directory.create("/Users", userName="ann"))["id"]
    group = await directory.create("/Groups", displayName="g", members=[{"value": ann}])
    for members in ([], [{"value": ann}], [], [{"value": ann}]):
        directory.clock.now = directory.clock.now.replace(second=0)
        body = {"displayName": "g", "members": members}
        await directory.ask("PUT", f"/Groups/{group['id']}", json=body)

    assert (await reported(graphql))[1] == {"g": ["ann"]}


async def test_another_organization_sees_nothing_of_it(
    directory: Directory, make_key: MakeKey, other_organization: str
) -> None:
    ann = await directory.create("/Users", userName="ann")
    key = await make_key("root", Scope.EVENTS_WRITE, organization=other_organization)
    other = Directory(directory.client, key, directory.clock)

    assert (await other.get("/Users"))["totalResults"] == 0
    assert (await other.refusal("GET", f"/Users/{ann['id']}"))[0] == 404
    await other.create("/Users", userName="ann")
