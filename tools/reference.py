"""Write what follows from the code: references, and which settings the chart takes.

python tools/reference.py          write docs/reference/ and the chart's values.schema.json
python tools/reference.py --check  say which file is not current, and end with 1
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from app.domain.events import Event
from app.settings import Settings

FOLDER = Path(__file__).parents[1] / "docs/reference"
CHART = "../../deploy/helm/chargeback/values.schema.json"
OF_OTHER_VALUES = {
    "DATABASE_URL",
    "ADMIN_USER_LIST",
    "CHARGEBACK_USAGE_REPORT_ENABLED",
    "METRICS_TOKEN",
}
"""Settings that other values of the chart give; tokens and passwords come from secrets."""
_MADE = "<!-- Made by tools/reference.py from the code; `make reference` writes it anew. -->"


def main() -> None:
    """Write the pages, or check that they are current."""
    old = [name for name, text in pages().items() if _current(name) != text]
    if "--check" in sys.argv:
        sys.exit(f"not current: {', '.join(old)}; run make reference" if old else 0)
    FOLDER.mkdir(exist_ok=True)
    for name in old:
        (FOLDER / name).write_text(pages()[name], encoding="utf-8")


def _current(name: str) -> str:
    file = FOLDER / name
    return file.read_text(encoding="utf-8") if file.exists() else ""


def pages() -> dict[str, str]:
    """Each file by its place, seen from `docs/reference`."""
    return {
        "settings.md": "\n".join(settings_page()),
        "feed.md": "\n".join(feed_page()),
        CHART: chart_schema(_current(CHART)),
    }


def chart_schema(current: str) -> str:
    """The chart's schema with the settings that `backend.settings` may have."""
    schema = json.loads(current)
    described = Settings.model_json_schema()
    schema["properties"]["backend"]["properties"]["settings"] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            name.upper(): _value(each, described["$defs"])
            for name, each in described["properties"].items()
            if name.upper() not in OF_OTHER_VALUES
        },
    }
    return json.dumps(schema, indent=2) + "\n"


def _value(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a setting may be in YAML; lists are text with commas."""
    if "$ref" in schema:
        return _value(definitions[schema["$ref"].rsplit("/")[-1]], definitions)
    if "anyOf" in schema:
        schema = next(each for each in schema["anyOf"] if each.get("type") != "null")
    if "enum" in schema:
        return {"enum": schema["enum"]}
    kept = {key: schema[key] for key in (*_BOUNDS, "pattern") if key in schema}
    kind = schema.get("type", "string")
    return {"type": "string" if kind == "array" else kind, **kept}


def settings_page() -> Iterator[str]:
    """Each setting: its default, what it may be, what it means."""
    yield from ("# Settings reference", "", _MADE, "")
    yield "Environment variables, or lines of `/etc/default/chargeback`."
    yield from ("[Settings](../admin/settings.md) explains them in more detail.", "")
    yield from ("| name | default | may be | what |", "|---|---|---|---|")
    described = Settings.model_json_schema()["properties"]
    definitions = Settings.model_json_schema().get("$defs", {})
    for name, field in Settings.model_fields.items():
        allowed = _allowed(described[name], definitions)
        shown = _default(field.default)
        yield f"| `{name.upper()}` | {shown} | {allowed} | {field.description} |"
    yield ""


def _default(value: Any) -> str:
    if value is None or value in (frozenset(), (), ""):
        return "unset"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _allowed(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """A JSON schema in words."""
    if "$ref" in schema:
        return _allowed(definitions[schema["$ref"].rsplit("/")[-1]], definitions)
    if "anyOf" in schema:
        return " or ".join(_allowed(each, definitions) for each in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("format") == "date-time":
        return "a time, RFC 3339"
    kinds = {"null": "unset", "boolean": "a switch", "string": "text", "array": "a list"}
    return kinds.get(schema.get("type", "string"), "a number") + _range(schema)


_BOUNDS = {"minimum": "from {}", "exclusiveMinimum": "above {}", "maximum": "to {}"}


def _range(schema: Mapping[str, Any]) -> str:
    words = [words.format(f"{schema[key]:,}") for key, words in _BOUNDS.items() if key in schema]
    if "minLength" in schema:
        words.append(f"of {schema['minLength']} to {schema['maxLength']:,} characters")
    return f" {' '.join(words)}" if words else ""


def feed_page() -> Iterator[str]:
    """Each type of event: its fields, their types and limits."""
    yield from ("# Feed reference", "", _MADE, "")
    yield "The fields of `data` for each type of event. [The feed](../feed.md) has what they mean."
    for kind in Event.__subclasses__():
        definitions = msgspec.json.schema(get_type_hints(kind)["data"])["$defs"]
        (data,) = (each for each in definitions.values() if "properties" in each)
        yield from ("", f"## {kind.__struct_config__.tag}", "", _sentence(kind), "")
        yield from ("| field | required | is |", "|---|---|---|")
        for field, described in data["properties"].items():
            required = "yes" if field in data.get("required", ()) else "no"
            yield f"| `{field}` | {required} | {_allowed(described, definitions)} |"
    yield ""


def _sentence(kind: type[Event]) -> str:
    return (kind.__doc__ or "").splitlines()[0]


if __name__ == "__main__":
    main()
