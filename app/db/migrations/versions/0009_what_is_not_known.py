"""How many experiments have an unknown size, and which accounts an unknown creation"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_KEYS = {
    "workspace_month": ("workspace_id",),
    "project_month": ("workspace_id", "project_id"),
    "member_month": ("workspace_id", "user_id"),
    "user_month": ("user_id",),
}

# By month: the experiments that exist at its end, and of which nothing has said a size since they
# were last deleted. An experiment is where it was created last, and ends with its project.
_UNMEASURED = """
    CREATE TEMPORARY TABLE unmeasured ON COMMIT DROP AS
    SELECT span.organization_id, span.month, project.workspace_id, project.project_id,
           account.user_id
    FROM (
        SELECT DISTINCT organization_id, month,
               (month + interval '1 month') AT TIME ZONE 'UTC' AS until
        FROM workspace_month
    ) AS span
    CROSS JOIN LATERAL (
        SELECT DISTINCT ON (subject_id) subject_id, parent_id, occurred_at,
               data ->> 'username' AS username
        FROM event
        WHERE organization_id = span.organization_id AND type = 'experiment.created'
          AND occurred_at < span.until
        ORDER BY subject_id, occurred_at DESC, uid DESC
    ) AS placed
    JOIN project ON project.organization_id = span.organization_id
                AND project.project_id = placed.parent_id
    JOIN account ON account.organization_id = span.organization_id
                AND account.username = placed.username
    WHERE NOT EXISTS (
        SELECT FROM event
        WHERE organization_id = span.organization_id AND subject_id = placed.subject_id
          AND type = 'experiment.deleted'
          AND occurred_at >= placed.occurred_at AND occurred_at < span.until
    ) AND NOT EXISTS (
        SELECT FROM unnest(project.ended_at) AS death (ended_at)
        WHERE ended_at >= placed.occurred_at AND ended_at < span.until
    ) AND NOT EXISTS (
        SELECT FROM event AS said
        WHERE said.organization_id = span.organization_id
          AND said.subject_id = placed.subject_id
          AND said.data ->> 'sizeBytes' IS NOT NULL AND said.occurred_at < span.until
          AND said.occurred_at > coalesce((
              SELECT max(occurred_at) FROM event
              WHERE organization_id = span.organization_id AND subject_id = placed.subject_id
                AND type = 'experiment.deleted' AND occurred_at < placed.occurred_at
          ), '-infinity')
    )
"""

_FIRST_SIGN = """
    UPDATE user_month SET created_at_is_first_sign = NOT EXISTS (
        SELECT FROM event
        WHERE event.organization_id = user_month.organization_id
          AND event.subject_id = user_month.user_id
          AND type = 'user.upserted' AND data ->> 'createdAt' IS NOT NULL
          AND (occurred_at < (month + interval '1 month') AT TIME ZONE 'UTC'
               OR CAST(data ->> 'createdAt' AS timestamptz) = created_at)
    )
    WHERE created_at IS NOT NULL
"""

_ROWS = ", ".join(
    f"""(SELECT string_agg(CAST(shown AS text), E'\\n' ORDER BY CAST(shown AS text))
         FROM {table} AS shown
         WHERE shown.organization_id = month_close.organization_id
           AND shown.month = month_close.month)"""
    for table in _KEYS
)


def upgrade() -> None:
    for table in _KEYS:
        op.add_column(
            table, sa.Column("unmeasured", sa.BigInteger(), nullable=False, server_default="0")
        )
    op.add_column(
        "user_month",
        sa.Column(
            "created_at_is_first_sign", sa.Boolean(), nullable=False, server_default=sa.false()
        ),
    )
    op.execute(_UNMEASURED)
    for table, keys in _KEYS.items():
        op.execute(f"""
            UPDATE {table} AS kept SET unmeasured = counted.number
            FROM (SELECT organization_id, month, {", ".join(keys)}, count(*) AS number
                  FROM unmeasured GROUP BY organization_id, month, {", ".join(keys)}) AS counted
            WHERE kept.organization_id = counted.organization_id AND kept.month = counted.month
              AND {" AND ".join(f"kept.{key} = counted.{key}" for key in keys)}
        """)
    op.execute(_FIRST_SIGN)
    _hash_anew()


def downgrade() -> None:
    op.drop_column("user_month", "created_at_is_first_sign")
    for table in _KEYS:
        op.drop_column(table, "unmeasured")
    _hash_anew()


def _hash_anew() -> None:
    """The rows of closed months say the same with other columns; documents follow their tags."""
    op.execute("DELETE FROM closed_document")
    op.execute(f"""
        UPDATE month_close SET rows_hash =
            encode(sha256(convert_to(concat_ws(E'\\n\\n', {_ROWS}), 'UTF8')), 'hex')
    """)
