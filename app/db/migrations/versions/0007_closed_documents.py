"""Documents of closed months, packed"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "closed_document",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("tag", sa.String(), nullable=False),
        sa.Column("packed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "month"],
            ["month_close.organization_id", "month_close.month"],
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("organization_id", "month"),
    )


def downgrade() -> None:
    op.drop_table("closed_document")
