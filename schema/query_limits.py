"""Depth, alias, directive and token limits, measured from the text of a query alone.

The time is linear in the length of the text. Each fragment is measured once, however often it is
spread; what a spread adds is arithmetic. A document whose fragments expand to 2^28 fields, or to
2^1000, takes no longer than any other of its length. The document need not be valid: validation
runs afterwards and reports fragment cycles and unknown names.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, cast

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
)

INTROSPECTION = frozenset({"__schema", "__type"})
"""The root fields of introspection. Tools nest them deeper than any report."""

# No text matches in two ways, so the regular expression never backtracks. Possessive quantifiers
# would guarantee that, but the first releases of Python 3.11 apply them wrongly to groups.
_TOKEN = re.compile(
    r"""
    "{3} (?: [^"\\] | \\"{3} | \\ | "{1,2}(?!") )* (?: "{3} | \Z )  # a block string
    | " (?: [^"\\\n\r] | \\. )* "?                                  # a string
    | [A-Za-z_] [A-Za-z_0-9]*                                       # a name
    | -?[0-9] [A-Za-z_0-9.+\-]*                                     # a number
    | \.{3}
    | \#[^\n\r]*                                                    # a comment
    | [^\s,\ufeff]                                                   # punctuation
    """,
    re.VERBOSE,
)


def count_tokens(query: str) -> int:
    """Count the tokens of a query about as the parser does, comments included."""
    return sum(1 for _ in _TOKEN.finditer(query))


class QueryLimits(NamedTuple):
    """The limits on the text of a query."""

    tokens: int
    depth: int
    aliases: int
    directives: int


class QueryMeasures(NamedTuple):
    """The measures of an operation, with all the fragments that it spreads.

    Attributes:
        depth: The deepest nesting of fields, without introspection.
        aliases: The number of fields that have an alias.
        directives: The number of directives, such as `@include` and `@skip`.
    """

    depth: int = 0
    aliases: int = 0
    directives: int = 0


@dataclass
class _Definition:
    """The measures of one operation or fragment, and the fragments that it spreads.

    Each spread has its depth; None within introspection, where depth does not count.
    """

    depth: int = 0
    aliases: int = 0
    directives: int = 0
    spreads: list[tuple[str, int | None]] = field(default_factory=list)

    def with_fragments(self, measured: Mapping[str, QueryMeasures]) -> QueryMeasures:
        """Add the measures of the fragments that it spreads."""
        depth, aliases, directives = self.depth, self.aliases, self.directives
        for name, spread_depth in self.spreads:
            added = measured.get(name, QueryMeasures())
            if spread_depth is not None:
                depth = max(depth, spread_depth + added.depth)
            aliases += added.aliases
            directives += added.directives
        return QueryMeasures(depth, aliases, directives)


def measure_query(
    document: DocumentNode,
    operation: OperationDefinitionNode,
    on_visit: Callable[[], None] = lambda: None,
) -> QueryMeasures:
    """Measure an operation.

    Args:
        document: The document that has the operation's fragments.
        operation: One of the document's operations.
        on_visit: Called once for each selection visited; tests count the work with it.
    """
    fragments = {
        each.name.value: each
        for each in document.definitions
        if isinstance(each, FragmentDefinitionNode)
    }
    definitions = {
        name: _measure_definition(fragment, on_visit) for name, fragment in fragments.items()
    }
    measured: dict[str, QueryMeasures] = {}
    for name in _dependencies_first(definitions):
        measured[name] = definitions[name].with_fragments(measured)
    return _measure_definition(operation, on_visit).with_fragments(measured)


def _measure_definition(
    definition: OperationDefinitionNode | FragmentDefinitionNode, on_visit: Callable[[], None]
) -> _Definition:
    measures = _Definition(directives=len(definition.directives or ()))
    pending: list[tuple[SelectionSetNode, int | None]] = [(definition.selection_set, 0)]
    while pending:
        selection_set, depth = pending.pop()
        for selection in selection_set.selections:
            on_visit()
            measures.directives += len(selection.directives or ())
            inner_depth = depth
            if isinstance(selection, FragmentSpreadNode):
                measures.spreads.append((selection.name.value, depth))
                continue
            if isinstance(selection, FieldNode):
                measures.aliases += selection.alias is not None
                inner_depth = None if depth is None else depth + 1
                measures.depth = max(measures.depth, inner_depth or 0)
                if selection.name.value in INTROSPECTION:
                    inner_depth = None
            inner = cast("FieldNode | InlineFragmentNode", selection).selection_set
            if inner is not None:
                pending.append((inner, inner_depth))
    return measures


def _dependencies_first(definitions: Mapping[str, _Definition]) -> Iterator[str]:
    """Return the fragment names, each after the fragments that it spreads; break cycles."""
    visited: set[str] = set()
    for root in definitions:
        path = [] if root in visited else [(root, iter(definitions[root].spreads))]
        visited.add(root)
        while path:
            name, spreads = path[-1]
            for spread, _ in spreads:
                if spread in definitions and spread not in visited:
                    visited.add(spread)
                    path.append((spread, iter(definitions[spread].spreads)))
                    break
            else:
                path.pop()
                yield name
