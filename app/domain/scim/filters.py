"""Filters (RFC 7644, section 3.4.2.2): parsed into a question that a resource answers."""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from app.domain.scim.errors import ScimRefusal
from app.domain.scim.schemas import Attribute, Resource, Schema, sub_attribute

Filter = Callable[[Resource], bool]
LONGEST_FILTER = 10_000
_DEEPEST = 50
_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\]|\\.)*")|(?P<mark>[()\[\]])|(?P<word>[^\s()\[\]"]+))"""
)
_COMPARISONS = frozenset({"eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"})


class Equals(NamedTuple):
    """A filter that is no more than `attribute eq "text"`, which an index answers."""

    attribute: str
    value: str


def parsed(schema: Schema, text: str) -> tuple[Filter, Equals | None]:
    """A filter on resources; and what it is when it only compares one attribute with a text.

    Raises:
        ScimRefusal: It cannot be read.
    """
    tokens = list(_tokens(text))
    parser = _Parser(tokens, schema)
    found = parser.whole()
    return found, _equals(schema, tokens)


def parsed_within(attribute: Attribute, text: str) -> tuple[Filter, Equals | None]:
    """The same on the values of a multi-valued attribute: what stands in `[…]`."""
    tokens = list(_tokens(text))
    found = _Parser(tokens, attribute).whole()
    return found, _equals(attribute, tokens)


def _tokens(text: str) -> Iterator[str]:
    if len(text) > LONGEST_FILTER:
        raise _bad(f"at most {LONGEST_FILTER} characters")
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise _bad(f"unreadable from {text[position : position + 40]!r}")
        yield match.group().strip()
        position = match.end()


def _equals(scope: Schema | Attribute, tokens: Sequence[str]) -> Equals | None:
    if len(tokens) != 3 or tokens[1].lower() != "eq" or not tokens[2].startswith('"'):
        return None
    path = _path(scope, tokens[0])
    return Equals(".".join(each.name for each in path), orjson.loads(tokens[2]))


def _bad(reason: str) -> ScimRefusal:
    return ScimRefusal(f"filter: {reason}.", "invalidFilter")


class _Parser:
    """`or` binds less than `and`, `and` less than `not` and comparisons."""

    def __init__(self, tokens: Sequence[str], scope: Schema | Attribute) -> None:
        self._tokens, self._scope = tokens, scope
        self._at = 0
        self._depth = 0

    def whole(self) -> Filter:
        found = self._either()
        if self._peek() is not None:
            raise _bad(f"unexpected {self._peek()!r}")
        return found

    def _peek(self) -> str | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _next(self) -> str:
        token = self._peek()
        if token is None:
            raise _bad("ends early")
        self._at += 1
        return token

    def _takes(self, word: str) -> bool:
        token = self._peek()
        if token is None or token.lower() != word:
            return False
        self._at += 1
        return True

    def _either(self) -> Filter:
        parts = [self._both()]
        while self._takes("or"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else lambda each: any(part(each) for part in parts)

    def _both(self) -> Filter:
        parts = [self._one()]
        while self._takes("and"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else lambda each: all(part(each) for part in parts)

    def _one(self) -> Filter:
        if self._takes("not"):
            if self._peek() != "(":
                raise _bad("'not' must be followed by '('")
            inner = self._one()
            return lambda each: not inner(each)
        if self._takes("("):
            return self._grouped(")")
        return self._comparison()

    def _grouped(self, closing: str) -> Filter:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _bad(f"nested more than {_DEEPEST} deep")
        inner = self._either()
        if not self._takes(closing):
            raise _bad(f"{closing!r} is missing")
        self._depth -= 1
        return inner

    def _comparison(self) -> Filter:
        path = _path(self._scope, self._next())
        if self._takes("["):
            outer, self._scope = self._scope, path[0]
            inner = self._grouped("]")
            self._scope = outer
            name = path[0].name
            return lambda each: any(inner(value) for value in _as_list(each.get(name)))
        operator = self._next().lower()
        if operator == "pr":
            return lambda each: any(value not in (None, "", {}) for value in _reach(each, path))
        if operator not in _COMPARISONS:
            raise _bad(f"{operator!r} is no operator")
        return _compare(path, operator, _literal(self._next()))


def _path(scope: Schema | Attribute, text: str) -> tuple[Attribute, ...]:
    """An attribute and its sub-attribute; of a multi-valued one without any, its `value`."""
    if isinstance(scope, Attribute):
        return (sub_attribute(scope, text),)
    name, _, sub = text.rpartition(":")[2].partition(".")
    try:
        attribute = scope.find(name)
        if sub:
            return attribute, sub_attribute(attribute, sub)
    except ScimRefusal as refusal:
        raise ScimRefusal(f"filter: {refusal}", "invalidFilter") from None
    return (attribute,)


def _literal(token: str) -> Any:
    try:
        return orjson.loads(token if token.startswith('"') else token.lower())
    except orjson.JSONDecodeError:
        raise _bad(f"{token!r} is no value: texts stand in double quotes") from None


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _reach(resource: Resource, path: Sequence[Attribute]) -> Iterator[Any]:
    values = _as_list(resource.get(path[0].name))
    for attribute in path[1:]:
        values = [value.get(attribute.name) for value in values if isinstance(value, dict)]
    yield from values


def _compare(path: Sequence[Attribute], operator: str, wanted: Any) -> Filter:
    attribute = path[-1]
    if attribute.type == "complex":
        path = (*path, sub_attribute(attribute, "value"))
        attribute = path[-1]
    if attribute.type == "boolean" and operator not in {"eq", "ne"}:
        raise _bad(f"{attribute.name} is true or false: only eq and ne compare it")
    wanted = _comparable(attribute, wanted)

    def holds(resource: Resource) -> bool:
        found = [_comparable(attribute, value) for value in _reach(resource, path)]
        found = [value for value in found if value is not None]
        if operator == "ne":
            return wanted not in found if wanted is not None else bool(found)
        if wanted is None:
            return operator == "eq" and not found
        return any(_OPERATORS[operator](value, wanted) for value in found)

    return holds


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda value, wanted: bool(value == wanted),
    "co": lambda value, wanted: _both_texts(value, wanted) and wanted in value,
    "sw": lambda value, wanted: _both_texts(value, wanted) and value.startswith(wanted),
    "ew": lambda value, wanted: _both_texts(value, wanted) and value.endswith(wanted),
    "gt": lambda value, wanted: type(value) is type(wanted) and value > wanted,
    "ge": lambda value, wanted: type(value) is type(wanted) and value >= wanted,
    "lt": lambda value, wanted: type(value) is type(wanted) and value < wanted,
    "le": lambda value, wanted: type(value) is type(wanted) and value <= wanted,
}


def _both_texts(value: Any, wanted: Any) -> bool:
    return isinstance(value, str) and isinstance(wanted, str)


def _comparable(attribute: Attribute, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if attribute.type == "dateTime":
        try:
            return datetime.fromisoformat(value).timestamp()
        except ValueError:
            return value
    return value if attribute.case_exact else value.lower()
