"""Declare fields that are read from rows: `column`, `embedded`, `batched` and `group_rows`."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from strawberry.annotation import StrawberryAnnotation
from strawberry.types.fields.resolver import StrawberryResolver

from schema.execution.executing import resolve_batched
from schema.execution.fields import (
    BatchedField,
    ColumnField,
    EmbeddedField,
    GroupRowsField,
)
from schema.execution.rows import Selection


def column(
    *names: str,
    convert: Callable[..., Any] | None = None,
    description: str | None = None,
    deprecation_reason: str | None = None,
) -> Any:
    """Declare a field that is a column of the row, or is computed from several columns.

    Args:
        names: The names of the columns; by default the one named like the attribute.
        convert: Converts the columns' values to the field's value. For a single column it is not
            called for null; for several it is required.
        description: The field's description.
        deprecation_reason: Why clients should no longer use the field.
    """
    return ColumnField(
        metadata={"columns": names, "convert": convert},
        description=description,
        deprecation_reason=deprecation_reason,
    )


def embedded(
    *,
    prefix: str = "",
    description: str | None = None,
    deprecation_reason: str | None = None,
) -> Any:
    """Declare a field whose object is made from its parent's row. It is never null.

    Args:
        prefix: What the names of the object's columns begin with in the parent's row. It lets
            several fields have one type, whose fields are columns only.
        description: The field's description.
        deprecation_reason: Why clients should no longer use the field.
    """
    return EmbeddedField(
        metadata={"prefix": prefix},
        description=description,
        deprecation_reason=deprecation_reason,
    )


def group_rows(*, description: str | None = None, deprecation_reason: str | None = None) -> Any:
    """Declare the list of rows on a type that stands for a whole group, such as a connection.

    A batched field of such a type has one object per group. Its other fields are the columns in
    `group_columns`; the items of this list are the rows.
    """
    return GroupRowsField(description=description, deprecation_reason=deprecation_reason)


def batched(
    *,
    key: str | tuple[str, ...],
    reads: Callable[[Selection], tuple[str, ...]] | None = None,
    name: str | None = None,
    graphql_type: Any = None,
    description: str | None = None,
    deprecation_reason: str | None = None,
    permission_classes: list[Any] | None = None,
    extensions: list[Any] | None = None,
) -> Callable[[Callable[..., Any]], Any]:
    """Declare a field that a batch function resolves; README.md has the contract.

    Args:
        key: The columns of the parent's row that identify its rows; `()` for a root field. If
            the parent is not a row, they are attributes of the parent.
        reads: Returns further columns of the parent's row that the batch function needs for a
            selection of its own columns. Their values follow those of `key`, which is a tuple.
        name: The field's name; by default the function's name in camel case.
        graphql_type: The field's type; by default the function's return annotation.
        description: The field's description.
        deprecation_reason: Why clients should no longer use the field.
        permission_classes: Checked for each parent, as for any field.
        extensions: Field extensions. They see each parent's own objects, as for any field.
    """
    declared = _LevelField(
        graphql_name=name,
        type_annotation=StrawberryAnnotation.from_annotation(graphql_type),
        metadata={"key": key, "reads": reads},
        description=description,
        deprecation_reason=deprecation_reason,
        permission_classes=permission_classes or [],
        extensions=extensions or [],
    )
    return lambda function: declared(_BatchResolver(function))


class _LevelField(BatchedField):
    """A batched field that joins its level when Strawberry resolves it."""

    # Strawberry calls it with all of these.
    def get_result(self, source: Any, info: Any, args: Any, kwargs: Any) -> Any:  # noqa: ARG002
        """Resolve the field for one parent, or for all parents of a level."""
        return resolve_batched(self, source, info, kwargs)


class _ReservedParameter(NamedTuple):
    """Marks the parameter at this position as no argument of the field."""

    position: int

    def find(self, parameters: Sequence[inspect.Parameter], _: object) -> inspect.Parameter:
        """Implement Strawberry's protocol for reserved parameters."""
        return parameters[self.position]


class _BatchResolver(StrawberryResolver[Any]):
    """Reads a batch function's arguments: the parameters after info, keys and selection."""

    RESERVED_PARAMSPEC = (_ReservedParameter(0), _ReservedParameter(1), _ReservedParameter(2))
