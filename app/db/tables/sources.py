"""Configured sources, their runs and checkpoints."""

from sqlalchemy import BigInteger, String
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db.tables.base import Amount, Base, Instant, Key, OptionalInstant, foreign_key


class Source(Base):
    """A configured instance of a connector, or a file import run from the command line."""

    __tablename__ = "source"

    organization_id: Mapped[Key]
    source: Mapped[str] = mapped_column(String(collation="C"), primary_key=True)
    kind: Mapped[str]
    connected_at: Mapped[Instant]

    __table_args__ = (foreign_key(of="organization"),)


class SourceRun(Base):
    """One run of a source: how many events it sent, what it skipped, and how it ended."""

    __tablename__ = "source_run"

    organization_id: Mapped[Key]
    source: Mapped[str] = mapped_column(String(collation="C"), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    started_at: Mapped[Instant]
    finished_at: Mapped[OptionalInstant]
    outcome: Mapped[str]
    accepted: Mapped[Amount]
    duplicates: Mapped[Amount]
    skipped_count: Mapped[Amount]
    # The first skipped items: `[{"item": …, "reason": …}]`.
    skipped: Mapped[list[dict[str, str]]] = mapped_column(JSONB, server_default="[]")
    error: Mapped[str | None]

    __table_args__ = (foreign_key("source", of="source"),)


class SourceCheckpoint(Base):
    """What a source has read so far, so that its next run reads only what changed."""

    __tablename__ = "source_checkpoint"

    organization_id: Mapped[Key]
    source: Mapped[str] = mapped_column(String(collation="C"), primary_key=True)
    family: Mapped[str] = mapped_column(String(collation="C"), primary_key=True)
    key: Mapped[str] = mapped_column(String(collation="C"), primary_key=True)
    value: Mapped[str]

    __table_args__ = (foreign_key("source", of="source"),)
