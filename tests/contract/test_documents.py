"""The documentation lists everything, and its examples and links are correct."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from graphql import parse, validate

from app import __version__
from app.db.engine import Database
from app.demo.generate import OrganizationShape, generate_events
from app.domain.audit import OPERATOR
from app.domain.callers import DEFAULT_ORGANIZATION, Scope
from app.domain.errors import CODES, ChargebackError
from app.domain.event_decoding import decode_lines
from app.domain.events import EVENT_TYPE_BY_CLASS, EVENT_TYPES
from app.domain.ids import organization_id
from app.domain.keys import KeyText
from app.services.rate_card_file import apply_rate_card, parse_rate_card
from app.settings import Settings
from schema import schema
from tests.conftest import CONTRACT, NOW, Feed, FixedClock, GraphQLClient, MakeKey

ROOT = Path(__file__).parents[2]
DOCUMENTS = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
}
DECISIONS = sorted(name for name in DOCUMENTS if re.match(r"docs/adr/[0-9]{4}-", name))


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def section(text: str, heading: str) -> str:
    """Return the text between a heading and the next one of its level or above."""
    level = heading.split(" ")[0]
    _, separator, rest = text.partition(f"\n{heading}\n")
    assert separator, heading
    return re.split(rf"^#{{2,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def first_cells(text: str) -> list[tuple[str, str]]:
    """Return the first two cells of each table row that starts with a name in capitals."""
    return re.findall(r"^\| `([A-Z_]+)` \| (.*?) \|", text, re.MULTILINE)


def statuses(kind: type[ChargebackError] = ChargebackError) -> Iterator[tuple[str, str]]:
    for error in kind.__subclasses__():
        if "code" in vars(error):
            yield error.code, str(error.status)
        yield from statuses(error)


def test_every_error_code_is_documented_with_its_status_and_no_other() -> None:
    documented = dict(first_cells(DOCUMENTS["docs/errors.md"]))
    own = {code: status for code, status in statuses() if code in CODES}

    assert set(documented) == CODES
    assert {code: documented[code] for code in own} == own


def test_every_setting_is_documented_and_no_other() -> None:
    documented = first_cells(DOCUMENTS["docs/admin/settings.md"])

    assert [name for name, _ in documented] == [name.upper() for name in Settings.model_fields]


def test_every_event_type_is_documented_and_no_other() -> None:
    headings = re.findall(r"^### `(.*)`$", DOCUMENTS["docs/feed.md"], re.MULTILINE)

    assert tuple(headings) == EVENT_TYPES


@pytest.mark.parametrize("type_", EVENT_TYPES)
def test_every_event_type_has_examples_that_decode(type_: str) -> None:
    examples = blocks(section(DOCUMENTS["docs/feed.md"], f"### `{type_}`"), "json")

    decoded = decode_lines([example.encode() for example in examples], now=NOW)

    assert {EVENT_TYPE_BY_CLASS[type(event)] for event in decoded} == {type_}


async def test_the_examples_of_events_are_stored_as_one_batch(feed: Feed) -> None:
    types = section(DOCUMENTS["docs/feed.md"], "## Types")

    accepted = await feed(*(example.encode() for example in blocks(types, "json")))

    assert (accepted.accepted, accepted.duplicates) == (len(EVENT_TYPES), 0)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_json_examples_are_valid_json(name: str) -> None:
    for block in blocks(DOCUMENTS[name], "json"):
        orjson.loads(block)


def test_the_documented_rest_response_equals_the_contract() -> None:
    (shown,) = blocks(section(DOCUMENTS["docs/rest.md"], "## The document"), "json")

    assert orjson.loads(shown) == orjson.loads((CONTRACT / "report.json").read_bytes())


QUERIES = {
    f"{name}:{number}": block
    for name, text in DOCUMENTS.items()
    for number, block in enumerate(blocks(text, "graphql"), 1)
} | {"GraphiQL": (ROOT / "app/web/static/default.graphql").read_text(encoding="utf-8")}


@pytest.mark.parametrize("name", QUERIES)
def test_documented_queries_fit_the_schema(name: str) -> None:
    assert validate(schema._schema, parse(QUERIES[name])) == []


RATE_CARD = """
currency = "EUR"

