"""`python -m schema` prints the public contract in GraphQL's schema language."""

from schema import schema

print(schema.as_str())  # noqa: T201  the one purpose of this module
