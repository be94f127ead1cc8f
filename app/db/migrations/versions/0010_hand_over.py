"""From which month on live sources tell what imported reports told before"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("organization", sa.Column("hand_over", sa.Date(), nullable=True))


def downgrade() -> None:
    op.drop_column("organization", "hand_over")
