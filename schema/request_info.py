"""What Strawberry passes to a resolver about the request."""

from typing import TypeAlias

from strawberry import Info

from resolvers.context import Context

RequestInfo: TypeAlias = Info[Context, None]
"""Its `context` is the request's context. There is no root value."""
