"""A directory that pushes accounts and groups."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest

from app.domain.callers import Scope
from tests.conftest import FixedClock, MakeKey

PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


@dataclass
class Directory:
    """Sends SCIM requests; the clock goes on a second before each."""

    client: httpx.AsyncClient
    key: str
    clock: FixedClock

    async def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        self.clock.now += timedelta(seconds=1)
        headers = {"Authorization": f"Bearer {self.key}"} | request.pop("headers", {})
        return await self.client.request(method, f"/scim/v2{path}", headers=headers, **request)

    async def get(self, path: str, **parameters: Any) -> dict[str, Any]:
        answer = await self.ask("GET", path, params=parameters)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def create(self, path: str, **said: Any) -> dict[str, Any]:
        answer = await self.ask("POST", path, json=said)
        assert answer.status_code == 201, answer.text
        assert answer.headers["content-type"] == "application/scim+json"
        created: dict[str, Any] = answer.json()
        assert answer.headers["location"] == created["meta"]["location"]
        return created

    async def patch(self, path: str, *operations: dict[str, Any]) -> dict[str, Any]:
        body = {"schemas": [PATCH], "Operations": operations}
        answer = await self.ask("PATCH", path, json=body)
        assert answer.status_code == 200, answer.text
        changed: dict[str, Any] = answer.json()
        return changed

    async def refusal(self, method: str, path: str, **request: Any) -> tuple[int, str, str]:
        """Status, keyword and words of a refusal."""
        answer = await self.ask(method, path, **request)
        assert answer.headers["content-type"] == "application/scim+json", answer.text
        body = answer.json()
        assert body["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
        assert body["status"] == str(answer.status_code)
        return answer.status_code, body.get("scimType", ""), body["detail"]


@pytest.fixture
async def directory(
    client: httpx.AsyncClient, make_key: MakeKey, clock: FixedClock, admin_key: str
) -> Directory:
    key = await make_key("root", Scope.EVENTS_WRITE)
    return Directory(client, key, clock)
