"""GraphiQL, the page at /graphql for people who write queries."""

from starlette.requests import Request
from starlette.responses import Response

from app.web.static_files import page_response

# GraphiQL sets inline styles, and its stylesheet embeds its fonts.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "font-src 'self' data:; img-src 'self' data:; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)


def accepts_page(request: Request) -> bool:
    """Return whether a browser opens /graphql as a page, as opposed to an API client."""
    return request.method in {"GET", "HEAD"} and "text/html" in request.headers.get("accept", "")


async def graphiql_page(request: Request) -> Response:
    """Return the GraphiQL page. It contains no data; its queries need a session."""
    return page_response(request, "graphiql.html", _POLICY, vary="Accept, Accept-Encoding")
