"""Run a document on Strawberry's executor and on ours, and compare the results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import strawberry
from graphql import GraphQLError
from strawberry import Info
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.types.execution import ExecutionResult

from resolvers.rows import Grouped, Selection
from schema.execution import BreadthFirstExecutor


class Call(NamedTuple):
    """A call of a batch function."""

    place: tuple[str, ...]
    name: str
    keys: list[Any]
    selection: Selection
    arguments: Mapping[str, Any]


@dataclass
class Journal:
    """Records the calls of an execution; resolvers get it as their context."""

    calls: list[Call] = field(default_factory=list)
    objects: list[str] = field(default_factory=list)
    """The types of the objects that standard execution completed."""


def fetch_rows(
    info: Info,
    keys: Sequence[Any],
    selection: Selection,
    columns: str,
    rows: Mapping[Any, list[tuple[Any, ...]]],
    **arguments: Any,
) -> Any:
    """Return the rows of the keys, as a batch function does, and record the call."""
    place = tuple(key for key in info.path.as_list() if isinstance(key, str))
    info.context.calls.append(Call(place, info.field_name, list(keys), selection, arguments))
    positions = {name: at for at, name in enumerate(columns.split())}
    return Grouped(positions, [rows.get(key, []) for key in keys])


class RecordingExecutor(BreadthFirstExecutor):
    """Records which objects standard execution completes."""

    def complete_object_value(self, return_type: Any, *rest: Any) -> Any:
        self.context_value.objects.append(return_type.name)
        return super().complete_object_value(return_type, *rest)


class Outcome(NamedTuple):
    data: Any
    errors: list[tuple[str, list[str | int] | None]]
    """Messages and paths."""
    calls: list[Call]
    objects: list[str]


class QuietSchema(strawberry.Schema):
    """Logs no errors, because these tests expect thousands of them."""

    def process_errors(self, errors: list[GraphQLError], execution_context: Any = None) -> None:
        pass


class ExecutorComparison:
    """A schema on both executors."""

    def __init__(self, query: type, **options: Any) -> None:
        options["extensions"] = [ParserCache, ValidationCache, *options.get("extensions", ())]
        self.standard = QuietSchema(query, **options)
        self.ours = QuietSchema(query, execution_context_class=RecordingExecutor, **options)

    async def run(self, document: str, **variables: Any) -> Outcome:
        """Return the common result, with the calls and objects that our executor recorded."""
        standard, ours = Journal(), Journal()
        expected = await self.standard.execute(document, variables, standard)
        result = await self.ours.execute(document, variables, ours)

        assert comparable(result) == comparable(expected)
        if not expected.errors:
            assert by_place(ours.calls) == by_place(standard.calls)
        errors = [(error.message, error.path) for error in result.errors or ()]
        return Outcome(result.data, errors, ours.calls, ours.objects)


def comparable(result: ExecutionResult) -> Any:
    """Return what must be equal: data with key order and value types, and errors with places."""
    errors = [
        (error.message, error.path, error.locations, type(error.original_error))
        for error in result.errors or ()
    ]
    return repr(result.data), errors


def by_place(calls: list[Call]) -> list[Call]:
    """Sort calls and their keys, because their order depends on the event loop."""
    ordered = [call._replace(keys=sorted(call.keys, key=repr)) for call in calls]
    return sorted(ordered, key=lambda call: call.place)
