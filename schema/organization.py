"""An organization."""

import strawberry

from schema.execution import column


@strawberry.type(description="A tenant. Every figure belongs to one organization.")
class Organization:
    """A tenant."""

    id: strawberry.ID = column("organization_id", description="Unique. It never changes.")
    name: str = column("organization_name", description="Unique in the installation.")
