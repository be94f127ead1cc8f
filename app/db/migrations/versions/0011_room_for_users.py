"""Room on the pages of users' month rows, of which each batch updates half"""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    # Where no room is left for a row's new version it goes to another page, and into each index.
    op.execute("ALTER TABLE user_month SET (fillfactor = 60)")


def downgrade() -> None:
    op.execute("ALTER TABLE user_month SET (fillfactor = 80)")
