"""Schemathesis hooks: values for our scalars, and checks of GraphQL responses."""

from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis.graphql import nodes

MONTHS = st.one_of(
    st.dates().map(lambda day: f"{day.year:04}-{day.month:02}"),
    st.sampled_from(["2026-09", "2026-10", "2026-13", "0000-01", "23-1", "9999-12"]),
    st.text(max_size=10),
)

schemathesis.graphql.scalar("Month", MONTHS.map(nodes.String))
schemathesis.graphql.scalar("BigInt", st.integers(-(2**64), 2**64).map(nodes.Int))
schemathesis.graphql.scalar("DateTime", st.datetimes().map(lambda t: nodes.String(t.isoformat())))
schemathesis.graphql.scalar("Decimal", st.integers().map(lambda n: nodes.String(str(n))))


@schemathesis.check
def has_no_internal_error(
    ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> None:
    """Reject 5xx responses and errors with the code INTERNAL: both are bugs.

    Schemathesis' own check regards every GraphQL error as the server's fault.
    """
    assert response.status_code < 500, response.text
    codes = [error["extensions"]["code"] for error in response.json().get("errors", ())]
    assert "INTERNAL" not in codes, response.text
    assert "Traceback" not in response.text
