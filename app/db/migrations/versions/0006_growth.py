"""Usage events in a partition per year of arrival, their archive, and what the feed did by day"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"

_COLUMNS = (
    "organization_id, uid, type, occurred_at, received_at, subject_id, parent_id, source, id, data"
)
_MONTH_TABLES = ("workspace_month", "project_month", "member_month", "user_month")


def upgrade() -> None:
    _set_aside()
    op.create_table(
        "event",
        *_event_columns(),
        sa.Column("shelf", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "uid", "shelf"),
        postgresql_partition_by="LIST (shelf)",
    )
    _create_indexes()
    op.execute("CREATE TABLE event_fact PARTITION OF event FOR VALUES IN (0)")
    op.execute("CREATE TABLE event_usage PARTITION OF event DEFAULT")
    op.execute(f"""
        INSERT INTO event ({_COLUMNS}, shelf)
        SELECT {_COLUMNS}, CASE type WHEN 'usage.recorded'
            THEN extract(year FROM received_at AT TIME ZONE 'UTC') ELSE 0 END
        FROM event_before
    """)
    op.drop_table("event_before")
    op.create_table(
        "usage_archive",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("uses", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "user_id"], ["account.organization_id", "account.user_id"]
        ),
        sa.PrimaryKeyConstraint("organization_id", "month", "user_id", "channel"),
    )
    op.create_table(
        "feed_source",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.String(collation="C"), nullable=False),
        sa.Column("accepted", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("duplicates", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_event_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_received_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["organization_id"], ["organization.organization_id"]),
        sa.PrimaryKeyConstraint("organization_id", "source"),
    )
    op.create_table(
        "feed_day",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("accepted", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("duplicates", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("refused", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("refused_batches", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(["organization_id"], ["organization.organization_id"]),
        sa.PrimaryKeyConstraint("organization_id", "day"),
    )
    # Rows of the current month are updated by every batch: with room on their page, in place.
    for table in _MONTH_TABLES:
        op.execute(f"ALTER TABLE {table} SET (fillfactor = 80)")


def downgrade() -> None:
    for table in _MONTH_TABLES:
        op.execute(f"ALTER TABLE {table} RESET (fillfactor)")
    op.drop_table("feed_day")
    op.drop_table("feed_source")
    op.drop_table("usage_archive")
    _set_aside()
    op.create_table(
        "event",
        *_event_columns(),
        sa.ForeignKeyConstraint(["organization_id"], ["organization.organization_id"]),
        sa.PrimaryKeyConstraint("organization_id", "uid"),
    )
    _create_indexes()
    op.execute(f"INSERT INTO event ({_COLUMNS}) SELECT {_COLUMNS} FROM event_before")
    op.drop_table("event_before")


def _set_aside() -> None:
    op.drop_index("event_of_subject", "event")
    op.drop_index("event_within_parent", "event")
    op.execute("ALTER TABLE event RENAME TO event_before")
    op.execute("ALTER TABLE event_before RENAME CONSTRAINT event_pkey TO event_before_pkey")


def _event_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("uid", sa.Uuid(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("data", postgresql.JSONB(), nullable=False),
    ]


def _create_indexes() -> None:
    op.create_index(
        "event_of_subject",
        "event",
        ["organization_id", "subject_id", "occurred_at"],
        postgresql_where=sa.text("type <> 'usage.recorded'"),
    )
    op.create_index(
        "event_within_parent",
        "event",
        ["organization_id", "parent_id", "occurred_at"],
        postgresql_where=sa.text("parent_id IS NOT NULL"),
    )
