"""The declared schema: columns, keys and constraints. Rows are never loaded as mapped objects.

`organization_id` leads every key, so that the schema can be distributed by it. Three families of
tables hold the data of the platform:

- *events*: `event`, each stored once, as it arrived;
- *directory*: the users, workspaces, projects and memberships that events describe, and their
  lifespans;
- *months*: one row per month and entity. Stocks in a row are those at the month's end, flows those
  within the month. A report reads the rows of its month and nothing else.

Import the classes from this package, so that `Base.metadata` is complete.
"""

from app.db.tables.access import ApiKey, AuditLog, Session
from app.db.tables.base import Base
from app.db.tables.charges import Assignment, Charge, CostCentre, Price, Rate
from app.db.tables.directory import Membership, Organization, PlatformUser, Project, Workspace
from app.db.tables.events import Event, FeedDay, FeedSource, UsageArchive
from app.db.tables.months import (
    ClosedDocument,
    Correction,
    MemberMonth,
    MonthClose,
    MonthCloseHistory,
    ProjectMonth,
    StorageFigures,
    UserMonth,
    WorkspaceMonth,
)
from app.db.tables.scim import ScimMember, ScimResource
from app.db.tables.sources import Source, SourceCheckpoint, SourceRun

__all__ = [
    "ApiKey",
    "Assignment",
    "AuditLog",
    "Base",
    "Charge",
    "ClosedDocument",
    "Correction",
    "CostCentre",
    "Event",
    "FeedDay",
    "FeedSource",
    "MemberMonth",
    "Membership",
    "MonthClose",
    "MonthCloseHistory",
    "Organization",
    "PlatformUser",
    "Price",
    "Project",
    "ProjectMonth",
    "Rate",
    "ScimMember",
    "ScimResource",
    "Session",
    "Source",
    "SourceCheckpoint",
    "SourceRun",
    "StorageFigures",
    "UsageArchive",
    "UserMonth",
    "Workspace",
    "WorkspaceMonth",
]
