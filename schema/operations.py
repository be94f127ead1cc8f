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
from schema.limits import INTROSPECTION, Measures, count_tokens, measure

MOST_ERRORS = 5
"""An answer lists no more errors: a thousand fields that fail alike say the same once."""


# In comparisons of two fields, each counted twice. A report takes some dozens; the default, ten
# times as much, lets a query of 20 KB that repeats one field keep a processor busy for seconds.
overlapping_fields_can_be_merged.MAX_COMPLEXITY_BUDGET = 50_000


class Limits(NamedTuple):
    """How much a query's text may ask for; see `schema.limits`."""

    tokens: int
    depth: int
    aliases: int
    directives: int


class Operation(NamedTuple):
    """An operation of a valid document, chosen by its name or because it is the only one."""

    document: DocumentNode
    node: OperationDefinitionNode

    @property
    def name(self) -> str | None:
        """Its name in the document; null when it has none."""
        return self.node.name.value if self.node.name is not None else None

    @property
    def root_field(self) -> str:
        """What it asks for, in one word: its only root field, or `several`."""
        selections = self.node.selection_set.selections
        only = selections[0] if len(selections) == 1 else None
        return only.name.value if isinstance(only, FieldNode) else "several"

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
        if node.name.value in INTROSPECTION:
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
    operation_name: str | None,
    limits: Limits,
    *,
    introspection: bool = True,
) -> Operation:
    """Parse a query, choose its operation, see to the limits, and validate it.

    Args:
        schema: What it is asked of.
        query: The document's text.
        operation_name: Which operation is meant; needed when there are several.
        limits: What it may ask for.
        introspection: Whether the caller may be told what the schema has, by asking or by
            suggestions after a misspelt name.

    Raises:
        InvalidDocument: It is none, or does not fit the schema.
        TooManyTokens, QueryTooDeep, TooManyAliases, TooManyDirectives: It asks for too much.
        UnclearOperation: None of its operations, or no single one, is meant.
    """
    tokens = count_tokens(query)
    if tokens > limits.tokens:
        raise TooManyTokens(limit=limits.tokens, value=tokens)
    try:
        document = parse(query)
    except GraphQLError as error:
        raise InvalidDocument([error]) from None
    _unlink_tokens(document)
    operation = _choose(document, operation_name)
    _insist(measure(document, operation), limits)
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


def _unlink_tokens(document: DocumentNode) -> None:
    """Undo the chain of tokens, of which nothing but their positions is needed any more.

    Each knows the one before and the one after: such circles are memory until the garbage
    collector looks, which it seldom does here.
    """
    token = document.loc.start_token if document.loc else None
    while token is not None:
        following = token.next
        token.prev = token.next = None
        token = following


def _insist(asked: Measures, limits: Limits) -> None:
    """Before validation, which takes its time over what asks for too much."""
    if asked.depth > limits.depth:
        raise QueryTooDeep(limit=limits.depth, value=asked.depth)
    if asked.aliases > limits.aliases:
        raise TooManyAliases(limit=limits.aliases, value=asked.aliases)
    if asked.directives > limits.directives:
        raise TooManyDirectives(limit=limits.directives, value=asked.directives)


def _of_the_text(error: GraphQLError) -> GraphQLError:
    """A literal that Python cannot read is the query's mistake: an integer of 5,000 digits."""
    if isinstance(error, ValidationAbortedError):
        return GraphQLError(
            "The query takes too many steps to check: it repeats fields too often, or spreads "
            "fragments within fragments too deep. Write each field once per selection."
        )
    if isinstance(error.original_error, ValueError):
        return GraphQLError(error.message, error.nodes)
    return error


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
