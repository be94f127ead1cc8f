"""PATCH requests (RFC 7644, section 3.5.2), applied by scim2-models.

Some rules differ from the RFC, because directories need them:

- Roles that are added replace the earlier ones: Entra adds the new role and never removes the old.
- A value without a path may repeat read-only attributes: Okta sends the group's id with its name.
- Members of groups are a set (`app.domain.scim.members`).
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from scim2_models import Context, PatchOp, Path

from app.domain.scim.errors import InvalidScimRequest, show_value, translate_scim_errors
from app.domain.scim.members import MemberChanges, is_member_path
from app.domain.scim.parsing import READ_ONLY, ResourceState, check_resource, dump_resource
from app.domain.scim.resources import (
    GROUPS,
    POLICY,
    USERS,
    Attributes,
    Group,
    ResourceKind,
    User,
)

MAX_OPERATIONS = 1_000
MAX_PATH = 1_000
"""The most characters of a path."""
MAX_COMPARISONS = 100_000
"""The most operations times values: each operation may look at every value."""


class _Operation(NamedTuple):
    """One operation; `position` counts from 0."""

    position: int
    op: str
    path: str | None
    value: Any
    has_value: bool

    @property
    def where(self) -> str:
        return f"Operations[{self.position}]: "

    def to_request(self) -> dict[str, Any]:
        """Return a PATCH of this operation alone."""
        operation = {"op": self.op}
        if self.path is not None:
            operation["path"] = self.path
        if self.has_value:
            operation["value"] = self.value
        return {"schemas": [str(PatchOp.__schema__)], "Operations": [operation]}


def patch_resource(kind: ResourceKind, attributes: Attributes, body: object) -> ResourceState:
    """Return what a PATCH makes of a resource.

    Raises:
        InvalidScimRequest: An operation cannot be read or applied.
    """
    if kind is GROUPS:
        return _patch_group(attributes, body)
    operations = [_replace_roles(each) for each in _parse_operations(USERS, body, split="roles")]
    return ResourceState(_apply(USERS, attributes, operations), MemberChanges())


def _patch_group(attributes: Attributes, body: object) -> ResourceState:
    members, others = MemberChanges(), []
    for operation in _parse_operations(GROUPS, body, split="members"):
        with translate_scim_errors(f"{operation.where}{operation.path}: "):
            path = Path[Group](operation.path or "")
            if is_member_path(path):
                members.apply(operation.op, path, operation.value)
            else:
                others.append(operation)
    return ResourceState(_apply(GROUPS, attributes, others), members)


def _parse_operations(kind: ResourceKind, body: object, *, split: str) -> Iterator[_Operation]:
    """Yield the operations; `split` is an attribute that gets operations of its own."""
    given = {name.lower(): value for name, value in body.items()} if isinstance(body, dict) else {}
    operations = given.get("operations")
    if not isinstance(operations, list) or not operations:
        raise InvalidScimRequest("Operations: must be a list of operations.", "invalidSyntax")
    if len(operations) > MAX_OPERATIONS:
        raise InvalidScimRequest(
            f"Operations: at most {MAX_OPERATIONS}; got {len(operations)}.", "tooMany"
        )
    for index, document in enumerate(operations):
        with translate_scim_errors(f"Operations[{index}]: "):
            operation = _parse_operation(index, document)
        yield from _split_value(kind, operation, split)


def _parse_operation(index: int, document: object) -> _Operation:
    if not isinstance(document, dict):
        raise InvalidScimRequest("must be an object.", "invalidSyntax")
    given = {name.lower(): value for name, value in document.items()}
    op, path, value = str(given.get("op")).lower(), given.get("path") or None, given.get("value")
    if op not in {"add", "remove", "replace"}:
        got = show_value(given.get("op"))
        message = f"op: must be add, remove or replace; got {got}."
        raise InvalidScimRequest(message, "invalidSyntax")
    if path is None and op == "remove":
        raise InvalidScimRequest("path: is required to remove.", "noTarget")
    if path is None and not isinstance(value, dict):
        raise InvalidScimRequest(f"value: must be an object; got {show_value(value)}.")
    if path is not None and not isinstance(path, str):
        raise InvalidScimRequest(f"path: must be a text; got {show_value(path)}.", "invalidPath")
    if path is not None and len(path) > MAX_PATH:
        raise InvalidScimRequest(
            f"path: must have at most {MAX_PATH} characters; got {len(path)}.", "invalidPath"
        )
    return _Operation(index, op, path, value, "value" in given)


def _split_value(kind: ResourceKind, operation: _Operation, split: str) -> Iterator[_Operation]:
    """Yield an operation without a path as two: one for an attribute, one for the others."""
    if operation.path is not None:
        yield operation
        return
    rest = {}
    for name, value in operation.value.items():
        local = name.lower().removeprefix(f"{kind.schema.lower()}:")
        if local == split:
            yield operation._replace(path=split, value=value)
        elif local not in READ_ONLY:
            rest[name] = value
    if rest:
        yield operation._replace(value=rest)


def _replace_roles(operation: _Operation) -> _Operation:
    with translate_scim_errors(f"{operation.where}{operation.path}: "):
        path = Path[User](operation.path or "")
        binding = path.resolve()
    if operation.op != "add" or binding is None or path.value_filter is not None:
        return operation
    is_whole = binding.field_name == "roles" and binding.sub_field_name is None
    return operation._replace(op="replace") if is_whole else operation


def _apply(kind: ResourceKind, attributes: Attributes, operations: list[_Operation]) -> Attributes:
    if not operations:
        return attributes
    _limit_comparisons(attributes, operations)
    resource = check_resource(kind, attributes, Context.DEFAULT)
    for operation in operations:
        about = f"{operation.where}{operation.path}: " if operation.path else operation.where
        with translate_scim_errors(about):
            patch = PatchOp.__class_getitem__(kind.model).model_validate(
                operation.to_request(),
                scim_ctx=Context.RESOURCE_PATCH_REQUEST,
                scim_policy=POLICY,
            )
            patch.patch(resource, scim_policy=POLICY)
    return dump_resource(resource)


def _limit_comparisons(attributes: Attributes, operations: list[_Operation]) -> None:
    values = _count_values([attributes, *(each.value for each in operations)])
    count = sum(
        len(each.value) if each.op == "remove" and isinstance(each.value, list) else 1
        for each in operations
    )
    if count * values > MAX_COMPARISONS:
        raise InvalidScimRequest(
            f"Operations: {count} operations on {values} values are too many; send fewer at a "
            "time.",
            "tooMany",
        )


def _count_values(documents: Iterable[Any]) -> int:
    """Return how many values there are in documents of attributes, and in lists of values."""
    return sum(
        sum(map(_count_items, each.values())) if isinstance(each, dict) else _count_items(each)
        for each in documents
    )


def _count_items(value: object) -> int:
    return len(value) if isinstance(value, list) else 1
