"""Months that imported reports state"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("month_close", sa.Column("imported_from", sa.String(), nullable=True))
    op.add_column("month_close", sa.Column("imported_digest", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("month_close", "imported_digest")
    op.drop_column("month_close", "imported_from")
