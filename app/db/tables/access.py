"""API keys, browser sessions and the audit log."""

from sqlalchemy import Index, String
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db.tables.base import Base, Instant, Key, Name, OptionalInstant, foreign_key


class ApiKey(Base):
    """An API key, with a keyed hash of its secret."""

    __tablename__ = "api_key"

    organization_id: Mapped[Key]
    key_id: Mapped[str] = mapped_column(primary_key=True)
    username: Mapped[Name]
    label: Mapped[str]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(String))
    # Whose statements the scope statement:read covers; empty without that scope.
    cost_centres: Mapped[list[str]] = mapped_column(ARRAY(String))
    secret_hash: Mapped[bytes]
    created_at: Mapped[Instant]
    expires_at: Mapped[OptionalInstant]
    revoked_at: Mapped[OptionalInstant]
    last_used_at: Mapped[OptionalInstant]

    __table_args__ = (
        foreign_key(of="organization"),
        Index("api_key_by_id", "key_id"),
    )


class Session(Base):
    """A browser session. It ends when it expires, with its API key, or when the user signs out."""

    __tablename__ = "session"

    organization_id: Mapped[Key]
    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    key_id: Mapped[str]
    created_at: Mapped[Instant]
    expires_at: Mapped[Instant]

    __table_args__ = (
        foreign_key("key_id", of="api_key"),
        Index("session_by_token", "token_hash"),
    )


class AuditLog(Base):
    """The audit log: who did what, when, from where, with which key and outcome. Append-only."""

    __tablename__ = "audit_log"

    organization_id: Mapped[Key]
    # Version 7: by time, so that a page follows from the last id seen.
    entry_id: Mapped[Key]
    happened_at: Mapped[Instant]
    action: Mapped[str]
    target: Mapped[str]
    outcome: Mapped[str]
    username: Mapped[str | None] = mapped_column(String(collation="C"))
    key_id: Mapped[str | None]
    address: Mapped[str | None]
    interface: Mapped[str]
    detail: Mapped[dict[str, object]] = mapped_column(JSONB)

    __table_args__ = (foreign_key(of="organization"),)
