"""Where an MLflow experiment is counted: its workspace, and its name as a project there."""

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
    """A project of a workspace."""

    workspace: str
    project: str


@dataclass(frozen=True, slots=True)
class WorkspaceRule:
    """How the workspace of an experiment is found.

    Attributes:
        kind: `workspace` (MLflow's own), `tag`, `prefix` or `file`.
        argument: The tag's key, or the separator after the prefix.
        patterns: Of a file: workspaces by patterns of experiments' names; the first that matches.
        otherwise: The workspace where the rule finds none.
    """

    kind: str
    argument: str = ""
    patterns: Mapping[str, str] = field(default_factory=dict)
    otherwise: str = DEFAULT_WORKSPACE

    @classmethod
    def parse(cls, written: str, otherwise: str = DEFAULT_WORKSPACE) -> Self:
        """A rule as it is written on the command line.

        Raises:
            InvalidArgument: It is not one of the forms, or its file cannot be read.
        """
        kind, _, argument = written.partition(":")
        match kind:
            case "workspace" if not argument:
                return cls(kind, otherwise=otherwise)
            case "tag" if argument:
                return cls(kind, argument, otherwise=otherwise)
            case "prefix":
                return cls(kind, argument or "/", otherwise=otherwise)
            case "file" if argument:
                return cls(kind, patterns=_patterns(Path(argument)), otherwise=otherwise)
        raise InvalidArgument(f"workspace-from: must be {WORKSPACE_RULE_FORMS}; got {written!r}.")

    @property
    def tags(self) -> Sequence[str]:
        """Which tags of an experiment the rule reads."""
        return [self.argument] if self.kind == "tag" else []

    @property
    def follows_mlflow(self) -> bool:
        """Whether workspaces are MLflow's own, with those that hold nothing yet."""
        return self.kind == "workspace"

    def place(self, experiment: MlflowExperiment) -> ProjectKey:
        """Where an experiment is counted."""
        name = experiment.name
        match self.kind:
            case "tag":
                return ProjectKey(experiment.tags.get(self.argument) or self.otherwise, name)
            case "prefix":
                prefix, found, rest = name.partition(self.argument)
                return (
                    ProjectKey(prefix, rest)
                    if found and prefix and rest
                    else self._elsewhere(name)
                )
            case "file":
                matching = (
                    workspace
                    for pattern, workspace in self.patterns.items()
                    if fnmatchcase(name, pattern)
                )
                return ProjectKey(next(matching, self.otherwise), name)
        return ProjectKey(experiment.workspace, name)

    def _elsewhere(self, name: str) -> ProjectKey:
        return ProjectKey(self.otherwise, name)


def _patterns(file: Path) -> Mapping[str, str]:
    """A file of TOML: under `[workspaces]` a line `"pattern" = "workspace"` each."""
    try:
        read = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidArgument(f"workspace-from: {file} cannot be read: {error}.") from None
    patterns = read.get("workspaces")
    if not isinstance(patterns, dict) or not all(
        isinstance(workspace, str) and workspace for workspace in patterns.values()
    ):
        raise InvalidArgument(
            f'workspace-from: {file}: there must be a table [workspaces] of lines "pattern" = '
            '"workspace".'
        )
    return patterns
