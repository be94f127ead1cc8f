"""Map MLflow experiments to workspaces and projects of the report."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple, Self

from app.connectors.mlflow.records import DEFAULT_WORKSPACE, MlflowExperiment
from app.domain.errors import InvalidArgument

WORKSPACE_RULE_FORMS = "workspace, tag:KEY, prefix, prefix:SEPARATOR or file:PATH"


class ProjectKey(NamedTuple):
    """A workspace and the name of a project in it."""

    workspace: str
    project: str


@dataclass(frozen=True, slots=True)
class WorkspaceRule:
    """A rule that finds the workspace of an experiment.

    Attributes:
        kind: `workspace` (MLflow's workspaces), `tag`, `prefix` or `file`.
        argument: The key of the tag, or the separator after the prefix.
        patterns: For `file`: workspaces by experiment name pattern; the first match counts.
        otherwise: The workspace of experiments for which the rule finds none.
    """

    kind: str
    argument: str = ""
    patterns: Mapping[str, str] = field(default_factory=dict)
    otherwise: str = DEFAULT_WORKSPACE

    @classmethod
    def parse(cls, text: str, otherwise: str = DEFAULT_WORKSPACE) -> Self:
        """Parse a rule from the command line.

        Raises:
            InvalidArgument: The text has none of the forms, or its file cannot be read.
        """
        kind, _, argument = text.partition(":")
        match kind:
            case "workspace" if not argument:
                return cls(kind, otherwise=otherwise)
            case "tag" if argument:
                return cls(kind, argument, otherwise=otherwise)
            case "prefix":
                return cls(kind, argument or "/", otherwise=otherwise)
            case "file" if argument:
                return cls(kind, patterns=_read_patterns(Path(argument)), otherwise=otherwise)
        raise InvalidArgument(f"workspace-from: must be {WORKSPACE_RULE_FORMS}; got {text!r}.")

    @property
    def tags(self) -> Sequence[str]:
        """Return the experiment tags that the rule needs."""
        return [self.argument] if self.kind == "tag" else []

    @property
    def follows_mlflow(self) -> bool:
        """Return whether the workspaces are MLflow's own, including empty ones."""
        return self.kind == "workspace"

    def resolve_project(self, experiment: MlflowExperiment) -> ProjectKey:
        """Return the workspace and project that an experiment counts in."""
        name = experiment.name
        match self.kind:
            case "tag":
                return ProjectKey(experiment.tags.get(self.argument) or self.otherwise, name)
            case "prefix":
                prefix, found, rest = name.partition(self.argument)
                return (
                    ProjectKey(prefix, rest)
                    if found and prefix and rest
                    else ProjectKey(self.otherwise, name)
                )
            case "file":
                matching = (
                    workspace
                    for pattern, workspace in self.patterns.items()
                    if fnmatchcase(name, pattern)
                )
                return ProjectKey(next(matching, self.otherwise), name)
        return ProjectKey(experiment.workspace, name)


def _read_patterns(file: Path) -> Mapping[str, str]:
    """Read a TOML file whose table `[workspaces]` maps name patterns to workspaces."""
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidArgument(f"workspace-from: {file} cannot be read: {error}.") from None
    patterns = content.get("workspaces")
    if not isinstance(patterns, dict) or not all(
        isinstance(workspace, str) and workspace for workspace in patterns.values()
    ):
        raise InvalidArgument(
            f'workspace-from: {file}: needs a table [workspaces] with lines such as "pattern" = '
            '"workspace".'
        )
    return patterns
