"""The audit log"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"

# Whoever owns the table may still drop the trigger: that is seen, and is no accident.
_REFUSE = """
    CREATE FUNCTION refuse_change_of_audit_log() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the audit log is append-only: no % of it', TG_OP
            USING ERRCODE = 'insufficient_privilege';
    END $$
"""
_TRIGGER = """
    CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_audit_log()
"""


def upgrade() -> None:
    """Upgrade."""
    op.create_table(
        "audit_log",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("entry_id", sa.Uuid(), nullable=False),
        sa.Column("happened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("username", sa.String(collation="C"), nullable=True),
        sa.Column("key_id", sa.String(), nullable=True),
        sa.Column("address", sa.String(), nullable=True),
        sa.Column("door", sa.String(), nullable=False),
        sa.Column("detail", postgresql.JSONB(), nullable=False),
        sa.ForeignKeyConstraint(["organization_id"], ["organization.organization_id"]),
        sa.PrimaryKeyConstraint("organization_id", "entry_id"),
    )
    op.execute(_REFUSE)
    op.execute(_TRIGGER)


def downgrade() -> None:
    """Downgrade."""
    op.drop_table("audit_log")
    op.execute("DROP FUNCTION refuse_change_of_audit_log()")
