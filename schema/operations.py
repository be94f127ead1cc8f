"""From a query's text to an operation that may be executed."""

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
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from app.domain.errors import IntrospectionDisabled

MOST_ERRORS = 5
"""An answer lists no more errors: a thousand fields that fail alike say the same once."""


class Operation(NamedTuple):
    """An operation of a valid document, chosen by its name or because it is the only one."""

    document: DocumentNode
    node: OperationDefinitionNode

    @property
    def name(self) -> str | None:
        """Its name in the document; null when it has none."""
        return self.node.name.value if self.node.name is not None else None

    @property
    def is_query(self) -> bool:
        """Whether it only reads."""
        return self.node.operation.value == "query"


class InvalidDocument(Exception):
    """A query's text that is no operation of this schema, and why."""

    def __init__(self, errors: Sequence[GraphQLError]) -> None:
        super().__init__(errors[0].message)
        self.errors = errors


class UnclearOperation(InvalidDocument):
    """No operation of the document is meant, or it is not said which."""


class SelectionsAreNotEmptyRule(ASTValidationRule):
    """`{ }` selects nothing; the grammar of GraphQL has no such thing, graphql-core's has."""

    def enter_selection_set(self, node: SelectionSetNode, *_: object) -> None:
        """Called at each selection set."""
        if not node.selections:
            self.report_error(GraphQLError("Select at least one field between '{' and '}'.", node))


class NoIntrospectionRule(ASTValidationRule):
    """Where introspection is switched off, nothing tells what the schema has."""

    def enter_field(self, node: FieldNode, *_: object) -> None:
        """Called at each field."""
        if node.name.value in {"__schema", "__type"}:
            refusal = IntrospectionDisabled()
            self.report_error(GraphQLError(str(refusal), node, original_error=refusal))


_RULES = (
    *specified_rules,
    MaxIntrospectionDepthRule,
    MaybeNullValidationRule,
    OneOfInputValidationRule,
    SelectionsAreNotEmptyRule,
)


def prepare(
    schema: GraphQLSchema,
    query: str,
    operation_name: str | None = None,
    *,
    introspection: bool = True,
) -> Operation:
    """Parse a query, validate it and choose its operation.

    Args:
        schema: What it is asked of.
        query: The document's text.
        operation_name: Which operation is meant; needed when there are several.
        introspection: Whether the caller may be told what the schema has, by asking or by
            suggestions after a misspelt name.

    Raises:
        InvalidDocument: It is none, or does not fit the schema.
        UnclearOperation: None of its operations, or no single one, is meant.
    """
    try:
        document = parse(query)
    except GraphQLError as error:
        raise InvalidDocument([error]) from None
    operation = _choose(document, operation_name)
    errors = validate(
        schema,
        document,
        _RULES if introspection else (*_RULES, NoIntrospectionRule),
        max_errors=MOST_ERRORS,
        hide_suggestions=not introspection,
    )
    if errors:
        raise InvalidDocument([_of_the_text(error) for error in errors[:MOST_ERRORS]])
    return Operation(document, operation)


def _of_the_text(error: GraphQLError) -> GraphQLError:
    """A literal that Python cannot read is the query's mistake: an integer of 5,000 digits."""
    if not isinstance(error.original_error, ValueError):
        return error
    return GraphQLError(error.message, error.nodes)


def _choose(document: DocumentNode, name: str | None) -> OperationDefinitionNode:
    """The operation of that name, or the only one there is."""
    operations = [
        each for each in document.definitions if isinstance(each, OperationDefinitionNode)
    ]
    named = [each for each in operations if not name or (each.name and each.name.value == name)]
    if len(named) == 1:
        return named[0]
    if not operations:
        raise _unclear("The document has no operation: begin with '{' or 'query'.")
    names = (
        ", ".join(each.name.value for each in operations[:10] if each.name) or "none has a name"
    )
    if not name:
        raise _unclear(
            f"The document has several operations: say which in operationName ({names})."
        )
    raise _unclear(f"operationName must be that of one operation ({names}); got {name[:100]!r}.")


def _unclear(message: str) -> UnclearOperation:
    return UnclearOperation([GraphQLError(message)])
