"""The cost of a query, estimated before it is executed.

The cost is the largest number of values that the response can hold; every field of every row is
one value. It follows from the selection, the arguments and an upper bound on the rows of each
list. No row is read.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLCompositeType,
    GraphQLError,
    GraphQLField,
    GraphQLIncludeDirective,
    GraphQLSchema,
    GraphQLSkipDirective,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    get_argument_values,
    get_directive_values,
    get_named_type,
    get_nullable_type,
    get_variable_values,
    is_composite_type,
    is_list_type,
)
from graphql.execution.values import VariableValues

from schema.query_limits import INTROSPECTION

Arguments: TypeAlias = Mapping[str, Any]
RowBounds: TypeAlias = Callable[[str, Arguments, int, int], int]
"""Returns an upper bound of the rows of a list, summed over all its parents.

Its arguments are the list's name as `Type.field`, the field's arguments, the number of parents,
and the number of containers that these parents lie in (0 outside any container).
"""

_CONNECTION = "Connection"
_NODES = "nodes"
_INTROSPECTION_WEIGHT = 50
"""Introspection is completed value by value, which takes about 50 times as long as a batch."""


def estimate_cost(
    schema: GraphQLSchema,
    document: DocumentNode,
    operation: OperationDefinitionNode,
    variables: Arguments | None,
    row_bounds: RowBounds,
    container: str,
) -> int:
    """Return the largest number of values that the response can hold.

    Return 0 if the variables are invalid: execution then reports the error.

    Args:
        schema: The schema that the operation was validated against.
        document: The document that has the operation's fragments.
        operation: One of the document's operations.
        variables: The variables as the client sent them.
        row_bounds: Bounds the rows of a list.
        container: The object type that bounds the lists within it, whatever their parents.
    """
    values = get_variable_values(
        schema, operation.variable_definitions or (), dict(variables or {}), max_errors=1
    )
    root = schema.get_root_type(operation.operation)
    if not isinstance(values, VariableValues) or root is None:
        return 0
    fragments = {
        each.name.value: each
        for each in document.definitions
        if isinstance(each, FragmentDefinitionNode)
    }
    estimator = _CostEstimator(schema, fragments, values, row_bounds, container)
    return estimator.selection_set_cost(operation.selection_set, root, _Parents(1, 0))


class _Parents(NamedTuple):
    """The objects that a selection is for.

    Attributes:
        rows: How many there are.
        containers: In how many containers they lie.
        nodes: If they are connections, the bound on the `nodes` of all of them together: that of
            the field that has the connection, whose arguments page it.
    """

    rows: int
    containers: int
    nodes: int = 0


@dataclass
class _CostEstimator:
    """Estimates the cost of an operation's parts.

    The cost of a fragment is cached by parent type and parents. So the work grows with the size
    of the document times the number of such combinations, not with the size of the document after
    its fragments are expanded.
    """

    schema: GraphQLSchema
    fragments: Mapping[str, FragmentDefinitionNode]
    variables: VariableValues
    row_bounds: RowBounds
    container: str
    fragment_costs: dict[tuple[str, str, _Parents], int] = field(default_factory=dict)

    def selection_set_cost(
        self, selections: SelectionSetNode, parent: GraphQLCompositeType, parents: _Parents
    ) -> int:
        """Return the cost of a selection for these objects."""
        cost = 0
        for node in selections.selections:
            if not self._is_included(node):
                continue
            if isinstance(node, FieldNode):
                cost += self._field_cost(node, parent, parents)
            elif isinstance(node, InlineFragmentNode):
                inner = self._fragment_type(node, parent)
                cost += self.selection_set_cost(node.selection_set, inner, parents)
            elif isinstance(node, FragmentSpreadNode):
                cost += self._spread_cost(node, parent, parents)
        return cost

    def _spread_cost(
        self, node: FragmentSpreadNode, parent: GraphQLCompositeType, parents: _Parents
    ) -> int:
        fragment = self.fragments[node.name.value]
        key = (node.name.value, parent.name, parents)
        if key not in self.fragment_costs:
            inner = self._fragment_type(fragment, parent)
            self.fragment_costs[key] = self.selection_set_cost(
                fragment.selection_set, inner, parents
            )
        return self.fragment_costs[key]

    def _field_cost(self, node: FieldNode, parent: GraphQLCompositeType, parents: _Parents) -> int:
        weight = _INTROSPECTION_WEIGHT if node.name.value in INTROSPECTION else 1
        definition = self.schema.get_field(parent, node.name.value)
        if definition is None or node.selection_set is None:
            return parents.rows
        inner = get_named_type(definition.type)
        assert is_composite_type(inner)  # noqa: S101  a valid field with a selection set
        rows, nodes = parents.rows, 0
        if parent.name.endswith(_CONNECTION) and node.name.value == _NODES:
            rows = parents.nodes
        elif inner.name.endswith(_CONNECTION):
            nodes = self._row_bound(node, parent, definition, parents)
        elif is_list_type(get_nullable_type(definition.type)):
            rows = self._row_bound(node, parent, definition, parents)
        containers = rows if inner.name == self.container else parents.containers
        return rows + weight * self.selection_set_cost(
            node.selection_set, inner, _Parents(rows, containers, nodes)
        )

    def _row_bound(
        self,
        node: FieldNode,
        parent: GraphQLCompositeType,
        definition: GraphQLField,
        parents: _Parents,
    ) -> int:
        name = f"{parent.name}.{node.name.value.removesuffix(_CONNECTION)}"
        arguments = self._arguments(definition, node)
        return self.row_bounds(name, arguments, parents.rows, parents.containers)

    def _arguments(self, definition: GraphQLField, node: FieldNode) -> Arguments:
        """Return a field's arguments; none if they are invalid, which execution reports."""
        try:
            return get_argument_values(definition, node, self.variables)
        except GraphQLError:
            return {}

    def _is_included(self, node: SelectionNode) -> bool:
        """Return whether `@skip` and `@include` keep a selection."""
        if not node.directives:
            return True
        skip = get_directive_values(GraphQLSkipDirective, node, self.variables)
        include = get_directive_values(GraphQLIncludeDirective, node, self.variables)
        return not (skip and skip["if"]) and not (include and not include["if"])

    def _fragment_type(
        self, node: InlineFragmentNode | FragmentDefinitionNode, parent: GraphQLCompositeType
    ) -> GraphQLCompositeType:
        """Return the type that a fragment applies to."""
        if node.type_condition is None:
            return parent
        condition = self.schema.get_type(node.type_condition.name.value)
        return condition if is_composite_type(condition) else parent
