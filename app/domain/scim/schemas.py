"""The attributes of users and groups that this service keeps, as the schemas of RFC 7643."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.domain.scim.errors import ScimRefusal
from app.domain.text import NUL

USER_SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP_SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:Group"
LONGEST_TEXT = 512
MOST_VALUES = 100_000

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute, as `/Schemas` describes it."""

    name: str
    description: str
    type: str = "string"
    multi_valued: bool = False
    required: bool = False
    case_exact: bool = False
    mutability: str = "readWrite"
    returned: str = "default"
    uniqueness: str = "none"
    sub: tuple["Attribute", ...] = ()
    references: tuple[str, ...] = ()
    canonical: tuple[str, ...] = ()

    @property
    def read_only(self) -> bool:
        """Whether only the service says it."""
        return self.mutability == "readOnly"

    def described(self) -> Resource:
        """The attribute as JSON."""
        shown: Resource = {
            "name": self.name,
            "type": self.type,
            "multiValued": self.multi_valued,
            "description": self.description,
            "required": self.required,
            "mutability": self.mutability,
            "returned": self.returned,
        }
        if self.type in {"string", "reference"}:
            shown |= {"caseExact": self.case_exact, "uniqueness": self.uniqueness}
        if self.references:
            shown["referenceTypes"] = list(self.references)
        if self.canonical:
            shown["canonicalValues"] = list(self.canonical)
        if self.sub:
            shown["subAttributes"] = [each.described() for each in self.sub]
        return shown


@dataclass(frozen=True, slots=True)
class Schema:
    """A kind of resource: its schema, and where it is found."""

    id: str
    name: str
    endpoint: str
    description: str
    naming: str
    attributes: tuple[Attribute, ...]
    by_name: Mapping[str, Attribute] = field(init=False)

    def __post_init__(self) -> None:
        known = {each.name.lower(): each for each in (*self.attributes, *COMMON)}
        object.__setattr__(self, "by_name", known)

    def find(self, name: str) -> Attribute:
        """The attribute of that name, in any case.

        Raises:
            ScimRefusal: There is none.
        """
        found = self.by_name.get(name.lower())
        if found is None:
            raise ScimRefusal(f"{self.name} has no attribute {name!r}.", "invalidPath")
        return found


def sub_attribute(attribute: Attribute, name: str) -> Attribute:
    """The sub-attribute of that name, in any case.

    Raises:
        ScimRefusal: There is none.
    """
    for each in attribute.sub:
        if each.name.lower() == name.lower():
            return each
    raise ScimRefusal(f"{attribute.name} has no sub-attribute {name!r}.", "invalidPath")


def _values(of: str, *, kinds: tuple[str, ...] = ()) -> tuple[Attribute, ...]:
    return (
        Attribute("value", f"The {of} itself."),
        Attribute("display", "How it is shown."),
        Attribute("type", "Which of several it is.", canonical=kinds),
        Attribute("primary", "Whether it is the preferred one.", "boolean"),
    )


COMMON = (
    Attribute(
        "id",
        "The service's identifier of the resource.",
        case_exact=True,
        mutability="readOnly",
        returned="always",
        uniqueness="server",
    ),
    Attribute("externalId", "The client's identifier of the resource.", case_exact=True),
    Attribute("schemas", "The schemas of the resource.", "reference", True, returned="always"),
    Attribute(
        "meta",
        "What the service says of the resource.",
        "complex",
        mutability="readOnly",
        sub=(
            Attribute("resourceType", "Its kind.", case_exact=True, mutability="readOnly"),
            Attribute("created", "When it was created.", "dateTime", mutability="readOnly"),
            Attribute("lastModified", "When it last changed.", "dateTime", mutability="readOnly"),
            Attribute("location", "Its address.", "reference", mutability="readOnly"),
            Attribute("version", "Its version.", case_exact=True, mutability="readOnly"),
        ),
    ),
)

USER = Schema(
    USER_SCHEMA,
    "User",
    "/Users",
    "An account of the platform.",
    "userName",
    (
        Attribute("userName", "The username in the report.", required=True, uniqueness="server"),
        Attribute(
            "name",
            "The person's name.",
            "complex",
            sub=(
                Attribute("formatted", "The whole name."),
                Attribute("familyName", "The family name."),
                Attribute("givenName", "The given name."),
            ),
        ),
        Attribute("displayName", "The name to show."),
        Attribute(
            "userType", "'ServiceAccount' for a program's account; anything else is a person."
        ),
        Attribute("active", "False suspends the account.", "boolean"),
        Attribute(
            "emails",
            "Email addresses; the primary one, or the first, is the one in the report.",
            "complex",
            True,
            sub=_values("address", kinds=("work", "home", "other")),
        ),
        Attribute(
            "roles",
            "'ADMIN' among them makes an admin of the organization.",
            "complex",
            True,
            sub=_values("role"),
        ),
        Attribute(
            "groups",
            "The groups that the user belongs to.",
            "complex",
            True,
            mutability="readOnly",
            sub=(
                Attribute("value", "The group's id.", case_exact=True, mutability="readOnly"),
                Attribute(
                    "$ref",
                    "The group's address.",
                    "reference",
                    mutability="readOnly",
                    references=("Group",),
                ),
                Attribute("display", "The group's name.", mutability="readOnly"),
                Attribute("type", "How the user belongs to it.", mutability="readOnly"),
            ),
        ),
    ),
)

