"""Sources, their runs, and what they remember"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "source",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.String(collation="C"), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("connected_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["organization_id"], ["organization.organization_id"]),
        sa.PrimaryKeyConstraint("organization_id", "source"),
    )
    op.create_table(
        "source_run",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.String(collation="C"), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("accepted", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("duplicates", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("skipped_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("skipped", postgresql.JSONB(), server_default="[]", nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id", "source"], ["source.organization_id", "source.source"]
        ),
        sa.PrimaryKeyConstraint("organization_id", "source", "number"),
    )
    op.create_table(
        "source_checkpoint",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.String(collation="C"), nullable=False),
        sa.Column("family", sa.String(collation="C"), nullable=False),
        sa.Column("key", sa.String(collation="C"), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "source"], ["source.organization_id", "source.source"]
        ),
        sa.PrimaryKeyConstraint("organization_id", "source", "family", "key"),
    )


def downgrade() -> None:
    op.drop_table("source_checkpoint")
    op.drop_table("source_run")
    op.drop_table("source")
