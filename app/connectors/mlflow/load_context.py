"""The context of one load: what is read, and with which options."""

from collections.abc import Callable
from dataclasses import dataclass

from app.connectors.mlflow.artifacts import ArtifactStores
from app.connectors.mlflow.checkpoint import LoadCheckpoint
from app.connectors.mlflow.event_writer import EventWriter
from app.connectors.mlflow.mapping import WorkspaceRule
from app.connectors.mlflow.records import AccountDirectory, TrackingStore
from app.domain.errors import SourceUnavailable
from app.domain.sources import is_probably_incomplete

ProgressCallback = Callable[[str, int, int], None]
"""Called with what is being read, how much of it is done, and how much there is."""


@dataclass(frozen=True, slots=True)
class LoadContext:
    """What a load reads, and with which options.

    Attributes:
        store: The tracking store.
        directory: The users of the basic-auth app, if it is used.
        artifacts: Lists artifact folders.
        rule: Maps experiments to workspaces and projects.
        events: Formats the events.
        load_checkpoint: Loads what the last loads stored.
        now_ms: The current time.
        settle_ms: How long after its end a run's files are listed again.
        relist: Whether to list the files of all runs, not only of those that may have changed.
        accept_loss: Whether to continue when most of what was known is missing.
        progress: Reports progress.
    """

    store: TrackingStore
    directory: AccountDirectory | None
    artifacts: ArtifactStores
    rule: WorkspaceRule
    events: EventWriter
    load_checkpoint: LoadCheckpoint
    now_ms: int
    settle_ms: int
    relist: bool
    accept_loss: bool
    progress: ProgressCallback

    def require_most_present(self, noun: str, missing: int, known: int) -> None:
        """Stop if most of what was known is missing, because the store is probably another one.

        Raises:
            SourceUnavailable: Most of it is missing and `accept_loss` is off.
        """
        if not self.accept_loss and is_probably_incomplete(missing, known):
            raise SourceUnavailable(
                f"{missing} of {known} known {noun} are missing. Check that this is the same "
                f"MLflow, with its workspaces and users. None of them was ended; --accept-loss "
                f"ends them."
            )
