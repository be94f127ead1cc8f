"""Filters (RFC 7644, section 3.4.2.2), parsed and evaluated by scim2-models."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from scim2_models import ComplexAttribute, ScimFilter, SearchRequest
from scim2_models.base import BaseModel
from scim2_models.path import (
    CompareOperator,
    Comparison,
    FilterNode,
    LogicalExpr,
    LogicalOperator,
    Not,
    Present,
    ValuePath,
)

from app.domain.scim.errors import InvalidScimRequest, show_value, translate_scim_errors
from app.domain.scim.resources import GROUPS, USERS, Group, ResourceKind, User
from app.domain.text import NUL

MAX_FILTER = 1_000
"""The most characters of a filter."""


_REQUESTS: Mapping[Sequence[ResourceKind], Any] = {
    (USERS,): SearchRequest[User],
    (GROUPS,): SearchRequest[Group],
    (USERS, GROUPS): SearchRequest[User | Group],
}
_FILTERS: Mapping[ResourceKind, Any] = {USERS: ScimFilter[User], GROUPS: ScimFilter[Group]}


class Equality(NamedTuple):
    """`attribute eq "value"`, which every resource that matches the filter satisfies."""

    attribute: str
    value: str


class Filter(NamedTuple):
    """A filter on the resources of one kind."""

    kind: ResourceKind
    expression: ScimFilter[Any]

    def matches(self, document: Mapping[str, Any]) -> bool:
        """Return whether a stored resource matches."""
        return self.expression.match(_construct(self.kind.model, document))

    @property
    def equalities(self) -> Iterator[Equality]:
        """What a resource must equal to match; an index may find such resources."""
        return _equalities(self.expression.ast)

    @property
    def reads_relation(self) -> bool:
        """Whether the filter names the groups of a user, or the members of a group."""
        return self.kind.relation in _attributes(self.expression.ast)


def parse_filter(kinds: Sequence[ResourceKind], text: object) -> list[Filter]:
    """Return a filter for each kind; an attribute that only another kind has matches nothing.

    Raises:
        InvalidScimRequest: The filter is too long or cannot be read, or no kind has an attribute.
    """
    if not isinstance(text, str) or len(text) > MAX_FILTER or NUL in text:
        got = f"{len(text)} characters" if isinstance(text, str) else show_value(text)
        raise InvalidScimRequest(
            f"filter: must be a text of at most {MAX_FILTER} characters, none of them U+0000; "
            f"got {got}.",
            "invalidFilter",
        )
    with translate_scim_errors("filter: "):
        _REQUESTS[tuple(kinds)].model_validate({"filter": text})
        return [Filter(kind, _FILTERS[kind](text)) for kind in kinds]


def _equalities(node: FilterNode) -> Iterator[Equality]:
    if isinstance(node, LogicalExpr) and node.op == LogicalOperator.and_:
        for term in node.terms:
            yield from _equalities(term)
    if (
        isinstance(node, Comparison)
        and node.op == CompareOperator.eq
        and isinstance(node.value, str)
    ):
        path = node.attr_path
        if path.sub_attr is None:
            yield Equality(path.attr.lower(), node.value)


def _attributes(node: FilterNode) -> Iterator[str]:
    """Yield the attributes that a filter names, in lower case."""
    match node:
        case LogicalExpr():
            for term in node.terms:
                yield from _attributes(term)
        case Not():
            yield from _attributes(node.expr)
        case Comparison() | Present() | ValuePath():
            yield node.attr_path.attr.lower()


def _construct(model: type[BaseModel], document: Mapping[str, Any]) -> Any:
    """Return the model of a document that was checked before it was stored."""
    values = {}
    for name, alias, nested in _fields(model):
        value = document.get(alias)
        if value is not None and nested is not None:
            is_list = isinstance(value, list)
            value = (
                [_construct(nested, each) for each in value]
                if is_list
                else _construct(nested, value)
            )
        if value is not None:
            values[name] = value
    return model.model_construct(**values)


@cache
def _fields(model: type[BaseModel]) -> list[tuple[str, str, type[BaseModel] | None]]:
    """Return for each field its name, its name in JSON, and the model of a complex attribute."""
    found = []
    for name, field in model.model_fields.items():
        root = model.get_field_root_type(name)
        is_complex = isinstance(root, type) and issubclass(root, ComplexAttribute)
        found.append((name, field.serialization_alias or name, root if is_complex else None))
    return found
