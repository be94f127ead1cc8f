"""Statements for the event table: store each event once, read facts by entity."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.local_settings import is_distributed, set_locally
from app.db.unnest import OWNER, Columns, any_of, array_expression, format_array
from app.domain.months import Month


class EventColumns(NamedTuple):
    """The columns of events, except organization and time of arrival.

    All columns have one value per event, in the same order.
    """

    uid: Sequence[UUID]
    type: Sequence[str]
    occurred_at: Sequence[datetime]
    subject_id: Sequence[UUID]
    parent_id: Sequence[UUID | None]
    source: Sequence[str]
    id: Sequence[str]


async def select_known(
    tx: AsyncConnection, organization_id: UUID, uids: Sequence[UUID]
) -> set[UUID]:
    """Return those of these uids that are stored already."""
    found = await tx.execute(
        _SELECT_KNOWN, {"organization_id": organization_id, "uids": format_array(uids)}
    )
    return set(found.scalars())


_SELECT_KNOWN = text(f"""
    SELECT uid FROM event
    WHERE organization_id = :organization_id
      AND uid = {any_of("uids", "uuid")}
""")


async def insert_events(
    tx: AsyncConnection,
    organization_id: UUID,
    events: EventColumns,
    data: bytes,
    received_at: datetime,
) -> None:
    """Insert events that are not stored yet; `data` is the JSON array of their data."""
    await tx.execute(
        _INSERT_EVENTS,
        {
            "organization_id": organization_id,
            "received_at": received_at,
            "year": received_at.astimezone(UTC).year,
            "data": data.decode(),
            **_EVENTS.bind_columns(events),
        },
    )


_EVENTS = Columns(
    EventColumns,
    uid="uuid",
    type="text",
    occurred_at="timestamptz",
    subject_id="uuid",
    parent_id="uuid",
    source="text",
    id="text",
)
_INSERT_EVENTS = text(f"""
    INSERT INTO event (organization_id, received_at, partition_year, {_EVENTS.names}, data)
    SELECT organization_id, CAST(:received_at AS timestamptz),
           CASE WHEN type = 'usage.recorded' THEN CAST(:year AS smallint) ELSE 0 END,
           {_EVENTS.names}, data
    FROM {OWNER} CROSS JOIN
         ROWS FROM ({_EVENTS.unnest_call}, jsonb_array_elements(CAST(:data AS jsonb)))
         AS new ({_EVENTS.names}, data)
""")


async def select_facts(
    tx: AsyncConnection, organization_id: UUID, subject_ids: Collection[UUID], types: Sequence[str]
) -> Sequence[Any]:
    """Return the facts of these types about these subjects, in no particular order.

    Columns: subject_id, uid, type, occurred_at, data.
    """
    if not subject_ids:
        return ()
    found = await tx.execute(
        _SELECT_FACTS,
        {
            "organization_id": organization_id,
            "subject_ids": format_array(subject_ids),
            "types": list(types),
        },
    )
    return found.all()


# One index lookup per subject; OFFSET 0 keeps the planner from merging it into the outer query.
# Given thousands of subjects and poor statistics, it would read all facts of the organization.
_SELECT_FACTS = text(f"""
    SELECT fact.subject_id, fact.uid, fact.type, fact.occurred_at, fact.data
    FROM unnest({array_expression("subject_ids", "uuid")}) AS subject (id)
    CROSS JOIN LATERAL (
        SELECT subject_id, uid, type, occurred_at, CAST(data AS text) AS data
        FROM event
        WHERE organization_id = :organization_id
          AND subject_id = subject.id
          AND type <> 'usage.recorded'
          AND type = ANY(CAST(:types AS text[]))
        OFFSET 0
    ) AS fact
