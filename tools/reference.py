"""Generate what repeats the code or the documents: reference pages, the chart's schema, examples.

python tools/reference.py          write docs/reference/ and the chart's values.schema.json
python tools/reference.py --check  list outdated files and exit with status 1
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import typer

from app.cli.commands import cli
from app.cli.help import Panel
from app.domain.events import Event
from app.settings import Settings

FOLDER = Path(__file__).parents[1] / "docs/reference"
CHART = "../../deploy/helm/chargeback/values.schema.json"
EXAMPLES = "../../app/web/static/examples.json"
SET_BY_OTHER_VALUES = {
    "DATABASE_URL",
    "ADMIN_USER_LIST",
    "CHARGEBACK_USAGE_REPORT_ENABLED",
    "METRICS_TOKEN",
}
"""Settings that the chart derives from other values; tokens and passwords come from secrets."""
_GENERATED = "<!-- Generated from the code by tools/reference.py; run `make reference`. -->"


def main() -> None:
    """Write the pages, or check that they are current."""
    generated = generate_pages()
    outdated = [name for name, text in generated.items() if _read(name) != text]
    if "--check" in sys.argv:
        sys.exit(f"outdated: {', '.join(outdated)}; run make reference" if outdated else 0)
    FOLDER.mkdir(exist_ok=True)
    for name in outdated:
        (FOLDER / name).write_text(generated[name], encoding="utf-8")


def _read(name: str) -> str:
    file = FOLDER / name
    return file.read_text(encoding="utf-8") if file.exists() else ""


def generate_pages() -> dict[str, str]:
    """Return the text of each generated file by its path relative to `docs/reference`."""
    return {
        "cli.md": "\n".join(cli_page()),
        "settings.md": "\n".join(settings_page()),
        "feed.md": "\n".join(feed_page()),
        CHART: generate_chart_schema(_read(CHART)),
        EXAMPLES: generate_examples(_read("../graphql.md")),
    }


def generate_examples(document: str) -> str:
    """Return the numbered queries of the GraphQL page, named after their titles, for GraphiQL."""
    pattern = r"^### [0-9]+\. (.+?)\n(.*?)```graphql\n(.*?)```"
    examples = []
    for title, _, query in re.findall(pattern, document, re.MULTILINE | re.DOTALL):
        name = "".join(word.capitalize() for word in re.findall(r"\w+", title))
        named = f"query {name} {query}" if query.startswith("{") else query
        examples.append(f"# {title}\n\n{named}")
    return json.dumps(examples, indent=2, ensure_ascii=False) + "\n"


def generate_chart_schema(current: str) -> str:
    """Return the chart's schema with the settings that `backend.settings` accepts."""
    schema = json.loads(current)
    described = Settings.model_json_schema()
    schema["properties"]["backend"]["properties"]["settings"] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            name.upper(): _setting_schema(each, described["$defs"])
            for name, each in described["properties"].items()
            if name.upper() not in SET_BY_OTHER_VALUES
        },
    }
    return json.dumps(schema, indent=2) + "\n"


