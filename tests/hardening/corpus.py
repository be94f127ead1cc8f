"""A corpus of malicious requests, none of which may change anything.

Requests with a key use an admin's.
"""

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import quote

from starlette.routing import Route

from app.db.engine import Database
from app.main import create_app
from app.settings import Settings
from tests.graphql.test_limits import build_bombs
from tests.hardening.wire import KEY, Attack, Headers, request

REPORT = "/api/admin/chargeback/report"
ACCOUNTS = "/api/admin/service-accounts"
JSON: Headers = [("Content-Type", "application/json")]
FORM: Headers = [("Content-Type", "application/x-www-form-urlencoded")]
EVENTS = "application/cloudevents-batch+json"
EVENT = "application/cloudevents+json"
LINES = "application/x-ndjson"

MONTHS = [
    "",
    " ",
    "2023",
    "2023-13",
    "2023-00",
    "23-1",
    "2023-1",
    "0000-01",
    "10000-01",
    "-2023-11",
    "2023-11-01",
    "2023-11 ",
    "2023-11\n",
    "2023-11\0",
    "\0",
    "\uff12\uff10\uff12\uff13-11",  # full width
    "\u0968\u0966\u0968\u0969-\u0967\u0967",  # Devanagari
    "2023\u201311",  # an en dash
    "9999-12",
    "null",
    "[]",
    "2023-11' OR '1'='1",
    "x" * 10_000,
]

ODD_TEXTS = [
    "",
    "\0",
    "a\0b",
    "\ud800",
    "\udfff\ud800",
    "%",
    "_",
    "\\",
    "'; DROP TABLE event; --",
    "../../../etc/passwd",
    "\u202e\u0000",
    "\U0001f600" * 1_000,
    "x" * 100_000,
    "{{7*7}}",
    "<script>alert(1)</script>",
    "%s%n%x",
]

ODD_VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    1e308,
    2**31,
    2**63,
    -(2**63) - 1,
    10**400,
    "",
    "1",
    [],
    [[]],
    {},
    {"a": {"b": {}}},
]

ODD_TIMES = [
    "2026-13-01T00:00:00Z",
    "yesterday",
    "9999-12-31T23:59:59Z",
    "2026-09-01",
    "0000-01-01T00:00:00Z",
]
INVALID_TEXTS: list[Any] = [value for value in ODD_VALUES if value != "1"] + [
    "\0",
    "a\0b",
    "\ud800",
]
ODD_COUNTS: list[Any] = [True, -1, 1.5, 2**63, "", [], {}]


def corpus() -> Iterator[Attack]:
    """Yield all attacks."""
    for attacks in (
        _months,
        _query_parameters,
        _paths,
        _queries,
        _large_queries,
        _graphql_bodies,
        _variables,
        _compressed_bodies,
        _events,
        _headers,
        _lengths,
        _keys,
        _forms,
    ):
        for number, (name, raw) in enumerate(attacks()):
            yield Attack(f"{attacks.__name__.strip('_')} {number}: {name[:60]!r}", raw)


_NamedRequests = Iterator[tuple[str, bytes]]


def _months() -> _NamedRequests:
    for month in MONTHS:
        yield month, request("GET", f"{REPORT}?reportMonth={quote(month, errors='surrogatepass')}")
        yield (
            month,
            graphql(
                "query ($m: Month!) { chargebackReport(month: $m) { reportDate } }", {"m": month}
            ),
        )
        literal = json.dumps(month)
        yield month, graphql(f"mutation {{ closeMonth(month: {literal}) {{ month }} }}")
        reopen = f"reopenMonth(month: {literal}, reason: {literal}) {{ month }}"
        yield month, graphql(f"mutation {{ {reopen} }}")
        yield month, graphql(f"{{ chargebackReport(month: {literal}) {{ reportDate }} }}")
        yield (
            month,
            graphql(f'{{ chargebackReports(from: "2023-01", to: {literal}) {{ reportDate }} }}'),
        )


