"""Users and groups as SCIM clients provisioned them."""

from sqlalchemy import BigInteger, ForeignKeyConstraint, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db.tables.base import Base, Instant, Key, Name, OptionalInstant, foreign_key


class ScimResource(Base):
    """A user or group as a SCIM client sent it; a deleted one keeps no attributes."""

    __tablename__ = "scim_resource"

    organization_id: Mapped[Key]
    resource_id: Mapped[Key]
    kind: Mapped[str]
    name: Mapped[Name]
    # Unique within a kind: the case-folded username, or the exact name of a workspace.
    name_key: Mapped[Name]
    external_id: Mapped[str | None]
    attributes: Mapped[dict[str, object]] = mapped_column(JSONB)
    version: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[Instant]
    modified_at: Mapped[Instant]
    deleted_at: Mapped[OptionalInstant]

    __table_args__ = (
        foreign_key(of="organization"),
        Index(
            "scim_resource_by_name",
            "organization_id",
            "kind",
            "name_key",
            unique=True,
            postgresql_where=text("deleted_at IS NULL"),
        ),
        Index("scim_resource_by_external_id", "organization_id", "kind", "external_id"),
        Index("scim_resource_in_order", "organization_id", "kind", "created_at", "resource_id"),
        Index("scim_resource_last_changed", "organization_id", "modified_at"),
    )


class ScimMember(Base):
    """A user in a group; both are SCIM resources."""

    __tablename__ = "scim_member"

    organization_id: Mapped[Key]
    group_id: Mapped[Key]
    user_id: Mapped[Key]

    __table_args__ = (
        ForeignKeyConstraint(
            ["organization_id", "group_id"],
            ["scim_resource.organization_id", "scim_resource.resource_id"],
        ),
        ForeignKeyConstraint(
            ["organization_id", "user_id"],
            ["scim_resource.organization_id", "scim_resource.resource_id"],
        ),
        Index("scim_member_of_user", "organization_id", "user_id"),
    )
