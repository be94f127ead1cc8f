"""What each root field of the schema takes: the one place that says it, checked before execution.

Every other field is reached through one of these. A field that is not listed takes a key with the
scope `admin`; a test walks the schema and insists that each is listed.
"""

from collections.abc import Iterator, Mapping

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    SelectionSetNode,
)

from app.domain.callers import Caller, Scope
from schema.operations import Operation

ANY_KEY = None
"""A valid key, whatever its scopes."""

REQUIRED_SCOPES: Mapping[str, Scope | None] = {
    "viewer": ANY_KEY,
    "chargebackReport": Scope.REPORT_READ,
    "chargebackReports": Scope.REPORT_READ,
    "apiKeys": Scope.ADMIN,
    "auditLog": Scope.ADMIN,
    "months": Scope.REPORT_READ,
    "monthActs": Scope.REPORT_READ,
    "sources": Scope.REPORT_READ,
    "sourceRuns": Scope.REPORT_READ,
    "feed": Scope.REPORT_READ,
    "createApiKey": Scope.ADMIN,
    "rotateApiKey": Scope.ADMIN,
    "revokeApiKey": Scope.ADMIN,
    "closeMonth": Scope.ADMIN,
    "reopenMonth": Scope.ADMIN,
}


def require_scopes(operation: Operation, caller: Caller) -> None:
    """Insist that the caller may have every root field that an operation names.

    Raises:
        Forbidden: They may not; nothing of the operation is executed.
    """
    for name in root_fields(operation):
        if name.startswith("__"):
            continue
        scope = REQUIRED_SCOPES.get(name, Scope.ADMIN)
        if scope is not ANY_KEY:
            caller.require(scope)


def root_fields(operation: Operation) -> Iterator[str]:
    """The names of an operation's root fields, whether a directive leaves them out or not."""
    fragments = _fragments(operation.document)
    spread: set[str] = set()
    waiting: list[SelectionSetNode] = [operation.node.selection_set]
    while waiting:
        for selection in waiting.pop().selections:
            if isinstance(selection, FieldNode):
                yield selection.name.value
            elif isinstance(selection, InlineFragmentNode):
                waiting.append(selection.selection_set)
            elif isinstance(selection, FragmentSpreadNode):
                name = selection.name.value
                if name not in spread:
                    spread.add(name)
                    waiting.append(fragments[name].selection_set)


def _fragments(document: DocumentNode) -> Mapping[str, FragmentDefinitionNode]:
    return {
        definition.name.value: definition
        for definition in document.definitions
        if isinstance(definition, FragmentDefinitionNode)
    }