def _setting_schema(
    schema: Mapping[str, Any], definitions: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return the schema of a setting in YAML; lists are comma-separated text."""
    if "$ref" in schema:
        return _setting_schema(definitions[schema["$ref"].rsplit("/")[-1]], definitions)
    if "anyOf" in schema:
        schema = next(each for each in schema["anyOf"] if each.get("type") != "null")
    if "enum" in schema:
        return {"enum": schema["enum"]}
    constraints = {key: schema[key] for key in (*_BOUNDS, "pattern") if key in schema}
    kind = schema.get("type", "string")
    return {"type": "string" if kind == "array" else kind, **constraints}


def settings_page() -> Iterator[str]:
    """Yield the lines of the settings reference."""
    yield from ("# Settings reference", "", _GENERATED, "")
    yield "Environment variables, or lines of `/etc/default/chargeback`."
    yield from ("[Settings](../admin/settings.md) explains them in more detail.", "")
    yield from ("| name | default | allowed | meaning |", "|---|---|---|---|")
    described = Settings.model_json_schema()["properties"]
    definitions = Settings.model_json_schema().get("$defs", {})
    for name, field in Settings.model_fields.items():
        allowed = _describe_values(described[name], definitions)
        default = _format_default(field.default)
        yield f"| `{name.upper()}` | {default} | {allowed} | {field.description} |"
    yield ""


def _format_default(value: Any) -> str:
    if value is None or value in (frozenset(), (), ""):
        return "unset"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _describe_values(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """Describe a JSON schema in words."""
    if "$ref" in schema:
        return _describe_values(definitions[schema["$ref"].rsplit("/")[-1]], definitions)
    if "anyOf" in schema:
        return " or ".join(_describe_values(each, definitions) for each in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("format") == "date-time":
        return "a time, RFC 3339"
    kinds = {"null": "unset", "boolean": "a boolean", "string": "text", "array": "a list"}
    return kinds.get(schema.get("type", "string"), "a number") + _describe_range(schema)


_BOUNDS = {"minimum": "from {}", "exclusiveMinimum": "above {}", "maximum": "to {}"}


def _describe_range(schema: Mapping[str, Any]) -> str:
    parts = [
        template.format(f"{schema[key]:,}") for key, template in _BOUNDS.items() if key in schema
    ]
    if "minLength" in schema:
        parts.append(f"of {schema['minLength']} to {schema['maxLength']:,} characters")
    return f" {' '.join(parts)}" if parts else ""


def feed_page() -> Iterator[str]:
    """Yield the lines of the event reference."""
    yield from ("# Feed reference", "", _GENERATED, "")
    yield "The fields of `data` for each type of event. [The feed](../feed.md) explains them."
    for kind in Event.__subclasses__():
        definitions = msgspec.json.schema(get_type_hints(kind)["data"])["$defs"]
        (data,) = (each for each in definitions.values() if "properties" in each)
        yield from ("", f"## {kind.__struct_config__.tag}", "", _first_sentence(kind), "")
        yield from ("| field | required | allowed |", "|---|---|---|")
        for field, described in data["properties"].items():
            required = "yes" if field in data.get("required", ()) else "no"
            yield f"| `{field}` | {required} | {_describe_values(described, definitions)} |"
    yield ""


def _first_sentence(kind: type[Event]) -> str:
    return (kind.__doc__ or "").splitlines()[0]


def cli_page() -> Iterator[str]:
    """Yield the lines of the command-line reference, in the order of the help."""
    yield from ("# Command-line reference", "", _GENERATED, "")
    yield "`chargeback COMMAND --help` prints the same."
    panel = ""
    root: Any = typer.main.get_command(cli)
    for command in sorted(root.commands.values(), key=_panel_position):
        if _panel_name(command) != panel:
            panel = _panel_name(command)
            yield from ("", f"## {panel}")
        if hasattr(command, "commands"):
            for inner in command.commands.values():
                yield from _command_section(f"{command.name} {inner.name}", inner)
        else:
            yield from _command_section(command.name, command)
    yield ""


_PANELS = [*map(str, Panel)]


def _panel_position(command: Any) -> int:
    return _PANELS.index(_panel_name(command))


def _panel_name(command: Any) -> str:
    return str(command.rich_help_panel)


def _command_section(name: str, command: Any) -> Iterator[str]:
    arguments, options = [], []
    for each in command.get_params(typer.Context(command)):
        (arguments if each.param_type_name == "argument" else options).append(each)
    usage = " ".join([name, *map(_argument_name, arguments), "[OPTIONS]"])
    yield from ("", f"### {name}", "", " ".join(command.help.split()), "")
    yield from ("```text", f"chargeback {usage}", "```", "")
    yield from ("| argument or option | meaning |", "|---|---|")
    for each in arguments:
        yield f"| `{_argument_name(each)}` | {_cell(each.help)} |"
    for each in options:
        if each.name != "help":
            parts = " ".join([each.opts[0], _cell(each.metavar or "")]).strip()
            yield f"| `{parts}` | {_cell(each.help)}{_notes(each)} |"
    _, *examples = command.epilog.split("\n\n")
    yield from ("", "```bash", *map(str.strip, examples), "```")


def _argument_name(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _notes(option: Any) -> str:
    """Return what the help adds to an option: default, environment variable, required."""
    if option.required:
        return " Required."
    default = option.default
    is_shown = option.show_default and default not in (None, False, [], "")
    text = ", ".join(map(str, default)) if isinstance(default, list) else default
    notes = f" Default: `{text}`." if is_shown else ""
    return notes + (f" Environment: `{option.envvar}`." if option.envvar else "")


def _cell(text: str | None) -> str:
    return (text or "").replace("|", "\\|")


if __name__ == "__main__":
    main()
