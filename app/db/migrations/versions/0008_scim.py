"""What SCIM clients said of users and groups"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "scim_resource",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("resource_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(collation="C"), nullable=False),
        sa.Column("name_key", sa.String(collation="C"), nullable=False),
        sa.Column("external_id", sa.String(), nullable=True),
        sa.Column("attributes", postgresql.JSONB(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("modified_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["organization_id"], ["organization.organization_id"]),
        sa.PrimaryKeyConstraint("organization_id", "resource_id"),
    )
    op.create_index(
        "scim_resource_by_name",
        "scim_resource",
        ["organization_id", "kind", "name_key"],
        unique=True,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "scim_resource_by_external_id",
        "scim_resource",
        ["organization_id", "kind", "external_id"],
    )
    op.create_index(
        "scim_resource_in_order",
        "scim_resource",
        ["organization_id", "kind", "created_at", "resource_id"],
    )
    op.create_index(
        "scim_resource_last_changed", "scim_resource", ["organization_id", "modified_at"]
    )
    op.create_table(
        "scim_member",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("group_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "group_id"],
            ["scim_resource.organization_id", "scim_resource.resource_id"],
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "user_id"],
            ["scim_resource.organization_id", "scim_resource.resource_id"],
        ),
        sa.PrimaryKeyConstraint("organization_id", "group_id", "user_id"),
    )
    op.create_index("scim_member_of_user", "scim_member", ["organization_id", "user_id"])


def downgrade() -> None:
    op.drop_table("scim_member")
    op.drop_table("scim_resource")