def _query_parameters() -> _NamedRequests:
    for query in (
        "reportMonth=2023-11&reportMonth=2023-12",
        "reportMonth=&reportMonth=2023-11",
        "organization=default&organization=default",
        "reportMonth[]=2023-11",
        "reportMonth=2023-11;reportMonth=2023-12",
        "&&&&====&&&",
        "%ZZ=%ZZ&%",
        "reportMonth=%00",
        "reportMonth=%ED%A0%80",
        "reportMonth=%FF%FE",
        "organization=%00",
        "organization=%ED%A0%80",
        "organization=" + "x" * 30_000,
        "&".join(f"a{number}=b" for number in range(5_000)),
    ):
        for path in (REPORT, f"/clientlib{REPORT}", ACCOUNTS):
            yield query, request("GET", f"{path}?{query}")
    for query in (
        "query={viewer{username}}&query={viewer{isAdmin}}",
        "query=",
        "variables={}",
        "query={viewer{username}}&variables=[",
        "query=%00",
        "query=%ED%A0%80",
        "query={viewer{username}}&operationName=%FF",
        "query=mutation{closeMonth",
        "query=" + quote('mutation { closeMonth(month: "2020-01") { month } }'),
    ):
        yield query, request("GET", f"/graphql?{query}")


def _paths() -> _NamedRequests:
    for path in (
        "//",
        "/./graphql",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/static/../../../etc/passwd",
        "/static/%2e%2e/%2e%2e/signin.html",
        "/static/..%2f..%2f..%2fetc/passwd",
        "/static//etc/passwd",
        "/static/signin.html",
        "/static/%00",
        "/static/" + "a/" * 10_000,
        "/graphql/",
        "/graphql;x=1",
        "/graphql%00",
        "/GRAPHQL",
        "/api/admin/chargeback/report/",
        "/api/admin/chargeback/report%2f",
        "/clientlib/clientlib/api/admin/chargeback/report",
        "/%ff%fe",
        "/" + "x" * 60_000,
        "/?" + "x" * 60_000,
        "http://elsewhere.test/graphql",
        "graphql",
        "*",
        "/\u00e9".encode("latin-1").decode("latin-1"),
    ):
        yield path, request("GET", path)
        yield path, request("POST", path, JSON, b"{}")


def graphql(query: str, variables: object = None, **more: object) -> bytes:
    """Return a GraphQL request; lone surrogates are escaped, as JSON allows."""
    body = json.dumps({"query": query, "variables": variables, **more}).encode()
    return request("POST", "/graphql", JSON, body)


