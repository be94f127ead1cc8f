"""Which attributes of a resource a response shows (RFC 7644, section 3.9)."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from app.domain.scim.resources import ResourceKind

_ALWAYS = frozenset({"id", "schemas"})


class Projection:
    """The attributes that a client wants, or does not want.

    Args:
        kind: The kind of resource.
        attributes: The only attributes to show; none means all.
        excluded: Attributes to leave out.
    """

    def __init__(
        self, kind: ResourceKind, attributes: Iterable[str], excluded: Iterable[str]
    ) -> None:
        self._wanted, self._excluded = _parse(kind, attributes), _parse(kind, excluded)

    def shows(self, name: str) -> bool:
        """Return whether a resource is shown with an attribute, or a part of it."""
        if name in _ALWAYS:
            return True
        key = name.lower()
        return key in self._wanted if self._wanted else self._excluded.get(key) != set()

    def apply(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return the part of a document that is shown."""
        return {
            name: self._apply_to_value(name, value)
            for name, value in document.items()
            if self.shows(name)
        }

    def _apply_to_value(self, name: str, value: object) -> Any:
        if name in _ALWAYS:
            return value
        if parts := self._wanted.get(name.lower()):
            return _select_parts(value, parts, keep=True)
        if parts := self._excluded.get(name.lower()):
            return _select_parts(value, parts, keep=False)
        return value


def _parse(kind: ResourceKind, paths: Iterable[str]) -> dict[str, set[str]]:
    """Return by attribute the sub-attributes that are named; none if it is named as a whole."""
    parsed: dict[str, set[str]] = {}
    for path in paths:
        local = path.strip().lower().removeprefix(f"{kind.schema.lower()}:")
        name, _, part = local.partition(".")
        if not name:
            continue
        parts = parsed.setdefault(name, {part} if part else set())
        if parts and part:
            parts.add(part)
        else:
            parts.clear()
    return parsed


def _select_parts(value: object, parts: Collection[str], *, keep: bool) -> Any:
    if isinstance(value, list):
        return [_select_parts(each, parts, keep=keep) for each in value]
    if not isinstance(value, dict):
        return value
    return {name: inner for name, inner in value.items() if (name.lower() in parts) is keep}
