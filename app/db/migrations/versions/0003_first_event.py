"""When an organization's first event happened"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column(
        "organization", sa.Column("first_event_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.execute("""
        UPDATE organization SET first_event_at = (
            SELECT min(occurred_at) FROM event
            WHERE event.organization_id = organization.organization_id)
    """)


def downgrade() -> None:
    op.drop_column("organization", "first_event_at")
