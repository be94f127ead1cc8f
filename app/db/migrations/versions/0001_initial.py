"""Initial schema"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001_initial"
down_revision = None

# The table's owner can still drop the trigger, but not by accident and not unnoticed.
_REJECT_CHANGE = """
    CREATE FUNCTION reject_audit_log_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the audit log is append-only: no % of it', TG_OP
            USING ERRCODE = 'insufficient_privilege';
    END $$
"""
_TRIGGER = """
    CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION reject_audit_log_change()
"""
_REQUIRE_REOPENING = """
    CREATE FUNCTION require_recorded_reopening() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF (SELECT action FROM month_close_history
            WHERE organization_id = OLD.organization_id AND month = OLD.month
            ORDER BY number DESC LIMIT 1) IS DISTINCT FROM 'REOPENED'
        THEN RAISE EXCEPTION 'a close is deleted only after its reopening is in the history'
            USING ERRCODE = 'insufficient_privilege';
        END IF;
        RETURN OLD;
    END $$
"""
_REOPENING_TRIGGER = """
    CREATE TRIGGER recorded_reopening BEFORE DELETE ON month_close
    FOR EACH ROW EXECUTE FUNCTION require_recorded_reopening()
"""
# Every batch updates rows of the current month. With room left on the page PostgreSQL updates a
# row in place; otherwise the new version goes to another page and into every index.
_FILL_FACTORS = {"workspace_month": 80, "project_month": 80, "member_month": 80, "user_month": 60}


def upgrade() -> None:
    """Upgrade."""
    _create_tables()
    op.execute("CREATE TABLE event_permanent PARTITION OF event FOR VALUES IN (0)")
    op.execute("CREATE TABLE event_usage PARTITION OF event DEFAULT")
    for table, percent in _FILL_FACTORS.items():
        op.execute(f"ALTER TABLE {table} SET (fillfactor = {percent})")
    op.execute(_REJECT_CHANGE)
    op.execute(_TRIGGER)
    op.execute(_REQUIRE_REOPENING)
    op.execute(_REOPENING_TRIGGER)


def downgrade() -> None:
    """Downgrade."""
    for table in _TABLES:
        op.drop_table(table)
    op.execute("DROP FUNCTION reject_audit_log_change()")
    op.execute("DROP FUNCTION require_recorded_reopening()")


_TABLES = (
    "project_month",
    "price",
    "workspace_month",
    "user_month",
    "usage_archive",
    "source_run",
    "source_checkpoint",
    "session",
    "scim_member",
    "rate",
    "project",
    "membership",
    "member_month",
    "closed_document",
    "charge",
    "assignment",
    "workspace",
    "source",
    "scim_resource",
    "platform_user",
    "month_close_history",
    "month_close",
    "feed_source",
    "feed_day",
    "cost_centre",
    "correction",
    "audit_log",
    "api_key",
    "organization",
    "event",
)


def _create_tables() -> None:
    op.create_table(
        "event",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("uid", sa.Uuid(), nullable=False),
        sa.Column("partition_year", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "uid", "partition_year"),
        postgresql_partition_by="LIST (partition_year)",
    )
    op.create_index(
        "event_by_parent",
        "event",
        ["organization_id", "parent_id", "occurred_at"],
        unique=False,
        postgresql_where=sa.text("parent_id IS NOT NULL"),
    )
    op.create_index(
        "event_by_subject",
        "event",
        ["organization_id", "subject_id", "occurred_at"],
        unique=False,
        postgresql_where=sa.text("type <> 'usage.recorded'"),
    )
    op.create_table(
        "organization",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(collation="C"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("first_month", sa.Date(), nullable=True),
        sa.Column("last_month", sa.Date(), nullable=True),
        sa.Column("first_event_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("latest_event_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_through", sa.Date(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revision", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("ui_measured_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sdk_measured_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("imported_through", sa.Date(), nullable=True),
        sa.Column("currency", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("organization_id"),
    )
    op.create_table(
        "api_key",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("username", sa.String(collation="C"), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.String()), nullable=False),
        sa.Column("cost_centres", postgresql.ARRAY(sa.String()), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.organization_id"],
        ),
        sa.PrimaryKeyConstraint("organization_id", "key_id"),
    )
    op.create_index("api_key_by_id", "api_key", ["key_id"], unique=False)
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
        sa.Column("interface", sa.String(), nullable=False),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.organization_id"],
        ),
        sa.PrimaryKeyConstraint("organization_id", "entry_id"),
    )
    op.create_table(
        "correction",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("booked_month", sa.Date(), nullable=False),
        sa.Column("origin_month", sa.Date(), nullable=False),
        sa.Column("figure", sa.String(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=40, scale=0), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.organization_id"],
        ),
        sa.PrimaryKeyConstraint(
            "organization_id",
            "booked_month",
            "origin_month",
            "figure",
            "workspace_id",
            "project_id",
            "user_id",
        ),
    )
    op.create_table(
        "cost_centre",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.String(collation="C"), nullable=False),
        sa.Column("name", sa.String(collation="C"), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.organization_id"],
        ),
        sa.PrimaryKeyConstraint("organization_id", "code"),
    )
    op.create_table(
        "feed_day",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("accepted", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("duplicates", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("refused", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("refused_batches", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.organization_id"],
        ),
        sa.PrimaryKeyConstraint("organization_id", "day"),
    )
    op.create_table(
        "feed_source",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.String(collation="C"), nullable=False),
        sa.Column("accepted", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("duplicates", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_event_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_received_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.organization_id"],
        ),
        sa.PrimaryKeyConstraint("organization_id", "source"),
    )
    op.create_table(
        "month_close",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_by", sa.String(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ui_measured", sa.Boolean(), nullable=False),
        sa.Column("sdk_measured", sa.Boolean(), nullable=False),
        sa.Column("rows_hash", sa.String(), nullable=False),
        sa.Column("imported_from", sa.String(), nullable=True),
        sa.Column("imported_sha256", sa.String(), nullable=True),
        sa.Column("currency", sa.String(), nullable=True),
        sa.Column("charges_hash", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.organization_id"],
        ),
        sa.PrimaryKeyConstraint("organization_id", "month"),
    )
    op.create_table(
        "month_close_history",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("happened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("username", sa.String(collation="C"), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("rows_hash", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.organization_id"],
        ),
        sa.PrimaryKeyConstraint("organization_id", "number"),
    )
    op.create_table(
        "platform_user",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("username", sa.String(collation="C"), nullable=False),
        sa.Column("email", sa.String(), nullable=True),
        sa.Column("role", sa.String(), nullable=True),
        sa.Column("suspended", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.organization_id"],
        ),
        sa.PrimaryKeyConstraint("organization_id", "user_id"),
    )
    op.create_index(
        "platform_user_by_username", "platform_user", ["username", "organization_id"], unique=True
    )
    op.create_table(
        "scim_resource",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("resource_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(collation="C"), nullable=False),
        sa.Column("name_key", sa.String(collation="C"), nullable=False),
        sa.Column("external_id", sa.String(), nullable=True),
        sa.Column("attributes", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("modified_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.organization_id"],
        ),
        sa.PrimaryKeyConstraint("organization_id", "resource_id"),
    )
    op.create_index(
        "scim_resource_by_external_id",
        "scim_resource",
        ["organization_id", "kind", "external_id"],
        unique=False,
    )
    op.create_index(
        "scim_resource_by_name",
        "scim_resource",
        ["organization_id", "kind", "name_key"],
        unique=True,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "scim_resource_in_order",
        "scim_resource",
        ["organization_id", "kind", "created_at", "resource_id"],
        unique=False,
    )
    op.create_index(
        "scim_resource_last_changed",
        "scim_resource",
        ["organization_id", "modified_at"],
        unique=False,
    )
    op.create_table(
        "source",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.String(collation="C"), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("connected_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.organization_id"],
        ),
        sa.PrimaryKeyConstraint("organization_id", "source"),
    )
    op.create_table(
        "workspace",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(collation="C"), nullable=False),
        sa.Column(
            "started_at",
            postgresql.ARRAY(sa.DateTime(timezone=True)),
            server_default="{}",
            nullable=False,
        ),
        sa.Column(
            "ended_at",
            postgresql.ARRAY(sa.DateTime(timezone=True)),
            server_default="{}",
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.organization_id"],
        ),
        sa.PrimaryKeyConstraint("organization_id", "workspace_id"),
    )
    op.create_table(
        "assignment",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("entity_id", sa.Uuid(), nullable=False),
        sa.Column("from_month", sa.Date(), nullable=False),
        sa.Column("cost_centre", sa.String(collation="C"), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id", "cost_centre"],
            ["cost_centre.organization_id", "cost_centre.code"],
        ),
        sa.PrimaryKeyConstraint("organization_id", "kind", "entity_id", "from_month"),
    )
    op.create_table(
        "charge",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("rate", sa.String(collation="C"), nullable=False),
        sa.Column("rate_name", sa.String(), nullable=False),
        sa.Column("measure", sa.String(), nullable=False),
        sa.Column("split", sa.String(), nullable=True),
        sa.Column("cost_centre", sa.String(collation="C"), nullable=True),
        sa.Column("cost_centre_name", sa.String(), nullable=True),
        sa.Column("workspace_id", sa.Uuid(), nullable=True),
        sa.Column("workspace", sa.String(), nullable=True),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("username", sa.String(collation="C"), nullable=True),
        sa.Column("origin_month", sa.Date(), nullable=True),
        sa.Column("quantity_numerator", sa.Numeric(precision=60, scale=0), nullable=False),
        sa.Column("quantity_denominator", sa.Numeric(precision=60, scale=0), nullable=False),
        sa.Column("price", sa.Numeric(precision=20, scale=10), nullable=False),
        sa.Column("booked", sa.Numeric(precision=60, scale=0), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "month"],
            ["month_close.organization_id", "month_close.month"],
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("organization_id", "month", "number"),
    )
    op.create_table(
        "closed_document",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("etag", sa.String(), nullable=False),
        sa.Column("gzipped", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "month"],
            ["month_close.organization_id", "month_close.month"],
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("organization_id", "month"),
    )
    op.create_table(
        "member_month",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("username", sa.String(collation="C"), nullable=False),
        sa.Column("present", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("experiments", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("unmeasured", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "experiments_created", sa.BigInteger(), server_default=sa.text("0"), nullable=False
        ),
        sa.Column(
            "size_bytes",
            sa.Numeric(precision=40, scale=0),
            server_default=sa.text("0"),
            nullable=False,
        ),
        sa.Column(
            "byte_microseconds",
            sa.Numeric(precision=40, scale=0),
            server_default=sa.text("0"),
            nullable=False,
        ),
        sa.Column("last_experiment_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id", "user_id"],
            ["platform_user.organization_id", "platform_user.user_id"],
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "workspace_id"],
            ["workspace.organization_id", "workspace.workspace_id"],
        ),
        sa.PrimaryKeyConstraint("organization_id", "month", "workspace_id", "user_id"),
    )
    op.create_index(
        "member_month_by_username",
        "member_month",
        ["organization_id", "month", "workspace_id", "username"],
        unique=False,
    )
    op.create_table(
        "membership",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column(
            "started_at",
            postgresql.ARRAY(sa.DateTime(timezone=True)),
            server_default="{}",
            nullable=False,
        ),
        sa.Column(
            "ended_at",
            postgresql.ARRAY(sa.DateTime(timezone=True)),
            server_default="{}",
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "user_id"],
            ["platform_user.organization_id", "platform_user.user_id"],
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "workspace_id"],
            ["workspace.organization_id", "workspace.workspace_id"],
        ),
        sa.PrimaryKeyConstraint("organization_id", "member_id"),
    )
    op.create_index(
        "membership_by_user", "membership", ["user_id", "organization_id"], unique=False
    )
    op.create_index(
        "membership_by_workspace", "membership", ["workspace_id", "organization_id"], unique=False
    )
    op.create_table(
        "project",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(collation="C"), nullable=False),
        sa.Column(
            "started_at",
            postgresql.ARRAY(sa.DateTime(timezone=True)),
            server_default="{}",
            nullable=False,
        ),
        sa.Column(
            "ended_at",
            postgresql.ARRAY(sa.DateTime(timezone=True)),
            server_default="{}",
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "workspace_id"],
            ["workspace.organization_id", "workspace.workspace_id"],
        ),
        sa.PrimaryKeyConstraint("organization_id", "project_id"),
    )
    op.create_index(
        "project_by_workspace", "project", ["workspace_id", "organization_id"], unique=False
    )
    op.create_table(
        "rate",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.String(collation="C"), nullable=False),
        sa.Column("name", sa.String(collation="C"), nullable=False),
        sa.Column("measure", sa.String(), nullable=False),
        sa.Column("split", sa.String(), nullable=True),
        sa.Column("cost_centre", sa.String(collation="C"), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id", "cost_centre"],
            ["cost_centre.organization_id", "cost_centre.code"],
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.organization_id"],
        ),
        sa.PrimaryKeyConstraint("organization_id", "code"),
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
    op.create_index(
        "scim_member_of_user", "scim_member", ["organization_id", "user_id"], unique=False
    )
    op.create_table(
        "session",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "key_id"],
            ["api_key.organization_id", "api_key.key_id"],
        ),
        sa.PrimaryKeyConstraint("organization_id", "token_hash"),
    )
    op.create_index("session_by_token", "session", ["token_hash"], unique=False)
    op.create_table(
        "source_checkpoint",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.String(collation="C"), nullable=False),
        sa.Column("family", sa.String(collation="C"), nullable=False),
        sa.Column("key", sa.String(collation="C"), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "source"],
            ["source.organization_id", "source.source"],
        ),
        sa.PrimaryKeyConstraint("organization_id", "source", "family", "key"),
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
        sa.Column(
            "skipped", postgresql.JSONB(astext_type=sa.Text()), server_default="[]", nullable=False
        ),
        sa.Column("error", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id", "source"],
            ["source.organization_id", "source.source"],
        ),
        sa.PrimaryKeyConstraint("organization_id", "source", "number"),
    )
    op.create_table(
        "usage_archive",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("use_count", sa.BigInteger(), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("event_count", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "user_id"],
            ["platform_user.organization_id", "platform_user.user_id"],
        ),
        sa.PrimaryKeyConstraint("organization_id", "month", "user_id", "channel"),
    )
    op.create_table(
        "user_month",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("username", sa.String(collation="C"), nullable=False),
        sa.Column("licensed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("email", sa.String(), nullable=True),
        sa.Column("role", sa.String(), nullable=True),
        sa.Column(
            "service_account", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
        sa.Column("suspended", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at_is_inferred", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ui_usage_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("ui_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sdk_usage_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("sdk_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("experiments", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("unmeasured", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "experiments_created", sa.BigInteger(), server_default=sa.text("0"), nullable=False
        ),
        sa.Column(
            "size_bytes",
            sa.Numeric(precision=40, scale=0),
            server_default=sa.text("0"),
            nullable=False,
        ),
        sa.Column(
            "byte_microseconds",
            sa.Numeric(precision=40, scale=0),
            server_default=sa.text("0"),
            nullable=False,
        ),
        sa.Column("last_experiment_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id", "user_id"],
            ["platform_user.organization_id", "platform_user.user_id"],
        ),
        sa.PrimaryKeyConstraint("organization_id", "month", "user_id"),
    )
    op.create_index(
        "user_month_by_username",
        "user_month",
        ["organization_id", "month", "username"],
        unique=False,
    )
    op.create_table(
        "workspace_month",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(collation="C"), nullable=False),
        sa.Column("present", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("experiments", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("unmeasured", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "experiments_created", sa.BigInteger(), server_default=sa.text("0"), nullable=False
        ),
        sa.Column(
            "size_bytes",
            sa.Numeric(precision=40, scale=0),
            server_default=sa.text("0"),
            nullable=False,
        ),
        sa.Column(
            "byte_microseconds",
            sa.Numeric(precision=40, scale=0),
            server_default=sa.text("0"),
            nullable=False,
        ),
        sa.Column("last_experiment_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id", "workspace_id"],
            ["workspace.organization_id", "workspace.workspace_id"],
        ),
        sa.PrimaryKeyConstraint("organization_id", "month", "workspace_id"),
    )
    op.create_index(
        "workspace_month_by_name",
        "workspace_month",
        ["organization_id", "month", "name"],
        unique=False,
    )
    op.create_table(
        "price",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("rate", sa.String(collation="C"), nullable=False),
        sa.Column("from_month", sa.Date(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=20, scale=10), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id", "rate"],
            ["rate.organization_id", "rate.code"],
        ),
        sa.PrimaryKeyConstraint("organization_id", "rate", "from_month"),
    )
    op.create_table(
        "project_month",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(collation="C"), nullable=False),
        sa.Column("present", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("experiments", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("unmeasured", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "experiments_created", sa.BigInteger(), server_default=sa.text("0"), nullable=False
        ),
        sa.Column(
            "size_bytes",
            sa.Numeric(precision=40, scale=0),
            server_default=sa.text("0"),
            nullable=False,
        ),
        sa.Column(
            "byte_microseconds",
            sa.Numeric(precision=40, scale=0),
            server_default=sa.text("0"),
            nullable=False,
        ),
        sa.Column("last_experiment_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id", "project_id"],
            ["project.organization_id", "project.project_id"],
        ),
        sa.PrimaryKeyConstraint("organization_id", "month", "workspace_id", "project_id"),
    )
    op.create_index(
        "project_month_by_name",
        "project_month",
        ["organization_id", "month", "workspace_id", "name"],
        unique=False,
    )
