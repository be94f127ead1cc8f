"""PATCH (RFC 7644, section 3.5.2): operations applied to a resource.

Two things are taken that clients send although the RFC does not have them: names of operations in
capitals, and values beside `remove` that say which of several to remove.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from app.domain.scim.errors import ScimRefusal
from app.domain.scim.filters import Equals, Filter, parsed_within
from app.domain.scim.schemas import (
    Attribute,
    Resource,
    Schema,
    checked,
    checked_value,
    sub_attribute,
)

MOST_OPERATIONS = 1_000
_PATH = re.compile(r"(?P<name>[A-Za-z$][\w$-]*)(?:\[(?P<filter>.*)\])?(?:\.(?P<sub>[\w$-]+))?")


class _Target(NamedTuple):
    """What an operation is about."""

    attribute: Attribute
    chosen: Filter | None
    equals: Equals | None
    sub: Attribute | None


def patched(schema: Schema, resource: Resource, body: Any) -> Resource:
    """The resource after the operations of a request, checked.

    Raises:
        ScimRefusal: An operation cannot be read or applied; says which.
    """
    changed = _copied(resource)
    for index, operation in enumerate(_operations(body)):
        try:
            _apply(schema, changed, operation)
        except ScimRefusal as refusal:
            where = f"Operations[{index}]: "
            raise ScimRefusal(f"{where}{refusal}", refusal.scim_type) from None
    return checked(schema, changed)


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copied(inner) for name, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list) else value


def _operations(body: Any) -> list[Mapping[str, Any]]:
    given = {name.lower(): value for name, value in body.items()} if isinstance(body, dict) else {}
    operations = given.get("operations")
    if not isinstance(operations, list) or not operations:
        raise ScimRefusal("Operations: a list of operations is needed.", "invalidSyntax")
    if len(operations) > MOST_OPERATIONS:
        raise ScimRefusal(f"Operations: at most {MOST_OPERATIONS}.", "tooMany")
    return operations


def _apply(schema: Schema, resource: Resource, operation: Any) -> None:
    if not isinstance(operation, dict):
        raise ScimRefusal("must be an object.", "invalidSyntax")
    name, path, value = (operation.get(key) for key in ("op", "path", "value"))
    act = _ACTS.get(str(name).lower())
    if act is None:
        raise ScimRefusal(f"op: must be add, remove or replace; got {name!r}.", "invalidSyntax")
    if path not in (None, ""):
        act(resource, _target(schema, path), value)
        return
    if act is _remove:
        raise ScimRefusal("path: is needed to remove.", "noTarget")
    if not isinstance(value, dict):
        raise ScimRefusal("value: must be an object where there is no path.")
    for key, inner in value.items():
        if key.lower().startswith("urn:") and isinstance(inner, dict):
            continue  # An extension, which is not kept.
        if key.lower() != "schemas":
            act(resource, _target(schema, key), inner)


def _target(schema: Schema, path: Any) -> _Target:
    if not isinstance(path, str):
        raise ScimRefusal(f"path: must be a text; got {path!r}.", "invalidPath")
    local = path.removeprefix(f"{schema.id}:")
    match = _PATH.fullmatch(local)
    if match is None:
        raise ScimRefusal(f"path: {path!r} cannot be read.", "invalidPath")
    attribute = schema.find(match["name"])
    sub = sub_attribute(attribute, match["sub"]) if match["sub"] else None
    if attribute.read_only or (sub is not None and sub.read_only):
        raise ScimRefusal(f"{path}: only the service says it.", "mutability")
    chosen, equals = None, None
    if match["filter"] is not None:
        if not attribute.multi_valued:
            raise ScimRefusal(f"{attribute.name}: has one value alone.", "invalidPath")
        chosen, equals = parsed_within(attribute, match["filter"])
    return _Target(attribute, chosen, equals, sub)


def _add(resource: Resource, target: _Target, value: Any) -> None:
    attribute = target.attribute
    if target.chosen is not None or (target.sub is not None and attribute.multi_valued):
        _change_chosen(resource, target, value, create=True)
    elif target.sub is not None:
        _set_sub(resource.setdefault(attribute.name, {}), target.sub, value)
    elif attribute.multi_valued:
        known = resource.setdefault(attribute.name, [])
        for each in checked_value(attribute, value):
            if not any(_same(each, other) for other in known):
                if isinstance(each, dict) and each.get("primary"):
                    _none_primary(known)
                known.append(each)
    elif attribute.type == "complex":
        resource[attribute.name] = {
            **resource.get(attribute.name, {}),
            **checked_value(attribute, value),
        }
    else:
        resource[attribute.name] = checked_value(attribute, value)


def _replace(resource: Resource, target: _Target, value: Any) -> None:
    attribute = target.attribute
    if value in (None, []) and target.chosen is None:
        _remove(resource, target, None)
    elif target.chosen is not None or (target.sub is not None and attribute.multi_valued):
        _change_chosen(resource, target, value, create=False)
    elif target.sub is not None:
        _set_sub(resource.setdefault(attribute.name, {}), target.sub, value)
    elif attribute.type == "complex" and not attribute.multi_valued:
        _add(resource, target, value)
    else:
        resource[attribute.name] = checked_value(attribute, value)


def _remove(resource: Resource, target: _Target, value: Any) -> None:
    attribute = target.attribute
    if attribute.required:
        raise ScimRefusal(f"{attribute.name}: is required.", "mutability")
    known = resource.get(attribute.name)
    if known is None:
        return
    if target.chosen is not None:
        _remove_chosen(resource, target, target.chosen)
    elif target.sub is not None:
        for each in known if attribute.multi_valued else [known]:
            each.pop(target.sub.name, None)
    elif attribute.multi_valued and value:
        unwanted = checked_value(attribute, value)
        resource[attribute.name] = [
            each for each in known if not any(_same(each, other) for other in unwanted)
        ]
    else:
        del resource[attribute.name]


def _remove_chosen(resource: Resource, target: _Target, chosen: Filter) -> None:
    known = resource[target.attribute.name]
    if target.sub is None:
        resource[target.attribute.name] = [each for each in known if not chosen(each)]
        return
    for each in filter(chosen, known):
        each.pop(target.sub.name, None)


def _change_chosen(resource: Resource, target: _Target, value: Any, *, create: bool) -> None:
    """Change the values that a filter chooses, or all where there is none."""
    known = resource.setdefault(target.attribute.name, [])
    chosen = [each for each in known if target.chosen is None or target.chosen(each)]
    if not chosen:
        if target.equals is None or not (create or target.sub is not None):
            raise ScimRefusal("path: no value matches the filter.", "noTarget")
        # `emails[type eq "work"].value` of a user without such an address begins one.
        chosen = [{target.equals.attribute: target.equals.value}]
        known += chosen
    for each in chosen:
        if target.sub is not None:
            _set_sub(each, target.sub, value)
            if target.sub.name == "primary" and each["primary"]:
                _none_primary([other for other in known if other is not each])
        else:
            single = checked_value(target.attribute, value)
            if not create:
                each.clear()
            each.update(single[0])


def _set_sub(holder: Resource, sub: Attribute, value: Any) -> None:
    if value is None:
        holder.pop(sub.name, None)
    else:
        holder[sub.name] = checked_value(sub, value)


def _none_primary(values: list[Any]) -> None:
    for each in values:
        each.pop("primary", None)


def _same(one: Any, other: Any) -> bool:
    """Values are the same when their `value` and `type` are; other texts about them may differ."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return bool(one == other)
    if "value" not in one or "value" not in other:
        return one == other
    return one["value"] == other["value"] and (
        "type" not in one or "type" not in other or one["type"] == other["type"]
    )


_ACTS: dict[str, Callable[[Resource, _Target, Any], None]] = {
    "add": _add,
    "replace": _replace,
    "remove": _remove,
}
