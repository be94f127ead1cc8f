"""Upper bounds on the number of rows in each list of the schema, for the query cost."""

from collections.abc import Mapping

from graphql import (
    GraphQLSchema,
    is_enum_type,
    is_input_object_type,
    is_interface_type,
    is_object_type,
)

from app.domain.months import Month, count_months
from resolvers.list_sizes import ListSize, ListSizes
from resolvers.report_windows import MAX_MONTHS
from schema.query_cost import Arguments, RowBounds

_LISTS_OF_REPORTS = {
    "ChargebackReport.workspaces": "workspaces",
    "ChargebackReport.goneWorkspaces": "workspaces",
    "Users.licensedUsers": "users",
    "Users.goneUsers": "users",
    "UnlicensedUsage.users": "users",
    "ChargebackRange.workspaces": "workspaces",
    "ChargebackRange.users": "users",
}
_LISTS_OF_WORKSPACES = {
    "Workspace.members": "members",
    "Workspace.formerMembers": "former_members",
    "Workspace.projects": "projects",
    "Workspace.formerProjects": "projects",
    "Workspace.goneProjects": "projects",
}
_LISTS_OF_EVERYTHING = {
    "ChargebackRange.projects": "projects",
    "ChargebackReport.projects": "projects",
    "ChargebackReport.formerProjects": "projects",
}
"""Lists of what all parents have together."""
_SIZED_LISTS = _LISTS_OF_REPORTS | _LISTS_OF_WORKSPACES | _LISTS_OF_EVERYTHING
"""The lists that grow with the organization, and the list size that bounds each."""
CONTAINER = "ChargebackReport"
"""All lists of one kind within one report have together at most as many rows as the month."""
_OTHER_LISTS = ListSize(1_000, 1_000)
"""Assumed for every other list, unless its argument `first` is smaller."""


def row_bounds(sizes: ListSizes, introspection: Mapping[str, int]) -> RowBounds:
    """Return the function that bounds the rows of a list.

    Args:
        sizes: The organization's list sizes in one month, as a report shows them.
        introspection: The bounds of introspection lists; see `introspection_bounds`.
    """

    def rows(name: str, arguments: Arguments, parents: int, reports: int) -> int:
        if name == "Query.chargebackReports":
            return _bound_months(arguments)
        if name in introspection:
            return parents * introspection[name]
        size = sizes[_SIZED_LISTS[name]] if name in _SIZED_LISTS else _OTHER_LISTS
        longest = size.total if name in _LISTS_OF_EVERYTHING else size.largest
        bound = parents * min(_page_size(arguments, longest), longest)
        return min(bound, reports * size.total) if name in _LISTS_OF_WORKSPACES else bound

    return rows


def _page_size(arguments: Arguments, default: int) -> int:
    """Return the page size; the resolver rejects an invalid one."""
    first = arguments.get("first")
    return first if isinstance(first, int) and first >= 0 else default


def _bound_months(arguments: Arguments) -> int:
    """Count the months of a range; the resolver rejects an invalid range."""
    first, last = arguments.get("from"), arguments.get("to")
    if not isinstance(first, Month) or not isinstance(last, Month):
        return 1
    return min(max(count_months(first, last) + 1, 1), MAX_MONTHS)


def introspection_bounds(schema: GraphQLSchema) -> Mapping[str, int]:
    """Return, for each list of introspection, the length of the longest one in the schema."""
    types = schema.type_map.values()
    with_fields = [each for each in types if is_object_type(each) or is_interface_type(each)]
    fields = [field for each in with_fields for field in each.fields.values()]
    return {
        "__Schema.types": len(schema.type_map),
        "__Schema.directives": len(schema.directives),
        "__Type.fields": max(len(each.fields) for each in with_fields),
        "__Type.interfaces": max(len(each.interfaces) for each in with_fields),
        "__Type.possibleTypes": len(with_fields),
        "__Type.enumValues": max(len(each.values) for each in types if is_enum_type(each)),
        "__Type.inputFields": max(
            len(each.fields) for each in types if is_input_object_type(each)
        ),
        "__Field.args": max(len(field.args) for field in fields),
        "__Directive.args": max(len(each.args) for each in schema.directives),
        "__Directive.locations": 1,
    }
