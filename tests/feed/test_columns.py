"""Rows sent as arrays in text form arrive unchanged."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import NamedTuple
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from app.db.engine import Database
from app.db.unnest import Columns
from app.domain.errors import InvalidArgument

COLUMNS = Columns(
    word="text", key="uuid", number="numeric", day="date", at="timestamptz", truth="boolean"
)
# U+0000 and lone surrogates are rejected before anything is stored.
words = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"])
) | st.sampled_from(["NULL", "null", "None", "{}", '"', "\\", '\\"', ",", ' " , " ', "\n", "'"])
zones = st.sampled_from(
    [UTC, *(timezone(timedelta(minutes=each)) for each in (-1439, -690, 960, 1439))]
)
# Between these, an instant in each zone has a year in UTC.
LATER_THAN, EARLIER_THAN = datetime(1, 1, 2), datetime(9999, 12, 30)  # noqa: DTZ001 - zones follow
rows = st.tuples(
    st.none() | words,
    st.none() | st.uuids(),
    st.none() | st.integers(-(2**200), 2**200),
    st.none() | st.dates(),
    st.none() | st.datetimes(LATER_THAN, EARLIER_THAN, timezones=zones),
    st.none() | st.booleans(),
)
Row = tuple[str | None, UUID | None, int | None, date | None, datetime | None, bool | None]


def test_an_unsupported_type_is_rejected() -> None:
    with pytest.raises(KeyError, match="jsonb"):
        Columns(word="text", data="jsonb")


def test_a_row_class_must_have_the_same_fields_in_the_same_order() -> None:
    class Named(NamedTuple):
        key: UUID
        name: str

    assert Columns(Named, key="uuid", name="text").names == "key, name"
    for types in ({"name": "text", "key": "uuid"}, {"key": "uuid"}):
        with pytest.raises(TypeError, match="Named has"):
            Columns(Named, **types)


@pytest.mark.parametrize("words", [["a\0b"], ["a", "\0"], ["\0", None]])
def test_a_text_with_u0000_is_rejected(words: list[str | None]) -> None:
    with pytest.raises(InvalidArgument, match=r"a text holds U\+0000"):
        Columns(word="text").bind_rows([(word,) for word in words])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(rows, min_size=1))
async def test_every_value_is_returned_unchanged(database: Database, sent: list[Row]) -> None:
    async with database.owner_transaction() as tx:
        found = await tx.execute(
            text(f"SELECT {COLUMNS.names} FROM {COLUMNS.as_rows('sent')}"),
            COLUMNS.bind_rows(sent),
        )
        assert [tuple(row) for row in found] == sent
