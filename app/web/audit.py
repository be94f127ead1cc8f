"""What the front doors note for the audit log, once they have answered."""

from dataclasses import replace

from starlette.requests import Request

from app.domain.audit import Action, Actor, AuditEvent, Channel
from app.domain.callers import DEFAULT_ORGANIZATION, Caller
from app.domain.errors import ChargebackError, Forbidden, Unauthenticated
from app.domain.ids import organization_id
from app.web.app_state import get_app_state
from resolvers.context import Context


def address_of(request: Request) -> str | None:
    """Where a request came from; behind a trusted proxy, what the proxy says."""
    return request.client.host if request.client is not None else None


def door_of(request: Request) -> Channel:
    """GraphQL with what belongs to GraphiQL, or REST."""
    path = request.url.path
    return Channel.GRAPHQL if path in {"/graphql", "/signin", "/signout"} else Channel.REST


def actor_of(request: Request, caller: Caller) -> Actor:
    """Who is behind a request that was let in."""
    return Actor.of(caller, door_of(request), address_of(request))


def note_acts(request: Request, context: Context, outcome: str) -> None:
    """What a request did, and how it ended."""
    get_app_state(request).audit.record(
        context.audit_events, context.actor, context.now, outcome=outcome
    )


def note_download(request: Request, context: Context) -> None:
    """A report leaves as a whole document."""
    acts = [replace(act, action=Action.REPORT_DOWNLOADED) for act in context.audit_events]
    get_app_state(request).audit.record(acts, context.actor, context.now)


def note_forbidden(request: Request, caller: Caller) -> None:
    """A caller who is known asked for what is not theirs."""
    services = get_app_state(request)
    act = AuditEvent(caller.organization_id, Action.REQUEST_REFUSED, _what(request))
    services.audit.record([act], actor_of(request, caller), services.now, outcome=Forbidden.code)


def note_bad_key(request: Request, refusal: Unauthenticated, error: ChargebackError) -> None:
    """A key was no good: told to whose it is, or to the operators when it is nobody's."""
    services = get_app_state(request)
    own = refusal.organization_id or organization_id(DEFAULT_ORGANIZATION)
    actor = Actor(refusal.username, door_of(request), refusal.key_id, address_of(request))
    act = AuditEvent(own, Action.REQUEST_REFUSED, _what(request))
    services.audit.record([act], actor, services.now, outcome=error.code)


def _what(request: Request) -> str:
    """The address without its parameters, which may hold anything."""
    return f"{request.method} {request.url.path}"
