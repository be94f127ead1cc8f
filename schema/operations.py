"""Prepare an operation: parse, select, limit and validate the text of a query."""

from collections.abc import Sequence
from typing import NamedTuple

from graphql import (
    ASTValidationRule,
    DocumentNode,
    FieldNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    SelectionSetNode,
    parse,
    specified_rules,
    validate,
)
from graphql.validation import MaxIntrospectionDepthRule
from graphql.validation.rules import overlapping_fields_can_be_merged
from graphql.validation.validate import ValidationAbortedError
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from app.domain.errors import (
    IntrospectionDisabled,
    QueryTooDeep,
    TooManyAliases,
    TooManyDirectives,
    TooManyTokens,
)
from schema.query_limits import (
    INTROSPECTION,
    QueryLimits,
    QueryMeasures,
    count_tokens,
    measure_query,
)

MAX_ERRORS = 5
"""A response lists at most this many errors; a thousand equal failures help nobody."""

# The unit is a comparison of two fields, counted twice. A report takes a few dozen. The default is
# ten times as high, so a query of 20 KB that repeats one field would take seconds of CPU time.
overlapping_fields_can_be_merged.MAX_COMPLEXITY_BUDGET = 50_000


class Operation(NamedTuple):
    """The selected operation of a valid document."""

    document: DocumentNode
    node: OperationDefinitionNode

    @property
    def name(self) -> str | None:
        """The operation's name in the document; None if it is anonymous."""
        return self.node.name.value if self.node.name is not None else None

    @property
    def root_field(self) -> str:
        """The name of the only root field, or `several`."""
        selections = self.node.selection_set.selections
        only = selections[0] if len(selections) == 1 else None
        return only.name.value if isinstance(only, FieldNode) else "several"

    @property
    def is_query(self) -> bool:
        """Whether the operation is a query, which only reads."""
        return self.node.operation.value == "query"


class InvalidDocument(Exception):
    """The document does not parse, or is not valid for the schema."""

    def __init__(self, errors: Sequence[GraphQLError]) -> None:
        super().__init__(errors[0].message)
        self.errors = errors


class UnresolvedOperation(InvalidDocument):
    """`operationName` does not select exactly one operation of the document."""


class NoEmptySelectionsRule(ASTValidationRule):
    """Reject `{ }`, which graphql-core parses although the GraphQL grammar forbids it."""

    def enter_selection_set(self, node: SelectionSetNode, *_: object) -> None:
        """Visit a selection set."""
        if not node.selections:
            self.report_error(GraphQLError("Select at least one field between '{' and '}'.", node))


class NoIntrospectionRule(ASTValidationRule):
    """Reject introspection where the setting disables it."""

    def enter_field(self, node: FieldNode, *_: object) -> None:
        """Visit a field."""
        if node.name.value in INTROSPECTION:
            disabled = IntrospectionDisabled()
            self.report_error(GraphQLError(str(disabled), node, original_error=disabled))


_RULES = (
    *specified_rules,
    MaxIntrospectionDepthRule,
    MaybeNullValidationRule,
    OneOfInputValidationRule,
    NoEmptySelectionsRule,
)


def prepare_operation(
    schema: GraphQLSchema,
    query: str,
    operation_name: str | None,
    limits: QueryLimits,
    *,
    introspection: bool = True,
) -> Operation:
    """Parse a query, select its operation, enforce the limits and validate it.

    The limits come before validation, which is slow for queries that exceed them.

    Args:
        schema: The schema to validate against.
        query: The document's text.
        operation_name: The operation to select; required if the document has several.
        limits: The limits on the text.
        introspection: Whether to allow introspection, and to suggest names in errors about
            unknown ones.

    Raises:
        InvalidDocument: The document does not parse or is not valid for the schema.
        TooManyTokens, QueryTooDeep, TooManyAliases, TooManyDirectives: It exceeds a limit.
        UnresolvedOperation: `operation_name` does not select exactly one operation.
    """
    tokens = count_tokens(query)
    if tokens > limits.tokens:
        raise TooManyTokens(limit=limits.tokens, value=tokens)
    try:
        document = parse(query)
    except GraphQLError as error:
        raise InvalidDocument([error]) from None
    _unlink_tokens(document)
    operation = _select_operation(document, operation_name)
    _enforce_limits(measure_query(document, operation), limits)
    errors = validate(
        schema,
        document,
        _RULES if introspection else (*_RULES, NoIntrospectionRule),
        max_errors=MAX_ERRORS,
        hide_suggestions=not introspection,
    )
    if errors:
        raise InvalidDocument([_as_client_error(error) for error in errors[:MAX_ERRORS]])
    return Operation(document, operation)


def _unlink_tokens(document: DocumentNode) -> None:
    """Break the doubly linked list of tokens; only their positions are still needed.

    Such reference cycles hold memory until the garbage collector runs, which is seldom here.
    """
    token = document.loc.start_token if document.loc else None
    while token is not None:
        following = token.next
        token.prev = token.next = None
        token = following


def _enforce_limits(measures: QueryMeasures, limits: QueryLimits) -> None:
    if measures.depth > limits.depth:
        raise QueryTooDeep(limit=limits.depth, value=measures.depth)
    if measures.aliases > limits.aliases:
        raise TooManyAliases(limit=limits.aliases, value=measures.aliases)
    if measures.directives > limits.directives:
        raise TooManyDirectives(limit=limits.directives, value=measures.directives)


def _as_client_error(error: GraphQLError) -> GraphQLError:
    """Return a validation error as the client reads it.

    A `ValueError` comes from a literal that Python cannot read, such as an integer of 5,000
    digits. It is the client's mistake, so it must not count as an unexpected error.
    """
    if isinstance(error, ValidationAbortedError):
        return GraphQLError(
            "The query takes too many steps to validate. It repeats fields too often or nests "
            "fragments too deeply. Write each field once per selection set."
        )
    if isinstance(error.original_error, ValueError):
        return GraphQLError(error.message, error.nodes)
    return error


def _select_operation(document: DocumentNode, name: str | None) -> OperationDefinitionNode:
    """Return the operation with this name or, without a name, the only operation."""
    operations = [
        each for each in document.definitions if isinstance(each, OperationDefinitionNode)
    ]
    matching = [each for each in operations if not name or (each.name and each.name.value == name)]
    if len(matching) == 1:
        return matching[0]
    if not operations:
        raise _unresolved("The document has no operation. Start one with '{' or 'query'.")
    names = ", ".join(each.name.value for each in operations[:10] if each.name)
    choices = names or "none of them has a name"
    if not name:
        raise _unresolved(
            f"The document has several operations. Name one in operationName ({choices})."
        )
    raise _unresolved(
        f"operationName: must name one operation of the document ({choices}); got {name[:100]!r}."
    )


def _unresolved(message: str) -> UnresolvedOperation:
    return UnresolvedOperation([GraphQLError(message)])
