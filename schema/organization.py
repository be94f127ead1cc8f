"""An organization."""

import strawberry

from schema.execution import column


@strawberry.type(description="A tenant: every figure belongs to one.")
class Organization:
    """A tenant."""

    id: strawberry.ID = column("organization_id", description="Unique; it never changes.")
    name: str = column("organization_name", description="Unique in the install.")
