"""Pages of other origins, in the browser of a signed-in admin, have no effect."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.chromium import launch_chromium
from tests.server_process import KeyedServer, start_keyed_server

MUTATION = 'mutation { createApiKey(username: "evil", scopes: [ADMIN]) { secret } }'
FORMS = {
    "a form": ("POST", "/graphql", "application/x-www-form-urlencoded", {"query": MUTATION}),
    "a form with a file's encoding": (
        "POST",
        "/graphql",
        "multipart/form-data",
        {"query": MUTATION},
    ),
    # Name and value are two halves of a JSON document around the equals sign of the form.
    "a form that looks like JSON": (
        "POST",
        "/graphql",
        "text/plain",
        {
            '{"query": "mutation { createApiKey(username: \\"evil\\", scopes: [ADMIN]) '
            '{ secret } }", "variables": {"a": "': '"}}'
        },
    ),
    "an address": ("GET", "/graphql", "", {"query": MUTATION}),
    "signing out": ("POST", "/signout", "application/x-www-form-urlencoded", {}),
    "signing in as somebody else": (
        "POST",
        "/signin",
        "application/x-www-form-urlencoded",
        {"key": "cbk_0CK8cYeiijyT_S8vf6xk1lYBOsz8jrWqNarZNUDz423NY1cBYA1"},
    ),
}
SCRIPTS = {
    "simple": {"headers": {"content-type": "text/plain"}, "mode": "no-cors"},
    "json": {"headers": {"content-type": "application/json"}, "mode": "cors"},
    "our header": {
        "headers": {"content-type": "application/json", "x-chargeback-client": "graphiql"},
        "mode": "cors",
    },
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyedServer]:
    with start_keyed_server(tmp_path_factory.mktemp("cross_origin")) as service:
        yield service


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a server with a blank page."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "index.html").write_text("<!doctype html><title>evil</title><p>Free cake</p>")
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Suppress the log."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launch_chromium() as browser:
        yield browser


@pytest.fixture(params=["127.0.0.1", "localhost"], ids=["same site", "other site"])
def evil(
    request: pytest.FixtureRequest, browser: Browser, service: KeyedServer, elsewhere: int
) -> Iterator[Page]:
    """A page of another origin in a signed-in browser.

    Ports do not matter for `SameSite`: with the first of them the cookie is sent.
    """
    context = browser.new_context()
    signed_in = context.request.post(
        f"{service.url}/signin", form={"key": service.key}, max_redirects=0
    )
    assert signed_in.status == 303
    page = context.new_page()
    page.goto(f"http://{request.param}:{elsewhere}/")
    yield page
    context.close()


@pytest.fixture(scope="module")
def open_service(
    tmp_path_factory: pytest.TempPathFactory, elsewhere: int
) -> Iterator[KeyedServer]:
    """A service that the pages of `elsewhere` may call."""
    origins = f"http://127.0.0.1:{elsewhere}, http://localhost:{elsewhere}"
    data_dir = tmp_path_factory.mktemp("open")
    with start_keyed_server(data_dir, CORS_ALLOWED_ORIGINS=origins) as service:
        yield service


def assert_no_effect(page: Page, service: KeyedServer) -> None:
    """Check that no key was created and the session is still valid."""
    asked = {"query": "{ viewer { username } apiKeys { username } }"}
    answer = page.context.request.post(
        f"{service.url}/graphql", data=asked, headers={"X-Chargeback-Client": "graphiql"}
    ).json()["data"]
    assert answer["viewer"] == {"username": "root"}
    assert {key["username"] for key in answer["apiKeys"]} == {"root"}


@pytest.mark.parametrize("form", FORMS)
def test_cross_site_forms_have_no_effect(evil: Page, service: KeyedServer, form: str) -> None:
    method, path, encoding, fields = FORMS[form]
    evil.evaluate(
        """([method, action, encoding, fields]) => {
            const form = document.createElement("form");
            Object.assign(form, { method, action });
            if (encoding) form.enctype = encoding;
            for (const [name, value] of Object.entries(fields)) {
                const input = document.createElement("input");
                Object.assign(input, { type: "hidden", name, value });
                form.append(input);
            }
            document.body.append(form);
            form.submit();
        }""",
        [method, f"{service.url}{path}", encoding, fields],
    )
    evil.wait_for_url(f"{service.url}/**")

    assert_no_effect(evil, service)


@pytest.mark.parametrize("script", SCRIPTS)
def test_cross_site_scripts_have_no_effect_and_read_nothing(
    evil: Page, service: KeyedServer, script: str
) -> None:
    read = evil.evaluate(
        """async ([url, options]) => {
            try {
                const answer = await fetch(url, { credentials: "include", ...options });
                return await answer.text();
            } catch (error) {
                return "refused";
            }
        }""",
        [
            f"{service.url}/graphql",
            {"method": "POST", "body": f'{{"query": {MUTATION!r}}}', **SCRIPTS[script]},
        ],
    )

    assert read in {"", "refused"}
    assert_no_effect(evil, service)


def test_reports_cannot_be_read_and_pages_cannot_be_framed(
    evil: Page, service: KeyedServer
) -> None:
    read = evil.evaluate(
        """async (url) => {
            const options = { credentials: "include", mode: "no-cors" };
            try { return await (await fetch(url, options)).text(); } catch { return "refused"; }
        }""",
        f"{service.url}/api/admin/chargeback/report",
    )
    evil.evaluate(
        """(url) => new Promise((done) => {
            const frame = document.createElement("iframe");
            frame.onload = done;
            frame.src = url;
            document.body.append(frame);
        })""",
        f"{service.url}/graphql",
    )

    assert read in {"", "refused"}
    assert "Sign out" not in evil.frames[-1].content()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_an_allowed_origin_calls_the_api_with_a_key_but_not_with_the_session(
    browser: Browser, open_service: KeyedServer, elsewhere: int, host: str
) -> None:
    """A browser hides the response to a request with cookies unless the service allows them."""
    context = browser.new_context()
    context.request.post(f"{open_service.url}/signin", form={"key": open_service.key})
    page = context.new_page()
    page.goto(f"http://{host}:{elsewhere}/")
    with_key = {"headers": {"content-type": "application/json", "authorization": open_service.key}}

    read = [
        page.evaluate(
            """async ([url, options]) => {
                try { return await (await fetch(url, options)).text(); }
                catch { return "refused"; }
            }""",
            [f"{open_service.url}/graphql", {"method": "POST", **options}],
        )
        for options in (
            {"body": '{"query": "{ viewer { username } }"}', **with_key},
            {"body": '{"query": "{ viewer { username } }"}', **with_key, "credentials": "include"},
            *(
                {"body": f'{{"query": {MUTATION!r}}}', "credentials": "include", **script}
                for script in (SCRIPTS["json"], SCRIPTS["our header"])
            ),
        )
    ]

    assert read == ['{"data":{"viewer":{"username":"root"}}}', "refused", "refused", "refused"]
    assert_no_effect(page, open_service)
    context.close()
