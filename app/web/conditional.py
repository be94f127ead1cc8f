"""Entity tags of conditional requests (RFC 9110, section 13.1), and headers that are lists."""

import re

from starlette.requests import Request

_TAG = re.compile(r'(?:W/)?("[^"]*")')
_ANY = "*"


def listed(request: Request, header: str) -> str:
    """A header that is a list, in one line of however many; empty when it was not given."""
    return ", ".join(request.headers.getlist(header))


def tags_named(request: Request, header: str) -> frozenset[str]:
    """The tags, each in its quotes and without `W/`; of `*`, which stands alone, that.

    What is no tag is left out. A comma or a `*` within quotes is of the tag.
    """
    written = listed(request, header).strip()
    return frozenset({_ANY} if written == _ANY else _TAG.findall(written))


def is_known(request: Request, etag: str) -> bool:
    """Whether the client has what has this tag; `W/` does not matter for that."""
    return bool(tags_named(request, "if-none-match") & {etag.removeprefix("W/"), _ANY})
