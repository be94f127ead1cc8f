"""The exported GraphQL schema is current, described and consistent."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    build_schema,
    is_specified_scalar_type,
)

from schema import schema

SDL = Path("schema/schema.graphql")


def test_the_exported_schema_is_current() -> None:
    assert SDL.read_text() == schema.as_str() + "\n", "run: make schema"


def iter_descriptions(contract: GraphQLSchema) -> Iterator[tuple[str, str | None]]:
    """Return every type, field, argument and enum value with its description."""
    for name, kind in contract.type_map.items():
        if name.startswith("__") or is_specified_scalar_type(kind):
            continue
        yield name, kind.description
        if isinstance(kind, GraphQLEnumType):
            yield from ((f"{name}.{value}", it.description) for value, it in kind.values.items())
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
            for field, it in kind.fields.items():
                yield f"{name}.{field}", it.description
                for argument, its in it.args.items():
                    yield f"{name}.{field}({argument})", its.description
        if isinstance(kind, GraphQLInputObjectType):
            yield from ((f"{name}.{field}", it.description) for field, it in kind.fields.items())


@pytest.fixture(scope="module")
def contract() -> GraphQLSchema:
    return build_schema(SDL.read_text())


def test_everything_is_described(contract: GraphQLSchema) -> None:
    undescribed = [name for name, description in iter_descriptions(contract) if not description]

    assert undescribed == []


def test_a_nullable_field_states_when_it_is_null(contract: GraphQLSchema) -> None:
    without_reason = [
        f"{name}.{field}"
        for name, kind in contract.type_map.items()
        if isinstance(kind, GraphQLObjectType) and not name.startswith("__")
        for field, it in kind.fields.items()
        if not isinstance(it.type, GraphQLNonNull)
        and not (it.description or "").startswith("Null when ")
    ]

    assert without_reason == []


def test_every_list_and_its_elements_are_non_null(contract: GraphQLSchema) -> None:
    nullable_lists = [
        f"{name}.{field}: {it.type}"
        for name, kind in contract.type_map.items()
        if isinstance(kind, GraphQLObjectType) and not name.startswith("__")
        for field, it in kind.fields.items()
        if "[" in str(it.type) and not str(it.type).endswith("!]!")
    ]

    assert nullable_lists == []


def test_every_custom_scalar_names_its_grammar(contract: GraphQLSchema) -> None:
    scalars = {
        name: kind.specified_by_url
        for name, kind in contract.type_map.items()
        if isinstance(kind, GraphQLScalarType) and not is_specified_scalar_type(kind)
    }

    assert scalars == {
        "BigInt": "https://www.w3.org/TR/xmlschema11-2/#long",
        "Date": "https://www.rfc-editor.org/rfc/rfc3339",
        "DateTime": "https://www.rfc-editor.org/rfc/rfc3339",
        "Decimal": "https://www.w3.org/TR/xmlschema11-2/#decimal",
        "Month": "https://www.w3.org/TR/xmlschema11-2/#gYearMonth",
    }


def test_every_id_is_unique_wherever_a_client_stores_it(contract: GraphQLSchema) -> None:
    """Normalized caches store an object under its `id`, in whatever month or organization."""
    with_id = {
        name
        for name, kind in contract.type_map.items()
        if isinstance(kind, GraphQLObjectType) and "id" in kind.fields
    }
    in_report = {name for name in with_id if contract_id(contract, name).startswith("Opaque.")}

    assert with_id - in_report == {"ApiKey", "AuditLogEntry", "Organization"}


def contract_id(contract: GraphQLSchema, type_: str) -> str:
    """Return the description of a type's `id`."""
    kind = contract.type_map[type_]
    assert isinstance(kind, GraphQLObjectType)
    return kind.fields["id"].description or ""


def test_no_default_value_is_null() -> None:
    """Code generators take `= null` for a value that they have to send."""
    assert "= null" not in SDL.read_text()


def test_a_figure_has_one_type_everywhere(contract: GraphQLSchema) -> None:
    types: dict[str, set[str]] = {}
    for name, kind in contract.type_map.items():
        if isinstance(kind, GraphQLObjectType) and not name.startswith("__"):
            if name.endswith("Change"):  # Its fields are changes of figures.
                continue
            for field, it in kind.fields.items():
                if field.startswith(("numberOf", "unmeasured", "total", "average")):
                    types.setdefault(field, set()).add(str(it.type).rstrip("!"))

    assert {field: kinds for field, kinds in types.items() if len(kinds) > 1} == {}
