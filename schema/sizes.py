"""How many rows the lists of this schema may have."""

from collections.abc import Mapping

from graphql import (
    GraphQLSchema,
    is_enum_type,
    is_input_object_type,
    is_interface_type,
    is_object_type,
)

from app.domain.months import Month
from resolvers.report import MOST_MONTHS
from resolvers.sizes import Size, Sizes
from schema.cost import Arguments, RowsOf

_OF_REPORTS = {"ChargebackReport.workspaces": "workspaces", "Users.licensedUsers": "users"}
_OF_WORKSPACES = {
    "Workspace.members": "members",
    "Workspace.formerMembers": "former_members",
    "Workspace.projects": "projects",
    "Workspace.formerProjects": "projects",
}
_COUNTED = _OF_REPORTS | _OF_WORKSPACES
"""The lists that grow with the organization, and which of its sizes bounds them."""
WHOLE = "ChargebackReport"
"""All lists of workspaces within one report have, together, no more than a month has."""
_OTHERS = Size(1_000, 1_000)
"""What other lists are assumed to hold, unless their argument `first` says less."""


def rows_of(sizes: Sizes, told: Mapping[str, int]) -> RowsOf:
    """Bounds of lists.

    Args:
        sizes: Of the organization in one month, which is what a report shows.
        told: The most rows of each list of introspection.
    """

    def rows(name: str, arguments: Arguments, parents: int, reports: int) -> int:
        if name == "Query.chargebackReports":
            return _months(arguments)
        if name in told:
            return parents * told[name]
        size = sizes[_COUNTED[name]] if name in _COUNTED else _OTHERS
        most = parents * min(_first(arguments, size.most), size.most)
        return min(most, reports * size.total) if name in _OF_WORKSPACES else most

    return rows


def _first(arguments: Arguments, most: int) -> int:
    """The page's size; a bad one is refused where the list is read."""
    first = arguments.get("first")
    return first if isinstance(first, int) and first >= 0 else most


def _months(arguments: Arguments) -> int:
    """How many months a range has; a bad one is refused where it is read."""
    first, last = arguments.get("from"), arguments.get("to")
    if not isinstance(first, Month) or not isinstance(last, Month):
        return 1
    count = (last.year - first.year) * 12 + last.number - first.number + 1
    return min(max(count, 1), MOST_MONTHS)


def told_by(schema: GraphQLSchema) -> Mapping[str, int]:
    """The most rows that each list of introspection has, of any parent."""
    types = schema.type_map.values()
    fielded = [each for each in types if is_object_type(each) or is_interface_type(each)]
    fields = [field for each in fielded for field in each.fields.values()]
    most_arguments = max(len(field.args) for field in fields)
    return {
        "__Schema.types": len(schema.type_map),
        "__Schema.directives": len(schema.directives),
        "__Type.fields": max(len(each.fields) for each in fielded),
        "__Type.interfaces": max(len(each.interfaces) for each in fielded),
        "__Type.possibleTypes": len(fielded),
        "__Type.enumValues": max(len(each.values) for each in types if is_enum_type(each)),
        "__Type.inputFields": max(
            len(each.fields) for each in types if is_input_object_type(each)
        ),
        "__Field.args": most_arguments,
        "__Directive.args": max(len(each.args) for each in schema.directives),
        "__Directive.locations": 1,
    }