GROUP = Schema(
    GROUP_SCHEMA,
    "Group",
    "/Groups",
    "A workspace, and who its members are.",
    "displayName",
    (
        Attribute(
            "displayName", "The workspace's name.", required=True, uniqueness="server",
            case_exact=True,
        ),
        Attribute(
            "members",
            "The members of the workspace.",
            "complex",
            True,
            sub=(
                Attribute("value", "The user's id.", case_exact=True, mutability="immutable"),
                Attribute(
                    "$ref",
                    "The user's address.",
                    "reference",
                    mutability="immutable",
                    references=("User",),
                ),
                Attribute("type", "Always 'User'.", mutability="immutable", canonical=("User",)),
            ),
        ),
    ),
)  # fmt: skip

SCHEMAS: Mapping[str, Schema] = {schema.name: schema for schema in (USER, GROUP)}


def checked(schema: Schema, body: Any) -> Resource:
    """A client's resource, less what only the service says and what it does not keep.

    Names of attributes are in the schema's case; null and empty lists are absent.

    Raises:
        ScimRefusal: It is no object, a value has another type, or a required one is missing.
    """
    if not isinstance(body, dict):
        raise ScimRefusal("The body must be a JSON object.", "invalidSyntax")
    stated = body.get("schemas")
    if isinstance(stated, list) and schema.id not in stated:
        raise ScimRefusal(f"schemas: must name {schema.id}; got {stated!r}.", "invalidSyntax")
    found = _checked(schema.by_name.values(), body, "")
    found.pop("schemas", None)
    for attribute in schema.attributes:
        if attribute.required and not found.get(attribute.name):
            raise ScimRefusal(f"{attribute.name}: is required.")
    return found


def _checked(attributes: Any, body: Mapping[str, Any], within: str) -> Resource:
    given = {name.lower(): value for name, value in body.items()}
    found: Resource = {}
    for attribute in attributes:
        value = given.get(attribute.name.lower())
        if attribute.read_only or value is None or value == []:
            continue
        found[attribute.name] = checked_value(attribute, value, within)
    return found


def checked_value(attribute: Attribute, value: Any, within: str = "") -> Any:
    """A value of an attribute; a single value of a multi-valued one becomes a list.

    Raises:
        ScimRefusal: It has another type.
    """
    where = f"{within}{attribute.name}"
    if not attribute.multi_valued:
        return _single(attribute, value, where)
    values = value if isinstance(value, list) else [value]
    if len(values) > MOST_VALUES:
        raise ScimRefusal(f"{where}: at most {MOST_VALUES} values; got {len(values)}.", "tooMany")
    return _one_primary([_single(attribute, each, where) for each in values])


def _single(attribute: Attribute, value: Any, where: str) -> Any:
    match attribute.type:
        case "complex":
            if isinstance(value, str) and attribute.multi_valued:
                value = {"value": value}
            if not isinstance(value, dict):
                raise ScimRefusal(f"{where}: must be an object; got {_short(value)}.")
            return _checked(attribute.sub, value, f"{where}.")
        case "boolean":
            return _boolean(value, where)
        case "dateTime":
            return _text(value, where) and _instant(value, where)
        case _:
            return _text(value, where)


def _boolean(value: Any, where: str) -> bool:
    """Some clients send booleans as words."""
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    if isinstance(value, bool):
        return value
    raise ScimRefusal(f"{where}: must be true or false; got {_short(value)}.")


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_TEXT or NUL in value:
        raise ScimRefusal(
            f"{where}: must be a text of at most {LONGEST_TEXT} characters, none of them U+0000; "
            f"got {_short(value)}."
        )
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise ScimRefusal(f"{where}: must not contain half a surrogate pair.")
    return value


def _instant(value: str, where: str) -> str:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        raise ScimRefusal(f"{where}: must be an instant; got {_short(value)}.") from None
    return value


def _one_primary(values: Sequence[Any]) -> list[Any]:
    """Of several values at most one is primary: the last that says so."""
    primary = [
        index
        for index, each in enumerate(values)
        if isinstance(each, dict) and each.get("primary")
    ]
    for index in primary[:-1]:
        values[index]["primary"] = False
    return list(values)


def _short(value: Any) -> str:
    written = repr(value)
    return written if len(written) <= 80 else written[:80] + "…"


def projected(
    schema: Schema, resource: Resource, attributes: Sequence[str], excluded: Sequence[str]
) -> Resource:
    """Only `attributes` of a resource, or all but `excluded`; what is always returned stays."""
    wanted, unwanted = _paths(schema, attributes), _paths(schema, excluded)
    shown: Resource = {}
    for name, value in resource.items():
        subs = wanted.get(name.lower())
        if schema.by_name[name.lower()].returned == "always":
            shown[name] = value
        elif wanted:
            if subs is not None:
                shown[name] = _part(value, subs, keep=True) if subs else value
        elif (left_out := unwanted.get(name.lower())) is None:
            shown[name] = value
        elif left_out:
            shown[name] = _part(value, left_out, keep=False)
    return shown


def _paths(schema: Schema, written: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """By attribute its sub-attributes, in lower case; none of them means the whole attribute."""
    found: dict[str, tuple[str, ...]] = {}
    for path in written:
        local = path.strip().lower().removeprefix(f"{schema.id.lower()}:")
        name, _, sub = local.partition(".")
        if name:
            known = found.get(name)
            found[name] = () if not sub or known == () else (*(known or ()), sub)
    return found


def _part(value: Any, subs: Sequence[str], *, keep: bool) -> Any:
    if isinstance(value, list):
        return [_part(each, subs, keep=keep) for each in value]
    if not isinstance(value, dict):
        return value
    return {name: inner for name, inner in value.items() if (name.lower() in subs) is keep}
