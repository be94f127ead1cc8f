"""What a query costs, before anything of it is executed.

The cost is the number of values that the answer may hold: a field of each row is a value. It is
computed from the selection, the arguments and how many rows a list may have, not from the rows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

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

from schema.limits import INTROSPECTION

Arguments: TypeAlias = Mapping[str, Any]
RowsOf: TypeAlias = Callable[[str, Arguments, int, int], int]
"""How many rows a list may have: its name as `Type.field`, its arguments, how many parents there
are, of all of which the rows are wanted, and within how many wholes those are; 0 within none."""

_TOLD_WEIGHT = 50
"""Introspection is completed value by value, which takes so many times as long as a batch."""


def cost_of(
    schema: GraphQLSchema,
    document: DocumentNode,
    operation: OperationDefinitionNode,
    variables: Arguments | None,
    rows_of: RowsOf,
    whole: str,
) -> int:
    """How many values the answer may hold; 0 when the variables do not fit.

    Args:
        schema: The operation fits it.
        document: Where the operation's fragments are.
        operation: One of the document's.
        variables: As they were sent.
        rows_of: How many rows lists may have.
        whole: The type whose objects bound what is within them, however many parents it has.
    """
    read = get_variable_values(
        schema, operation.variable_definitions or (), dict(variables or {}), max_errors=1
    )
    root = schema.get_root_type(operation.operation)
    if not isinstance(read, VariableValues) or root is None:
        return 0  # Executing says what is wrong.
    fragments = {
        each.name.value: each
        for each in document.definitions
        if isinstance(each, FragmentDefinitionNode)
    }
    costs = _Costs(schema, fragments, read, rows_of, whole)
    return costs.of_set(operation.selection_set, root, 1, 0)


@dataclass
class _Costs:
    """The costs of an operation's parts.

    A fragment that is spread again for as many parents, in as many wholes, costs as much again,
    and is not walked again: the walk is as long as the document, times how many different numbers
    of these there are, and not as what the document expands to.
    """

    schema: GraphQLSchema
    fragments: Mapping[str, FragmentDefinitionNode]
    variables: VariableValues
    rows_of: RowsOf
    whole: str
    known: dict[tuple[str, str, int, int], int] = field(default_factory=dict)

    def of_set(
        self, selections: SelectionSetNode, parent: GraphQLCompositeType, rows: int, wholes: int
    ) -> int:
        """What a selection costs for so many objects of a type, within so many wholes."""
        cost = 0
        for node in selections.selections:
            if not self._is_wanted(node):
                continue
            if isinstance(node, FieldNode):
                cost += self._of_field(node, parent, rows, wholes)
            elif isinstance(node, InlineFragmentNode):
                inner = self._narrowed(node, parent)
                cost += self.of_set(node.selection_set, inner, rows, wholes)
            elif isinstance(node, FragmentSpreadNode):
                cost += self._of_spread(node, parent, rows, wholes)
        return cost

    def _of_spread(
        self, node: FragmentSpreadNode, parent: GraphQLCompositeType, rows: int, wholes: int
    ) -> int:
        fragment = self.fragments[node.name.value]
        key = (node.name.value, parent.name, rows, wholes)
        if key not in self.known:
            inner = self._narrowed(fragment, parent)
            self.known[key] = self.of_set(fragment.selection_set, inner, rows, wholes)
        return self.known[key]

    def _of_field(
        self, node: FieldNode, parent: GraphQLCompositeType, parents: int, wholes: int
    ) -> int:
        weight = _TOLD_WEIGHT if node.name.value in INTROSPECTION else 1
        definition = self.schema.get_field(parent, node.name.value)
        if definition is None or node.selection_set is None:
            return parents
        rows = parents
        if is_list_type(get_nullable_type(definition.type)):
            name = f"{parent.name}.{node.name.value}"
            rows = self.rows_of(name, self._arguments(definition, node), parents, wholes)
        inner = get_named_type(definition.type)
        assert is_composite_type(inner)  # noqa: S101  it has a selection, and is valid
        within = rows if inner.name == self.whole else wholes
        return rows + weight * self.of_set(node.selection_set, inner, rows, within)

    def _arguments(self, definition: GraphQLField, node: FieldNode) -> Arguments:
        try:
            return get_argument_values(definition, node, self.variables)
        except GraphQLError:
            return {}  # Executing says what is wrong.

    def _is_wanted(self, node: SelectionNode) -> bool:
        """Whether `@skip` and `@include` leave it in."""
        if not node.directives:
            return True
        skip = get_directive_values(GraphQLSkipDirective, node, self.variables)
        include = get_directive_values(GraphQLIncludeDirective, node, self.variables)
        return not (skip and skip["if"]) and not (include and not include["if"])

    def _narrowed(
        self, node: InlineFragmentNode | FragmentDefinitionNode, parent: GraphQLCompositeType
    ) -> GraphQLCompositeType:
        if node.type_condition is None:
            return parent
        found = self.schema.get_type(node.type_condition.name.value)
        return found if is_composite_type(found) else parent
