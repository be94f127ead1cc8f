"""Signing in leads back to a page of this service, never to another host."""

import httpx
import pytest

from tests.conftest import MakeKey


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("/months/2026-10?by=project&q=vision", "/months/2026-10?by=project&q=vision"),
        ("/graphql?query={x}", "/graphql?query=%7Bx%7D"),
        ("//evil.example/", "/"),
        ("/\\evil.example/", "/"),
        ("https://evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("/\t/evil.example/", "/"),
        ("/months/2026-10\r\nset-cookie: a=b", "/"),
        ("", "/"),
    ],
)
async def test_signing_in_redirects_to_local_pages_only(
    client: httpx.AsyncClient, make_key: MakeKey, address: str, expected: str
) -> None:
    form = {"key": await make_key("root"), "next": address}
    answer = await client.post("/signin", data=form)

    assert answer.status_code == 303
    assert httpx.URL(answer.headers["location"]) == httpx.URL(expected)


async def test_the_form_keeps_the_page_and_escapes_it(client: httpx.AsyncClient) -> None:
    answer = await client.get("/signin", params={"next": '/months/2026-10?q="><script>'})

    assert 'value="/months/2026-10?q=&quot;&gt;&lt;script&gt;"' in answer.text
