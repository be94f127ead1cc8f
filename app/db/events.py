"""Statements of the event table: facts go in once, timelines come out."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.unnest import Columns, array_expression, format_array


class EventColumns(NamedTuple):
    """Events as they are stored, less the organization and the moment of their arrival.

    Each column has one value for each event, in the same order.
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
    """Which of these uids are stored already."""
    found = await tx.execute(
        _SELECT_KNOWN, {"organization_id": organization_id, "uids": format_array(uids)}
    )
    return set(found.scalars())


_SELECT_KNOWN = text(f"""
    SELECT uid FROM event
    WHERE organization_id = :organization_id
      AND uid = ANY(CAST((SELECT {array_expression("uids", "uuid")}) AS uuid[]))
""")


async def insert_events(
    tx: AsyncConnection,
    organization_id: UUID,
    events: EventColumns,
    data: bytes,
    received_at: datetime,
) -> None:
    """Store events that are not there yet; `data` is the JSON array of their data."""
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
    INSERT INTO event (organization_id, received_at, shelf, {_EVENTS.names}, data)
    SELECT CAST(:organization_id AS uuid), CAST(:received_at AS timestamptz),
           CASE type WHEN 'usage.recorded' THEN CAST(:year AS smallint) ELSE 0 END,
           {_EVENTS.names}, data
    FROM ROWS FROM ({_EVENTS.unnest_call}, jsonb_array_elements(CAST(:data AS jsonb)))
         AS fresh ({_EVENTS.names}, data)
""")


async def select_facts(
    tx: AsyncConnection, organization_id: UUID, subject_ids: Collection[UUID], types: Sequence[str]
) -> Sequence[Any]:
    """All facts of these types about these subjects: subject_id, uid, type, occurred_at, data."""
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


# One lookup per subject, fenced off by OFFSET 0: a list of thousands of subjects lets PostgreSQL
# believe that reading all facts of the organization is less work, while it knows little of them.
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
    """A stretch of a thing's time between two of its deaths: after one, up to the next."""

    thing_id: UUID
    after: datetime
    until: datetime


async def select_first_births(
    tx: AsyncConnection, organization_id: UUID, eras: Sequence[Era], births: str
) -> Sequence[Any]:
    """The first birth in each era that has one: thing_id, started_at.

    `births` is one of the `…_BIRTHS` below: what the existence of that kind of thing follows from.
    """
    found = await tx.execute(
        _FIRST_BIRTHS[births],
        {"organization_id": organization_id, **_ERAS.bind_rows(eras)},
    )
    return found.all()


# What proves that a thing exists. A project exists where an experiment is created in it, a
# workspace where a project or a membership begins in it: nothing that is used stays invisible
# because its announcement is late, or never comes.
_BIRTHS = {
    "membership": """
        SELECT min(occurred_at) FROM event
        WHERE organization_id = :organization_id AND subject_id = era.thing_id
          AND type = 'member.added' AND occurred_at > era.after AND occurred_at <= era.until
    """,
    "project": """
        SELECT least(
            (SELECT min(occurred_at) FROM event
             WHERE organization_id = :organization_id AND subject_id = era.thing_id
               AND type = 'project.upserted'
               AND occurred_at > era.after AND occurred_at <= era.until),
            (SELECT min(occurred_at) FROM event
             WHERE organization_id = :organization_id AND parent_id = era.thing_id
               AND occurred_at > era.after AND occurred_at <= era.until))
    """,
    "workspace": """
        SELECT min(started_at) FROM (
            SELECT occurred_at AS started_at FROM event
            WHERE organization_id = :organization_id AND subject_id = era.thing_id
              AND type = 'workspace.upserted'
            UNION ALL
            SELECT unnest(started_at) FROM project
            WHERE organization_id = :organization_id AND workspace_id = era.thing_id
            UNION ALL
            SELECT unnest(started_at) FROM membership
            WHERE organization_id = :organization_id AND workspace_id = era.thing_id
        ) AS birth
        WHERE started_at > era.after AND started_at <= era.until
    """,
}
_ERAS = Columns(Era, thing_id="uuid", after="timestamptz", until="timestamptz")
_FIRST_BIRTHS: Mapping[str, Any] = {
    kind: text(f"""
        SELECT era.thing_id, birth.started_at
        FROM {_ERAS.as_rows("era")}
        CROSS JOIN LATERAL ({births}) AS birth (started_at)
        WHERE birth.started_at IS NOT NULL
    """)
    for kind, births in _BIRTHS.items()
}


