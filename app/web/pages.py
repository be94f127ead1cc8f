"""The pages for people: one HTML shell, whose scripts read the GraphQL API."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.web.static_files import page_response

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_PATHS = ("/", "/months/{month}", "/licences", "/close", "/statements")


def page_routes() -> list[BaseRoute]:
    """Return the routes of the pages. Scripts in the shell show what the address names."""
    return [Route(path, show_page, methods=["GET"]) for path in _PATHS]


async def show_page(request: Request) -> Response:
    """Return the shell. It needs no session: it contains no data, and its queries need one.

    Browsers do not send a `SameSite=Strict` cookie with a link from a mail, but do send it with
    the queries of the page that the link opens.
    """
    return page_response(request, "pages.html", _POLICY)
