"""Check the query parameters of a request: known names, each at most once."""

from collections import Counter
from collections.abc import Collection
from difflib import get_close_matches

from starlette.requests import Request

from app.domain.errors import InvalidArgument

_SYNONYMS = {"month": "reportMonth", "limit": "top", "groupBy": "by"}
_MAX_SHOWN = 40


def require_known_params(
    request: Request, known: Collection[str], *, ignores_others: bool = False
) -> None:
    """Reject parameters that are repeated, unknown or misspelt.

    Args:
        request: Its parameters are checked.
        known: The names that the route has.
        ignores_others: Ignore an unknown name, unless it looks like a misspelling of a known one.

    Raises:
        InvalidArgument: The message names the parameter and, if there is one, a similar name.
    """
    counts = Counter(name for name, _ in request.query_params.multi_items())
    for name, count in counts.items():
        if name not in known:
            suggestion = _suggest(name[:_MAX_SHOWN], known)
            if suggestion is not None or not ignores_others:
                raise InvalidArgument(_describe_unknown(name[:_MAX_SHOWN], suggestion, known))
        elif count > 1:
            raise InvalidArgument(f"{name}: must be given once; got {count}.")


def _describe_unknown(name: str, suggestion: str | None, known: Collection[str]) -> str:
    if suggestion is not None:
        return f"There is no parameter {name!r}; did you mean {suggestion!r}?"
    if not known:
        return f"There is no parameter {name!r}: this route has none."
    return f"There is no parameter {name!r}; known are {', '.join(sorted(known))}."


def _suggest(name: str, known: Collection[str]) -> str | None:
    if _SYNONYMS.get(name) in known:
        return _SYNONYMS[name]
    by_folded = {each.casefold(): each for each in known}
    matches = get_close_matches(name.casefold(), by_folded, n=1)
    return by_folded[matches[0]] if matches else None
