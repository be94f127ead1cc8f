"""Audit events of HTTP requests, recorded after the response."""

from collections.abc import Mapping
from dataclasses import replace

from starlette.requests import Request

from app.domain.audit import Action, Actor, AuditEvent, Interface
from app.domain.callers import DEFAULT_ORGANIZATION, Caller
from app.domain.errors import ChargebackError, Forbidden, Unauthenticated
from app.domain.ids import organization_id
from app.observability.request_record import shorten_path
from app.web.app_state import get_app_state
from resolvers.context import Context


def client_address(request: Request) -> str | None:
    """Return the client's IP address; behind a trusted proxy, the address that it forwards."""
    return request.client.host if request.client is not None else None


def request_interface(request: Request) -> Interface:
    """Return GRAPHQL for GraphQL and GraphiQL's pages, REST for all other routes."""
    path = request.url.path
    return Interface.GRAPHQL if path in {"/graphql", "/signin", "/signout"} else Interface.REST


def request_actor(request: Request, caller: Caller) -> Actor:
    """Return the actor of an authenticated request."""
    return Actor.of(caller, request_interface(request), client_address(request))


def record_actions(request: Request, context: Context, outcome: str) -> None:
    """Record what a request did, with its outcome."""
    get_app_state(request).audit.record(
        context.audit_events, context.actor, context.now, outcome=outcome
    )


def record_report_reads(
    request: Request, context: Context, action: Action, detail: Mapping[str, str] | None = None
) -> None:
    """Record each report that the request read as downloaded or exported, and in which form."""
    events = [
        replace(event, action=action, detail={**event.detail, **(detail or {})})
        for event in context.audit_events
    ]
    get_app_state(request).audit.record(events, context.actor, context.now)


def record_forbidden(request: Request, caller: Caller) -> None:
    """Record that an authenticated caller lacks the permission for a request."""
    state = get_app_state(request)
    event = AuditEvent(caller.organization_id, Action.REQUEST_REFUSED, _request_target(request))
    actor = request_actor(request, caller)
    state.audit.record([event], actor, state.now, outcome=Forbidden.code)


def record_bad_key(request: Request, refusal: Unauthenticated, error: ChargebackError) -> None:
    """Record a failed authentication for the key's organization.

    An unknown key belongs to no organization; the default organization gets its event, because
    the operators read its audit log.
    """
    state = get_app_state(request)
    owner = refusal.organization_id or organization_id(DEFAULT_ORGANIZATION)
    interface, address = request_interface(request), client_address(request)
    actor = Actor(refusal.username, interface, refusal.key_id, address)
    event = AuditEvent(owner, Action.REQUEST_REFUSED, _request_target(request))
    state.audit.record([event], actor, state.now, outcome=error.code)


def _request_target(request: Request) -> str:
    """Return method and path, without the query string, which may contain anything."""
    return f"{request.method} {shorten_path(request.url.path)}"
