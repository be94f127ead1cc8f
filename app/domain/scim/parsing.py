"""Check the resources that clients send, and convert between JSON and the models."""

from typing import Any, NamedTuple

from scim2_models import Context, Resource

from app.domain.scim.errors import InvalidScimRequest, translate_scim_errors
from app.domain.scim.members import MemberChanges, parse_members
from app.domain.scim.resources import GROUPS, MAX_TEXT, POLICY, Attributes, ResourceKind
from app.domain.text import NUL

READ_ONLY = frozenset({"schemas", "id", "meta", "groups"})
"""Attributes that only the service sets, in lower case."""


class ResourceState(NamedTuple):
    """The attributes that a resource is to have, and what happens to the members of a group."""

    attributes: Attributes
    members: MemberChanges


def parse_resource(kind: ResourceKind, body: object) -> ResourceState:
    """Return the resource in the body of a POST or PUT; unknown attributes are ignored.

    Raises:
        InvalidScimRequest: The body is not an object, lacks the name, or has an invalid value.
    """
    if not isinstance(body, dict):
        raise InvalidScimRequest("The body must be a JSON object.", "invalidSyntax")
    members = MemberChanges(are_replaced=True)
    if kind is GROUPS:
        for value in [value for name, value in body.items() if name.lower() == "members"]:
            members.add(parse_members(value))
        body = {name: value for name, value in body.items() if name.lower() != "members"}
    resource = check_resource(kind, body, Context.RESOURCE_CREATION_REQUEST)
    return ResourceState(dump_resource(resource), members)


def check_resource(kind: ResourceKind, document: object, context: Context) -> Resource[Any]:
    """Return the model of a JSON document.

    Raises:
        InvalidScimRequest: The document is not a resource of that kind.
    """
    with translate_scim_errors():
        return kind.model.model_validate(document, scim_ctx=context, scim_policy=POLICY)


def dump_resource(resource: Resource[Any]) -> Attributes:
    """Return the attributes of a resource that a client may set, with the names of the RFC.

    Raises:
        InvalidScimRequest: `externalId` cannot be stored.
    """
    external_id = resource.external_id or ""
    if len(external_id) > MAX_TEXT or NUL in external_id:
        raise InvalidScimRequest(
            f"externalId: must have at most {MAX_TEXT} characters, none of them U+0000."
        )
    dumped = resource.model_dump(scim_ctx=Context.DEFAULT)
    return {name: value for name, value in dumped.items() if name not in READ_ONLY}
