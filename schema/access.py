"""The scope that each root field requires, checked before execution.

Every other field is reached through a root field. A root field that is not listed requires the
scope `admin`; a test checks that all are listed.
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
"""Any valid key, whatever its scopes."""

REQUIRED_SCOPES: Mapping[str, Scope | None] = {
    "viewer": ANY_KEY,
    "statement": Scope.STATEMENT_READ,
    "explain": Scope.REPORT_READ,
    "chargebackReport": Scope.REPORT_READ,
    "chargebackReports": Scope.REPORT_READ,
    "chargebackRange": Scope.REPORT_READ,
    "apiKeys": Scope.ADMIN,
    "auditLog": Scope.ADMIN,
    "months": Scope.REPORT_READ,
    "monthHistory": Scope.REPORT_READ,
    "sources": Scope.REPORT_READ,
    "sourceRuns": Scope.REPORT_READ,
    "feed": Scope.REPORT_READ,
    "createApiKey": Scope.ADMIN,
    "rotateApiKey": Scope.ADMIN,
    "revokeApiKey": Scope.ADMIN,
    "closeMonth": Scope.ADMIN,
    "reopenMonth": Scope.ADMIN,
    "rateCard": Scope.REPORT_READ,
    "setCurrency": Scope.ADMIN,
    "setCostCentre": Scope.ADMIN,
    "setRate": Scope.ADMIN,
    "setPrice": Scope.ADMIN,
    "assign": Scope.ADMIN,
}


def require_scopes(operation: Operation, caller: Caller) -> None:
    """Reject an operation with a root field that the caller's scopes do not cover.

    Raises:
        Forbidden: A scope is missing. Nothing of the operation is executed.
    """
    for name in root_field_names(operation):
        if name.startswith("__"):
            continue
        scope = REQUIRED_SCOPES.get(name, Scope.ADMIN)
        if scope is not ANY_KEY:
            caller.require(scope)


def root_field_names(operation: Operation) -> Iterator[str]:
    """Return the names of an operation's root fields, `@skip` and `@include` ignored."""
    fragments = _fragments_by_name(operation.document)
    visited: set[str] = set()
    pending: list[SelectionSetNode] = [operation.node.selection_set]
    while pending:
        for selection in pending.pop().selections:
            if isinstance(selection, FieldNode):
                yield selection.name.value
            elif isinstance(selection, InlineFragmentNode):
                pending.append(selection.selection_set)
            elif isinstance(selection, FragmentSpreadNode):
                name = selection.name.value
                if name not in visited:
                    visited.add(name)
                    pending.append(fragments[name].selection_set)


def _fragments_by_name(document: DocumentNode) -> Mapping[str, FragmentDefinitionNode]:
    return {
        definition.name.value: definition
        for definition in document.definitions
        if isinstance(definition, FragmentDefinitionNode)
    }
