"""The query parameters of a request: known names, each at most once."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches

from starlette.requests import Request

from app.domain.errors import InvalidArgument

_SYNONYMS = {"month": "reportMonth", "limit": "top", "groupBy": "by"}
_MAX_SHOWN = 40


def parse_query_params(request: Request, known: Collection[str]) -> Mapping[str, str]:
    """Return the parameters by name.

    Raises:
        InvalidArgument: A parameter is unknown or is given twice.
    """
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            raise InvalidArgument(_describe_unknown(name, known))
        if name in found:
            raise InvalidArgument(f"{name}: must be given once.")
        found[name] = value
    return found


def _describe_unknown(name: str, known: Collection[str]) -> str:
    shown, suggestion = name[:_MAX_SHOWN], _suggest(name[:_MAX_SHOWN], known)
    if suggestion is not None:
        return f"There is no parameter {shown!r}; did you mean {suggestion!r}?"
    return f"There is no parameter {shown!r}; known are {', '.join(sorted(known))}."


def _suggest(name: str, known: Collection[str]) -> str | None:
    if _SYNONYMS.get(name) in known:
        return _SYNONYMS[name]
    by_folded = {each.casefold(): each for each in known}
    matches = get_close_matches(name.casefold(), by_folded, n=1)
    return by_folded[matches[0]] if matches else None