def _queries() -> _NamedRequests:
    for count in (2, 6, 28):
        for name, query in build_bombs(count).items():
            yield f"{name} {count}", graphql(query)
    ring = " ".join(
        f"fragment F{n} on Query {{ ...F{(n + 1) % 400} ...F{(n + 7) % 400} }}" for n in range(400)
    )
    for name, query in {
        "a recursive fragment": "{ ...A } fragment A on Query { ...A }",
        "mutual fragments": "{ ...A } fragment A on Query {...B} fragment B on Query {...A}",
        "a ring": f"{{ ...F0 }} {ring}",
        "a ring below": '{ chargebackReport(month: "2026-09") { workspaces { ...A } } } '
        "fragment A on Workspace { members { user { ...B } } ...A } "
        "fragment B on LicensedUser { username ...B }",
        "unknown fragments": "{ ...A ...B ...C }",
        "aliases": "{ " + " ".join(f"a{n}: viewer {{ username }}" for n in range(10_000)) + " }",
        "few aliases": "{ " + " ".join(f"a{n}: viewer {{ username }}" for n in range(50)) + " }",
        "lists": '{ chargebackReport(month: "2026-09") { '
        + " ".join(f"a{n}: workspaces {{ members {{ userName }} }}" for n in range(50))
        + " } }",
        "years": '{ chargebackReports(from: "0001-01", to: "9999-12") { reportDate } }',
        "backwards": '{ chargebackReports(from: "2026-09", to: "2020-01") { reportDate } }',
        "fields": "{ viewer { " + "username " * 3_900 + "} }",
        "objects": "{ " + "viewer { username } " * 900 + "}",
        "arguments": "{ viewer(" + " ".join(f"a{n}: 1" for n in range(1_000)) + ") { username } }",
        "variables": "query (" + " ".join(f"$v{n}: Int" for n in range(900)) + ") { __typename }",
        "directives": "{ viewer " + "@skip(if: false) " * 600 + "{ username } }",
        "operations": " ".join(f"query Q{n} {{ viewer {{ username }} }}" for n in range(500)),
        "braces": "{" * 3_000,
        "nested lists": "{ viewer(a: " + "[" * 3_000 + ") { username } }",
        "nested objects": "{ viewer(a: " + "{a: " * 900 + ") { username } }",
        "nested types": "query ($v: " + "[" * 1_900 + "Int" + "]" * 1_900 + ") { __typename }",
        "deep": "{ viewer " * 190 + "{ username }" + " }" * 190,
        "introspection": "{ __schema { types { fields { type { fields { type { fields "
        "{ name } } } } } } } }",
        "introspection, twice": "{ __schema { types { fields { type { fields { name args { type "
        "{ fields { name } } } } } } } } }",
        "a long integer": '{ chargebackReport(month: "2026-09") { workspaces(first: '
        + "9" * 5_000
        + ") { name } } }",
        "a long float": '{ chargebackReport(month: "2026-09") { workspaces(first: 1e'
        + "9" * 5_000
        + ") { name } } }",
        "a subscription": "subscription { viewer { username } }",
        "a definition": "type Query { a: Int }",
        "extend": "extend schema @a { query: Query }",
        "defer": "{ viewer { ... @defer { username } } }",
        "stream": '{ chargebackReport(month: "2026-09") { workspaces @stream { name } } }',
        "NUL": "{ viewer { username } }\0",
        "a surrogate": "{ viewer { username } } # \ud800",
        "a surrogate in a string": '{ chargebackReport(month: "\\ud800") { reportDate } }',
        "a byte order mark": "\ufeff{ viewer { username } }",
        "line separators": "{\u2028viewer\u2029{\u0085username } }",
    }.items():
        yield name, graphql(query)
    for odd in ODD_TEXTS:
        literal = json.dumps(odd)
        for mutation in (
            f"revokeApiKey(id: {literal}) {{ id }}",
            f"rotateApiKey(id: {literal}) {{ secret }}",
            f"rotateApiKey(id: {literal}, overlapHours: -1) {{ secret }}",
            f"createApiKey(username: {literal}, scopes: []) {{ secret }}",
            f"closeMonth(month: {literal}) {{ month }}",
            f'reopenMonth(month: "2026-09", reason: {literal}) {{ month }}',
        ):
            yield odd, graphql(f"mutation {{ {mutation} }}")
        for selected in (
            f"workspace(name: {literal}) {{ name }}",
            f"workspaces(after: {literal}) {{ name }}",
            f"workspaces(filter: {{nameContains: {literal}}}) {{ name }}",
            f"users {{ licensedUsers(after: {literal}) {{ username }} }}",
        ):
            yield odd, graphql(f'{{ chargebackReport(month: "2026-09") {{ {selected} }} }}')


