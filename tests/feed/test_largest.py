"""The largest allowed body fits into one value of PostgreSQL."""

from typing import Any

import pytest
from sqlalchemy import text

from app.db.engine import Database
from app.domain.errors import InvalidArgument
from app.domain.event_decoding import decode_lines
from app.domain.events import encode_event_data
from app.domain.ids import organization_id
from app.settings import Settings, SettingsError
from tests.conftest import NOW, event

MAX_BODY_BYTES = 134_217_728
MAX_JSONB_BYTES = 268_435_455
"""The largest jsonb array in binary form, in which the data of a batch is sent."""
SMALLEST: dict[str, dict[str, Any]] = {
    "user.upserted": {"username": "u"},
    "user.deleted": {"username": "u"},
    "workspace.upserted": {"name": "w"},
    "workspace.deleted": {"name": "w"},
    "member.added": {"workspace": "w", "username": "u"},
    "member.removed": {"workspace": "w", "username": "u"},
    "project.upserted": {"workspace": "w", "name": "p"},
    "project.deleted": {"workspace": "w", "name": "p"},
    "experiment.created": {"experiment": "e", "workspace": "w", "project": "p", "username": "u"},
    "experiment.resized": {"experiment": "e", "sizeBytes": 1},
    "experiment.deleted": {"experiment": "e"},
    "usage.recorded": {"username": "u", "channel": "ui", "count": 1},
}


def test_a_larger_body_size_cannot_be_set() -> None:
    assert Settings.load(feed_max_body_bytes=MAX_BODY_BYTES).feed_max_body_bytes == MAX_BODY_BYTES
    with pytest.raises(SettingsError, match="use a whole number from 1,000 to 134,217,728"):
        Settings.load(feed_max_body_bytes=MAX_BODY_BYTES + 1)


@pytest.mark.parametrize("kind", SMALLEST)
async def test_the_data_of_the_largest_body_fits_into_one_value(
    database: Database, kind: str
) -> None:
    """Small events consist mostly of field names, which JSON and jsonb store differently."""
    line = event(kind, "2026-10-05T00:00:00Z", id="1", source="/", **SMALLEST[kind])
    events = 1_000
    data = encode_event_data([each.data for each in decode_lines([line] * events, now=NOW)])

    async with database.transaction(organization_id("default")) as tx:
        size = await tx.scalar(
            text("SELECT pg_column_size(CAST(:data AS jsonb))"), {"data": data.decode()}
        )

    assert size * MAX_BODY_BYTES / (events * len(line)) < MAX_JSONB_BYTES


async def test_a_row_beyond_a_limit_of_postgresql_is_rejected_with_its_message(
    database: Database,
) -> None:
    async with database.owner_transaction() as tx:
        await tx.execute(text("CREATE TABLE named (name text STORAGE PLAIN)"))
    with pytest.raises(InvalidArgument, match="compared: a text is too long"):
        async with database.owner_transaction() as tx:
            await tx.execute(text("INSERT INTO named SELECT repeat('x', 10000)"))
