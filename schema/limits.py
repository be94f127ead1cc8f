"""How much a query asks for, told from its text alone and in time linear in it.

A fragment is measured once, however often it is spread: what it adds where it is spread is then
arithmetic. So a document whose fragments spread each other to 2^28 fields, or to 2^1000, is
measured as quickly as any other of its length. It need not be valid: cycles of fragments and
names that nobody knows are left to validation, which comes afterwards and may rely on the limits.
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
"""Root fields that tell the schema: tools nest them deeper than any report is."""

# Nothing here can be matched in two ways, so that nothing is tried again. Possessive repeats would
# say so, but Python 3.11's first releases get those of groups wrong.
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
    """The tokens of a query's text, about as the parser sees them: comments cost it as much."""
    return sum(1 for _ in _TOKEN.finditer(query))


class Measures(NamedTuple):
    """What an operation asks for, with what its fragments ask for.

    Attributes:
        depth: Fields within fields, less those of introspection.
        aliases: Fields that are given another name.
        directives: Uses of `@include`, `@skip` and the like.
    """

    depth: int = 0
    aliases: int = 0
    directives: int = 0


@dataclass
class _Part:
    """An operation or a fragment by itself, and the fragments that it spreads.

    A spread says at which depth; None within introspection, where depth does not count.
    """

    depth: int = 0
    aliases: int = 0
    directives: int = 0
    spreads: list[tuple[str, int | None]] = field(default_factory=list)

    def with_fragments(self, measured: Mapping[str, Measures]) -> Measures:
        """Its measures, once those of all that it spreads are known."""
        depth, aliases, directives = self.depth, self.aliases, self.directives
        for name, at in self.spreads:
            added = measured.get(name, Measures())
            depth = depth if at is None else max(depth, at + added.depth)
            aliases += added.aliases
            directives += added.directives
        return Measures(depth, aliases, directives)


def measure(
    document: DocumentNode,
    operation: OperationDefinitionNode,
    note: Callable[[], None] = lambda: None,
) -> Measures:
    """Measure an operation.

    Args:
        document: Where its fragments are.
        operation: One of the document's.
        note: Called once for each selection that is looked at: the work done.
    """
    fragments = {
        each.name.value: each
        for each in document.definitions
        if isinstance(each, FragmentDefinitionNode)
    }
    parts = {name: _part(fragment, note) for name, fragment in fragments.items()}
    measured: dict[str, Measures] = {}
    for name in _inner_first(parts):
        measured[name] = parts[name].with_fragments(measured)
    return _part(operation, note).with_fragments(measured)


def _part(
    definition: OperationDefinitionNode | FragmentDefinitionNode, note: Callable[[], None]
) -> _Part:
    part = _Part(directives=len(definition.directives or ()))
    pending: list[tuple[SelectionSetNode, int | None]] = [(definition.selection_set, 0)]
    while pending:
        selection_set, at = pending.pop()
        for selection in selection_set.selections:
            note()
            part.directives += len(selection.directives or ())
            below = at
            if isinstance(selection, FragmentSpreadNode):
                part.spreads.append((selection.name.value, at))
                continue
            if isinstance(selection, FieldNode):
                part.aliases += selection.alias is not None
                below = None if at is None else at + 1
                part.depth = max(part.depth, below or 0)
                if selection.name.value in INTROSPECTION:
                    below = None
            inner = cast("FieldNode | InlineFragmentNode", selection).selection_set
            if inner is not None:
                pending.append((inner, below))
    return part


def _inner_first(parts: Mapping[str, _Part]) -> Iterator[str]:
    """Names of fragments, each after those that it spreads; a cycle is cut where it closes."""
    seen: set[str] = set()
    for root in parts:
        path = [] if root in seen else [(root, iter(parts[root].spreads))]
        seen.add(root)
        while path:
            name, spreads = path[-1]
            for spread, _ in spreads:
                if spread in parts and spread not in seen:
                    seen.add(spread)
                    path.append((spread, iter(parts[spread].spreads)))
                    break
            else:
                path.pop()
                yield name