""")


class Era(NamedTuple):
    """The time between two deletions of an entity: after one, up to the next."""

    entity_id: UUID
    after: datetime
    until: datetime


class EntityStart(NamedTuple):
    """When an entity started to exist."""

    entity_id: UUID
    started_at: datetime


async def select_first_starts(
    tx: AsyncConnection, organization_id: UUID, eras: Sequence[Era], kind: str
) -> Sequence[EntityStart]:
    """Return when the entity started to exist in each of these eras, where it did.

    Args:
        tx: The transaction.
        organization_id: The organization of the entities.
        eras: The eras, all of entities of one kind.
        kind: `membership`, `project` or `workspace`.
    """
    rows = await tx.execute(
        _SELECT_FIRST_STARTS[kind],
        {"organization_id": organization_id, **_ERAS.bind_rows(eras)},
    )
    return [EntityStart(*row) for row in rows]


# The first evidence that an entity exists. A project exists once an experiment is created in it, a
# workspace once a project or a membership starts in it: an entity in use is visible even if the
# event that announces it comes late, or never.
_FIRST_STARTS = {
    "membership": """
        SELECT min(occurred_at) FROM event
        WHERE organization_id = :organization_id AND subject_id = era.entity_id
          AND type = 'member.added' AND occurred_at > era.after AND occurred_at <= era.until
    """,
    "project": """
        SELECT least(
            (SELECT min(occurred_at) FROM event
             WHERE organization_id = :organization_id AND subject_id = era.entity_id
               AND type = 'project.upserted'
               AND occurred_at > era.after AND occurred_at <= era.until),
            (SELECT min(occurred_at) FROM event
             WHERE organization_id = :organization_id AND parent_id = era.entity_id
               AND occurred_at > era.after AND occurred_at <= era.until))
    """,
    "workspace": """
        SELECT min(started_at) FROM (
            SELECT occurred_at AS started_at FROM event
            WHERE organization_id = :organization_id AND subject_id = era.entity_id
              AND type = 'workspace.upserted'
            UNION ALL
            SELECT unnest(started_at) FROM project
            WHERE organization_id = :organization_id AND workspace_id = era.entity_id
            UNION ALL
            SELECT unnest(started_at) FROM membership
            WHERE organization_id = :organization_id AND workspace_id = era.entity_id
        ) AS evidence
        WHERE started_at > era.after AND started_at <= era.until
    """,
}
_ERAS = Columns(Era, entity_id="uuid", after="timestamptz", until="timestamptz")
_SELECT_FIRST_STARTS: Mapping[str, Any] = {
    kind: text(f"""
        SELECT era.entity_id, first.started_at
        FROM {_ERAS.as_rows("era")}
        CROSS JOIN LATERAL ({first_start}) AS first (started_at)
        WHERE first.started_at IS NOT NULL
    """)
    for kind, first_start in _FIRST_STARTS.items()
}


async def select_experiments_of_projects(
    tx: AsyncConnection, organization_id: UUID, project_ids: Collection[UUID]
) -> set[UUID]:
    """Return every experiment that was ever created in, or moved to, one of these projects."""
    if not project_ids:
        return set()
    found = await tx.execute(
        text("""
            SELECT DISTINCT subject_id FROM event
            WHERE organization_id = :organization_id
              AND parent_id = ANY(CAST(:project_ids AS uuid[]))
        """),
        {"organization_id": organization_id, "project_ids": list(project_ids)},
    )
    return set(found.scalars())


_FETCH_SIZE = 1_000
"""Rows fetched at a time: waiting for a row costs more than building it."""


async def select_facts_of_source(
    tx: AsyncConnection, organization_id: UUID, source: str, until: datetime
) -> Sequence[Any]:
    """Return a source's facts about users, members and experiments up to and including an instant.

    Columns: type, data. Rows are in the order in which the facts apply.
    """
    rows = await tx.execute(
        text(f"""
            SELECT type, CAST(data AS text) AS data FROM event
            WHERE organization_id = :organization_id AND source = :source
              AND occurred_at <= :until AND type <> 'usage.recorded'
              AND (type LIKE 'user.%' OR type LIKE 'member.%' OR type LIKE 'experiment.%')
            {_ORDER_OF_APPLICATION}
        """),
        {"organization_id": organization_id, "source": source, "until": until},
    )
    return rows.all()


_ORDER_OF_APPLICATION = """
    ORDER BY occurred_at,
             CASE WHEN type = 'experiment.resized' THEN 1
                  WHEN type LIKE '%.deleted' OR type = 'member.removed' THEN 2
                  ELSE 0 END,
             uid
"""


async def stream_events(
    tx: AsyncConnection, organization_id: UUID, until: datetime
) -> AsyncIterator[Any]:
    """Stream all events before an instant, and all events of users, in the order they apply.

    Columns: uid, type, occurred_at, source, id, data.
    """
    rows = await tx.stream(
        text(f"""
            SELECT uid, type, occurred_at, source, id, CAST(data AS text) AS data
            FROM event
            WHERE organization_id = :organization_id
              AND (occurred_at < :until OR type IN ('user.upserted', 'user.deleted'))
            {_ORDER_OF_APPLICATION}
        """),
        {"organization_id": organization_id, "until": until},
    )
    async for chunk in rows.partitions(_FETCH_SIZE):
        for row in chunk:
            yield row


class ArchivedUsage(NamedTuple):
    """The uses of a channel by a user in a month, whose events were dropped.

    `used_at` is the last use in the month or, if there was none, the month's first instant.
    """

    username: str
    channel: str
    use_count: int
    used_at: datetime


async def select_archived_usage(
    tx: AsyncConnection, organization_id: UUID, before: Month
) -> Sequence[ArchivedUsage]:
    """Return the archived usage of the months before `before`."""
    rows = await tx.execute(
        text("""
            SELECT username, channel, use_count,
                   coalesce(last_used_at, CAST(month AS timestamp) AT TIME ZONE 'UTC') AS used_at
            FROM usage_archive JOIN platform_user USING (organization_id, user_id)
            WHERE organization_id = :organization_id AND month < :before
            ORDER BY month, username, channel
        """),
        {"organization_id": organization_id, "before": before.first_day},
    )
    return [ArchivedUsage(*row) for row in rows]


async def prefer_index_scans(tx: AsyncConnection) -> None:
    """Make this transaction find rows by index, whatever the table statistics say.

    A generic plan made while a table was nearly empty reads the whole table. It stays with the
    connection's prepared statement and is still used when the table has millions of rows. With
    index scans one generic plan serves every batch. With custom plans PostgreSQL would read the
    arrays of each batch twice, and plan each check of a foreign key; only Citus needs them, which
    cannot tell the node of an organization from a generic plan.
    """
    plans = "force_custom_plan" if is_distributed(tx) else "force_generic_plan"
    await set_locally(tx, {"enable_seqscan": "off", "plan_cache_mode": plans})