[cost_centres]
4100 = "Perception"

[rates.storage]
name = "Storage"
measure = "STORAGE"
prices = { 2026-09 = 0.20 }
"""


@pytest.fixture
async def demo(feed: Feed, clock: FixedClock, database: Database) -> None:
    """A small organization with three months of history and a rate card, like the demo's."""
    shape = OrganizationShape(workspaces=3, users=12, months=3)
    await feed(*generate_events(shape, seed=1, until=clock.now))
    card = parse_rate_card(RATE_CARD)
    key = organization_id(DEFAULT_ORGANIZATION)
    await apply_rate_card(database, key, card, by=OPERATOR, now=clock.now)


@pytest.mark.usefixtures("demo")
async def test_documented_queries_run_without_errors(
    graphql: GraphQLClient, make_key: MakeKey
) -> None:
    report = await graphql(
        '{ chargebackReport(month: "2026-10") { charges { lines { lineId } } } }'
    )
    charge = report["chargebackReport"]["charges"]["lines"][0]["lineId"]
    for name, query in QUERIES.items():
        key = KeyText.parse(await make_key("connector", Scope.EVENTS_WRITE))
        assert key is not None

        variables = {"id": key.key_id, "month": "2026-10", "charge": charge}
        response = await graphql.execute(query, variables)

        assert "errors" not in response, (name, response)


@pytest.mark.usefixtures("demo")
async def test_the_response_in_the_readme_has_the_shape_of_a_real_one(
    graphql: GraphQLClient,
) -> None:
    (query,), (answer,) = (blocks(DOCUMENTS["README.md"], each) for each in ("graphql", "json"))

    assert keys_of(orjson.loads(answer)["data"]) == keys_of(await graphql(query))


def keys_of(value: Any) -> Any:
    """Return the nested keys of a response; a list has those of its first object."""
    if isinstance(value, Mapping):
        return {key: keys_of(inner) for key, inner in value.items()}
    return keys_of(value[0]) if isinstance(value, list) else None


@pytest.mark.parametrize("name", DOCUMENTS)
def test_relative_links_resolve(name: str) -> None:
    text = re.sub(r"^```.*?^```$|`[^`\n]*`", "", DOCUMENTS[name], flags=re.DOTALL | re.MULTILINE)
    links = re.findall(r"\]\((?![a-z]+:)([^)#\s]*)#?([^)\s]*)\)", text)

    broken = [link for link in links if not resolves((ROOT / name).parent, ROOT / name, *link)]

    assert broken == []


def resolves(folder: Path, document: Path, path: str, anchor: str) -> bool:
    target = (folder / path).resolve() if path else document
    return target.exists() and (not anchor or anchor in anchors(target.read_text()))


def anchors(text: str) -> set[str]:
    """Return the anchors that Markdown hosts derive from the headings of a document."""
    headings = re.findall(r"^#{1,6} (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_documented_archives_and_images_have_this_version() -> None:
    named = re.findall(r"chargeback[-:](\d+\.\d+\.\d+)", "".join(DOCUMENTS.values()))

    assert set(named) == {__version__}


@pytest.mark.parametrize("name", DECISIONS)
def test_a_decision_has_its_four_parts_and_is_listed(name: str) -> None:
    headings = re.findall(r"^#{1,2} (.*)$", DOCUMENTS[name], re.MULTILINE)
    number, *_ = Path(name).name.partition("-")

    assert headings[1:] == ["Context", "Decision", "Consequences", "Alternatives"]
    assert headings[0].startswith(f"{number}: ")
    assert f"- [{headings[0]}]({Path(name).name})\n" in DOCUMENTS["docs/adr/README.md"]
    assert re.fullmatch(r"\n\*\*[^*]+\.\*\*\n\n", section(DOCUMENTS[name], "## Decision"))
