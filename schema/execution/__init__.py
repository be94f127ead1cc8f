"""Breadth-first execution for Strawberry; README.md has the guide and the contract."""

from schema.execution.declaring import batched, column, embedded, group_rows
from schema.execution.executing import BreadthFirstExecutor
from schema.execution.fields import RowObject
from schema.execution.rows import GroupedRows, Row, Selection

__all__ = [
    "BreadthFirstExecutor",
    "GroupedRows",
    "Row",
    "RowObject",
    "Selection",
    "batched",
    "column",
    "embedded",
    "group_rows",
]