def _large_queries() -> _NamedRequests:
    size = 990_000
    for name, text in {
        "names": "{ " + "a " * (size // 2) + "}",
        "a comment": "#" * size + "\n{ viewer { username } }",
        "comments": "#\n" * (size // 3) + "{ viewer { username } }",
        "commas": "," * size + "{ viewer { username } }",
        "spaces": " " * size + "{ viewer { username } }",
        "a string": '{ chargebackReport(month: "' + "x" * size + '") { reportDate } }',
        "a block string": '{ viewer(a: """' + "\n" * (size // 3) + '""") { username } }',
        "block strings": '"""\\"""' * (size // 12),
        "quotes": '"' * (size // 3),
        "backslashes": '"' + "\\" * (size // 3),
        "a name": "{ " + "a" * size + " }",
        "a number": "{ viewer(a: " + "1" * size + ") { username } }",
        "spreads": "{ " + "..." * (size // 4) + " }",
        "braces": "{" * size,
        "brackets": "{ viewer(a: " + "[" * size,
    }.items():
        yield name, graphql(text)
    yield "variables", graphql("query ($s: String) { __typename }", {"s": "x" * size})
    yield (
        "deep variables",
        request(
            "POST",
            "/graphql",
            JSON,
            b'{"query": "{ __typename }", "variables": {"a": ' + b"[" * size,
        ),
    )
    yield "beyond the body limit", request("POST", "/graphql", JSON, b"[" * 3_000_000)


def _graphql_bodies() -> _NamedRequests:
    bodies = [
        b"",
        b"null",
        b"true",
        b"0",
        b"NaN",
        b'"query"',
        b"[]",
        b"{}",
        b'[{"query": "{ __typename }"}]',
        b'{"query": null}',
        b'{"query": 1}',
        b'{"query": ["{ __typename }"]}',
        b'{"query": "{ __typename }", "query": "{ viewer }"}',
        b'{"query": "{ __typename }", "variables": []}',
        b'{"query": "{ __typename }", "variables": "{}"}',
        b'{"query": "{ __typename }", "operationName": {}}',
        b'{"query": "{ __typename }", "operationName": "\\ud800"}',
        b'{"query": "{ __typename }", "extensions": 1}',
        b'{"query": "{ __typename }", "extensions": {"persistedQuery": {"version": 1}}}',
        b'{"query": "{ __typename }"} trailing',
        b'{"query": "{ __typename }"',
        b'{"query": "\xff"}',
        b"\xff\xfe\x00",
        b"\x00" * 1_000,
        b"{" * 100_000,
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"query": "{ __typename }", "variables": {"a": 1' + b"0" * 5_000 + b"}}",
        b'{"query": "{ __typename }", "variables": {"a": 1e999999}}',
        b'{"query": "{ __typename }", "variables": {"\\u0000": "\\u0000"}}',
        json.dumps({f"k{number}": number for number in range(50_000)}).encode(),
    ]
    for body in bodies:
        yield repr(body[:40]), request("POST", "/graphql", JSON, body)
    valid = b'{"query": "{ __typename }"}'
    for content_type in (
        "",
        "text/plain",
        "application/json; charset=utf-16",
        "application/json; charset=" + "x" * 10_000,
        'application/json; charset="',
        "multipart/form-data; boundary=x",
        "application/graphql",
        "application/json, application/json",
        "a" * 30_000,
        ";;;;===",
    ):
        yield content_type, request("POST", "/graphql", [("Content-Type", content_type)], valid)
    for accept in (
        "",
        ",",
        "text/html;q=0",
        "application/json;q=nan",
        "application/json;q=-1",
        "application/json;q=" + "9" * 5_000,
        "*/*;q=0",
        "text/event-stream",
        ",".join(f"a/b{number}" for number in range(5_000)),
        ";" * 30_000,
        b"\xff\xfe",
    ):
        yield str(accept), request("POST", "/graphql", [*JSON, ("Accept", accept)], valid)
        yield str(accept), request("GET", "/graphql?query={__typename}", [("Accept", accept)])


def _variables() -> _NamedRequests:
    for value in ODD_VALUES + ODD_TEXTS:
        for type_, selected in {
            "Int": "workspaces(first: $v) { name }",
            "String": "workspaces(after: $v) { name }",
            "WorkspaceFilter": "workspaces(filter: $v) { name }",
            "WorkspaceOrder!": "workspaces(orderBy: $v) { name }",
            "BigInt": "workspaces(filter: {minimumSizeBytes: $v}) { name }",
            "Boolean!": "reportDate @include(if: $v)",
        }.items():
            report = f'chargebackReport(month: "2026-09") {{ {selected} }}'
            yield (
                f"{type_} {value!r}",
                graphql(f"query ($v: {type_}) {{ {report} }}", {"v": value}),
            )


@cache
def gzip_bomb(size: int = 300_000_000) -> bytes:
    """Return compressed zeros; they expand to a thousand times the length."""
    compressor = zlib.compressobj(level=9, wbits=31)
    zeros = b"\0" * 1_000_000
    chunks = [compressor.compress(zeros) for _ in range(size // 1_000_000)]
    return b"".join([*chunks, compressor.flush()])


CONTENT_TYPES = {
    "/graphql": ["application/json"],
    "/api/events": [EVENTS, LINES],
    "/signin": ["application/x-www-form-urlencoded"],
    "/signout": ["application/x-www-form-urlencoded"],
}


@cache
def list_paths_with_body() -> frozenset[str]:
    """Return every path that accepts a body."""
    app = create_app(Settings.load(), Database("postgresql://nobody@127.0.0.1:1/none"))
    return frozenset(
        re.sub(r"\{.*?\}", "x", route.path)
        for route in app.routes
        if isinstance(route, Route) and (route.methods or set()) & {"POST", "PUT", "PATCH"}
    )


def _compressed_bodies() -> _NamedRequests:
    small = gzip.compress(b'{"query": "{ __typename }"}', mtime=0)
    bodies = {
        "a bomb": gzip_bomb(),
        "a bomb in a bomb": gzip.compress(gzip_bomb(), mtime=0),
        "truncated": small[:-9],
        "a wrong checksum": small[:-8] + b"\0" * 8,
        "not compressed": b'{"query": "{ __typename }"}',
        "two members": small + small,
        "an empty body": b"",
        "only a header": small[:10],
    }
    targets = [
        (path, content_type)
        for path in sorted(list_paths_with_body())
        for content_type in CONTENT_TYPES.get(path, ["application/json"])
    ]
    for path, content_type in targets:
        for name, body in bodies.items():
            for encoding in ("gzip", "GZIP", "gzip, gzip", "deflate", "br", "zstd", "identity, x"):
                if encoding == "gzip" or name in {"a bomb", "two members"}:
                    headers = [("Content-Type", content_type), ("Content-Encoding", encoding)]
                    yield f"{path} {encoding} {name}", request("POST", path, headers, body)


def event(**changes: object) -> dict[str, object]:
    """Return a valid event with the given changes."""
    valid: dict[str, object] = {
        "specversion": "1.0",
        "id": "nasty",
        "source": "corpus",
        "type": "usage.recorded",
        "time": "2026-09-01T00:00:00Z",
        "data": {"username": "nobody", "channel": "ui"},
    }
    return valid | changes


def _events() -> _NamedRequests:
    invalid: list[object] = [
        *ODD_VALUES,
        event(specversion="2.0"),
        event(type="nothing.happened"),
        event(type=None),
        *(event(id=value) for value in INVALID_TEXTS),
        *(event(source=value) for value in INVALID_TEXTS),
        *(event(data=value) for value in ODD_VALUES),
        *(event(time=value) for value in (*ODD_VALUES, *ODD_TIMES)),
        *(event(data={"username": value, "channel": "ui"}) for value in (None, 1, "", "\0")),
        *(event(data={"username": "a", "channel": value}) for value in ODD_VALUES),
        *(event(data={"username": "a", "channel": "ui", "count": value}) for value in ODD_COUNTS),
        event(type="experiment.resized", data={"experiment": "x", "sizeBytes": -1}),
        event(type="experiment.resized", data={"experiment": "x", "sizeBytes": 2**63}),
        event(type="experiment.resized", data={"experiment": "\ud800", "sizeBytes": 1}),
    ]  # fmt: skip
    for each in invalid:
        single = json.dumps(each).encode()
        yield repr(each), request("POST", "/api/events", [("Content-Type", EVENT)], single)
        batch = json.dumps([event(type="nothing.happened"), each]).encode()
        yield repr(each), request("POST", "/api/events", [("Content-Type", EVENTS)], batch)
    valid = json.dumps(event()).encode()
    for name, content_type, body in (
        ("an empty body", EVENTS, b""),
        ("no list", EVENTS, valid),
        ("deep", EVENTS, b"[" * 200_000),
        ("deep objects", EVENTS, b'[{"a":' * 100_000),
        ("deep data", EVENT, valid.replace(b'"ui"', b"[" * 100_000)),
        ("NaN", EVENT, valid.replace(b'"ui"', b"NaN")),
        ("not UTF-8", EVENT, valid.replace(b"nobody", b"\xff\xfe")),
        ("UTF-16", EVENT, valid.decode().encode("utf-16")),
        ("half a line", LINES, valid[:-5]),
        ("half a second line", LINES, valid + b"\n" + valid[:-5]),
        ("carriage returns", LINES, valid + b"\r{"),
        ("NUL between", LINES, valid + b"\n\0\n"),
        ("a million lines", LINES, b"{}\n" * 1_000_000),
        ("another type", "application/json", b"[" + valid + b"]"),
        ("another charset", f"{EVENT}; charset=utf-16", valid[:-1]),
        ("no type", "", valid),
    ):
        yield name, request("POST", "/api/events", [("Content-Type", content_type)], body)


def _headers() -> _NamedRequests:
    plain = f"{REPORT}?reportMonth=2023-13"
    for name, value in (
        ("Host", ""),
        ("Host", "a" * 30_000),
        ("Host", "evil.test\\@chargeback.test"),
        ("X-Forwarded-Host", "evil.test"),
        ("X-Forwarded-For", "127.0.0.1, " * 2_000),
        ("X-Forwarded-Proto", "javascript"),
        ("Forwarded", "for=127.0.0.1;proto=;;;"),
        ("X-Original-URL", "/api/events"),
        ("X-HTTP-Method-Override", "DELETE"),
        ("Range", "bytes=0-,-1,5-2"),
        ("If-None-Match", '"' * 10_000),
        ("If-None-Match", "*"),
        ("If-Modified-Since", "yesterday"),
        ("Accept-Encoding", "gzip;q=0, *;q=0"),
        ("Accept-Encoding", "x" * 30_000),
        ("Cookie", "chargeback_session=" + "x" * 10_000),
        ("Cookie", "; ;=;=;" * 1_000),
        ("Cookie", b"chargeback_session=\xff\xfe"),
        ("Expect", "100-continue"),
        ("Expect", "the-worst"),
        ("Upgrade", "h2c"),
        ("Origin", "null"),
        ("Referer", "javascript:alert(1)"),
        ("User-Agent", b"\xff" * 1_000),
        ("traceparent", "00-" + "f" * 10_000),
        ("X-Request-Id", "\x7f" * 1_000),
        ("X-Request-Id", b"a\r\nSet-Cookie: chargeback_session=mine"),
        ("X" * 30_000, "a"),
        ("X-Large", "a" * 1_000_000),
        (" X-Space", "a"),
        ("X Space", "a"),
        ("X-Fold", b"a\r\n b"),
        ("X-NUL", b"a\0b"),
        ("X-Control", b"a\x01b"),
        ("", "no name"),
    ):
        yield f"{name[:20]}: {value[:20]!r}", request("GET", plain, [(name, value)])
        yield (
            f"{name[:20]}: {value[:20]!r}",
            request("POST", "/graphql", [*JSON, (name, value)], b'{"query": "{"}'),
        )
    many = [(f"X-{number}", "a") for number in range(5_000)]
    yield "5,000 headers", request("GET", plain, many)
    upgrade = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
    ]
    for path in ("/graphql", "/api/events", "/"):
        yield "a web socket", request("GET", path, upgrade)
        yield (
            "a web socket with a key",
            request("GET", path, [*upgrade, ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]),
        )
    for method in ("get", "TRACE", "CONNECT", "OPTIONS", "PROPFIND", "G\0T", "X" * 10_000, ""):
        for path in (plain, "/graphql", "*", "/api/events"):
            yield f"{method[:20]!r} {path}", request(method, path)
    for version in (
        "HTTP/0.9",
        "HTTP/1.0",
        "HTTP/1.2",
        "HTTP/2.0",
        "HTTP/9.9",
        "HTTP/x",
        "",
        "TLS",
    ):
        yield version, request("GET", plain, version=version)
    for name, raw in (
        ("NULs", b"\0" * 10_000),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 100),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xff" * 500),
        ("another protocol", b"EHLO chargeback.test\r\n\r\n"),
        ("bare line feeds", request("GET", plain).replace(b"\r\n", b"\n")),
        ("bare carriage returns", request("GET", plain).replace(b"\r\n", b"\r")),
        (
            "two pipelined requests",
            request("GET", plain).replace(b"close", b"keep-alive") + request("GET", plain),
        ),
        ("two Hosts", request("GET", plain, [("Host", "a"), ("Host", "b")])),
        ("no Host", request("GET", plain).replace(b"Host: chargeback.test\r\n", b"")),
    ):
        yield name, raw if raw.endswith(b"\n") else raw + b"\r\n\r\n"


def _lengths() -> _NamedRequests:
    body = b'{"query": "{"}'
    chunked = [*JSON, ("Transfer-Encoding", "chunked")]
    for value in (
        "-1",
        "+14",
        "0x0e",
        "1e1",
        "14, 14",
        "14, 15",
        "9" * 400,
        "",
        " 14",
        "fourteen",
    ):
        yield value[:20], request("POST", "/graphql", [*JSON, ("Content-Length", value)], body)
    yield (
        "twice",
        request(
            "POST", "/graphql", [*JSON, ("Content-Length", "14"), ("Content-Length", "0")], body
        ),
    )
    for name, sent in (
        ("valid chunks", b"e\r\n" + body + b"\r\n0\r\n\r\n"),
        ("an extension", b"e;a=b\r\n" + body + b"\r\n0\r\n\r\n"),
        ("a long extension", b"e;" + b"a" * 50_000 + b"\r\n" + body + b"\r\n0\r\n\r\n"),
        ("trailers", b"e\r\n" + body + b"\r\n0\r\nAuthorization: x\r\n\r\n"),
        ("no size", b"\r\n" + body),
        ("a negative size", b"-e\r\n" + body),
        ("a huge size", b"f" * 30 + b"\r\n" + body),
        ("not hexadecimal", b"g\r\n" + body),
        ("one byte each", b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"),
    ):
        yield name, request("POST", "/graphql", chunked, sent, length=False)
    for coding in (
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "xchunked",
        "\x0bchunked",
    ):
        yield (
            coding,
            request(
                "POST",
                "/graphql",
                [*JSON, ("Transfer-Encoding", coding)],
                b"0\r\n\r\n",
                length=False,
            ),
        )
    smuggled = b"0\r\n\r\nGET /api/admin/chargeback/report HTTP/1.1\r\nHost: x\r\n\r\n"
    yield (
        "a length and chunks",
        request("POST", "/graphql", [*chunked, ("Content-Length", "6")], smuggled),
    )
    yield (
        "a longer length and chunks",
        request("POST", "/graphql", [*chunked, ("Content-Length", str(len(smuggled)))], smuggled),
    )
    yield "a GET with a body", request("GET", f"{REPORT}?reportMonth=2023-13", JSON, body)


def _keys() -> _NamedRequests:
    for value in (
        "",
        " ",
        "Bearer",
        "Bearer  ",
        "Basic cm9vdDpyb290",
        "Bearer " * 1_000,
        "*",
        "*" * 10_000,
        "x" * 50_000,
        "cbk_",
        "cbk__",
        "cbk_a_b*",
        "cbk_\u0660_\u0660",
        b"\xff\xfe",
        b"cbk_\x80_*",
        "cbk_0CK8cYeiijyT_S8vf6xk1lYBOsz8jrWqNarZNUDz423NY1cBYA1",
    ):
        for path in (f"{REPORT}?reportMonth=2023-13", "/graphql?query={__typename}", ACCOUNTS):
            yield f"{path} {value[:20]!r}", request("GET", path, [("Authorization", value)])
    two = [("Authorization", "nonsense"), ("Authorization", "other")]
    yield "two keys", request("GET", REPORT, two)
    for pair in ((KEY, b"other"), (b"other", KEY), (KEY, KEY)):
        both = [("Authorization", each) for each in pair]
        yield "the key and another", request("GET", f"{REPORT}?reportMonth=2023-13", both)
    yield (
        "only a cookie",
        request("POST", "/graphql", [*JSON, ("Cookie", "chargeback_session=a")], b"{}", key=False),
    )


def _forms() -> _NamedRequests:
    for path in ("/signin", "/signout"):
        for name, body in (
            ("an empty body", b""),
            ("no key", b"a=b"),
            ("an empty key", b"key="),
            ("many keys", b"key=a&" * 600),
            ("a long key", b"key=" + b"x" * 1_000_000),
            ("not UTF-8", b"key=\xff%FF%ED%A0%80"),
            ("NUL", b"key=%00"),
            ("ampersands", b"&" * 4_000),
            ("JSON", b'{"key": "a"}'),
        ):
            yield f"{path} {name}", request("POST", path, FORM, body, key=False)
        origin = [*FORM, ("Origin", "https://evil.test")]
        yield f"{path} from another origin", request("POST", path, origin, b"key=a", key=False)
        multipart = [("Content-Type", "multipart/form-data; boundary=x")]
        parts = b"--x\r\nContent-Disposition: form-data; name=key\r\n\r\na\r\n" * 5_000
        yield f"{path} multipart", request("POST", path, multipart, parts, key=False)
