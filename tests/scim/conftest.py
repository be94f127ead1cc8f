"""A directory that pushes accounts and groups over SCIM."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest

# The service imports it in a thread, which can disturb pytest's own parsing of Python 3.11.
import app.web.scim.endpoints  # noqa: F401
from app.domain.callers import Scope
from tests.conftest import FixedClock, GraphQLClient, MakeKey

PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
REPORT = """
query ($month: Month!) { chargebackReport(month: $month) {
    users { numberOfUsers licensedUsers {
        username email role suspended serviceAccount deletedAt } }
    workspaces { name numberOfExperiments members { userName } formerMembers { userName } } } }
"""


@dataclass
class Directory:
    """Sends SCIM requests; the clock advances by a second before each."""

    client: httpx.AsyncClient
    key: str
    clock: FixedClock

    async def send(self, method: str, path: str, **request: Any) -> httpx.Response:
        self.clock.now += timedelta(seconds=1)
        headers = {"Authorization": f"Bearer {self.key}"} | request.pop("headers", {})
        return await self.client.request(method, f"/scim/v2{path}", headers=headers, **request)

    async def get(self, path: str, **parameters: Any) -> dict[str, Any]:
        response = await self.send("GET", path, params=parameters)
        assert response.status_code == 200, response.text
        document: dict[str, Any] = response.json()
        return document

    async def create(self, path: str, **attributes: Any) -> dict[str, Any]:
        response = await self.send("POST", path, json=attributes)
        assert response.status_code == 201, response.text
        assert response.headers["content-type"] == "application/scim+json"
        created: dict[str, Any] = response.json()
        assert response.headers["location"] == created["meta"]["location"]
        return created

    async def patch(self, path: str, *operations: dict[str, Any]) -> dict[str, Any]:
        body = {"schemas": [PATCH], "Operations": operations}
        response = await self.send("PATCH", path, json=body)
        assert response.status_code == 200, response.text
        changed: dict[str, Any] = response.json()
        return changed

    async def expect_error(self, method: str, path: str, **request: Any) -> tuple[int, str, str]:
        """Return the status, keyword and message of a rejected request."""
        response = await self.send(method, path, **request)
        assert response.headers["content-type"] == "application/scim+json", response.text
        body = response.json()
        assert body["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
        assert body["status"] == str(response.status_code)
        return response.status_code, body.get("scimType", ""), body["detail"]


@pytest.fixture
async def directory(
    client: httpx.AsyncClient, make_key: MakeKey, clock: FixedClock, admin_key: str
) -> Directory:
    key = await make_key("root", Scope.DIRECTORY_WRITE)
    return Directory(client, key, clock)


class Report:
    """What the report of a month says after a directory's requests."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.user_count = document["users"]["numberOfUsers"]
        self.users = {each["username"]: each for each in document["users"]["licensedUsers"]}
        self.workspaces = {
            each["name"]: [member["userName"] for member in each["members"]]
            for each in document["workspaces"]
        }


async def read_report(graphql: GraphQLClient, month: str = "2026-11") -> Report:
    return Report((await graphql(REPORT, month=month))["chargebackReport"])
