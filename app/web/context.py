"""The context in which resolvers answer a REST request."""

from starlette.requests import Request

from app.db.snapshot import Snapshot
from app.domain.callers import Caller
from app.web.app_state import get_app_state
from app.web.audit import request_actor
from resolvers.context import Context


def create_context(request: Request, caller: Caller, snapshot: Snapshot) -> Context:
    """Return the context of a request that reads from a snapshot."""
    state = get_app_state(request)
    return Context(
        caller,
        state.database,
        snapshot,
        state.settings,
        state.now,
        request_actor(request, caller),
        charges_cache=state.charges_cache,
    )