async def select_experiments_of_projects(
    tx: AsyncConnection, organization_id: UUID, project_ids: Collection[UUID]
) -> set[UUID]:
    """Every experiment that was ever created in, or moved to, one of these projects."""
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


async def stream_experiments_of_source(
    tx: AsyncConnection, organization_id: UUID, source: str, until: datetime
) -> AsyncIterator[Any]:
    """What a source said of experiments before an instant, and what ended them with their place.

    Columns: type, data; in the order in which they apply.
    """
    rows = await tx.stream(
        text(f"""
            SELECT type, CAST(data AS text) AS data FROM event
            WHERE organization_id = :organization_id AND occurred_at < :until
              AND ((source = :source AND type LIKE 'experiment.%')
                   OR type IN ('project.deleted', 'workspace.deleted'))
            {_AS_THEY_APPLY}
        """),
        {"organization_id": organization_id, "source": source, "until": until},
    )
    async for part in rows.partitions(_ROWS_TOGETHER):
        for row in part:
            yield row


_ROWS_TOGETHER = 1_000
"""Rows that are waited for at once: waiting for one costs more than making it."""


async def select_facts_of_source(
    tx: AsyncConnection, organization_id: UUID, source: str, until: datetime
) -> Sequence[Any]:
    """What a source said of users, members and experiments until an instant, that included.

    Columns: type, data; in the order in which they apply.
    """
    found = await tx.execute(
        text(f"""
            SELECT type, CAST(data AS text) AS data FROM event
            WHERE organization_id = :organization_id AND source = :source
              AND occurred_at <= :until AND type <> 'usage.recorded'
              AND (type LIKE 'user.%' OR type LIKE 'member.%' OR type LIKE 'experiment.%')
            {_AS_THEY_APPLY}
        """),
        {"organization_id": organization_id, "source": source, "until": until},
    )
    return found.all()


_AS_THEY_APPLY = """
    ORDER BY occurred_at,
             CASE WHEN type = 'experiment.resized' THEN 1
                  WHEN type LIKE '%.deleted' OR type = 'member.removed' THEN 2
                  ELSE 0 END,
             uid
"""


async def stream_events(
    tx: AsyncConnection, organization_id: UUID, until: datetime
) -> AsyncIterator[Any]:
    """All events before an instant, and all of users: uid, type, occurred_at, source, id, data."""
    rows = await tx.stream(
        text(f"""
            SELECT uid, type, occurred_at, source, id, CAST(data AS text) AS data
            FROM event
            WHERE organization_id = :organization_id
              AND (occurred_at < :until OR type IN ('user.upserted', 'user.deleted'))
            {_AS_THEY_APPLY}
        """),
        {"organization_id": organization_id, "until": until},
    )
    async for part in rows.partitions(_ROWS_TOGETHER):
        for row in part:
            yield row


async def select_archived_usage(
    tx: AsyncConnection, organization_id: UUID, until: date
) -> Sequence[Any]:
    """What dropped usage events of months before that day came to: username, channel, uses.

    `at` is the last use in the month or, when there was none, the month's first instant.
    """
    found = await tx.execute(
        text("""
            SELECT username, channel, uses,
                   coalesce(used_at, CAST(month AS timestamp) AT TIME ZONE 'UTC') AS at
            FROM usage_archive JOIN account USING (organization_id, user_id)
            WHERE organization_id = :organization_id AND month < :until
            ORDER BY month, username, channel
        """),
        {"organization_id": organization_id, "until": until},
    )
    return found.all()


async def plan_by_index(tx: AsyncConnection) -> None:
    """Let this transaction's statements find rows by index, whatever PostgreSQL knows of tables.

    A plan that was made while a table was nearly empty reads all of it; kept for a connection's
    prepared statement, it is still used when the table has millions of rows. By index one plan
    serves every batch; to plan for each would read its arrays once more. Only of tables that
    PostgreSQL never looked at is nothing so cheap as reading all of them, again for each row.
    """
    await tx.execute(
        text("""
            SELECT set_config('enable_seqscan', 'off', true),
                   set_config('plan_cache_mode',
                              CASE WHEN reltuples > 0 THEN 'force_generic_plan'
                                   ELSE 'force_custom_plan' END, true)
            FROM pg_class WHERE oid = to_regclass('account')
        """)
    )
