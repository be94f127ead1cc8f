"""A context of a tracking store: what is read, and how."""

from collections.abc import Callable
from dataclasses import dataclass

from app.connectors.mlflow.artifacts import ArtifactStores
from app.connectors.mlflow.checkpoint import LoadCheckpoint
from app.connectors.mlflow.event_writer import EventWriter
from app.connectors.mlflow.mapping import WorkspaceRule
from app.connectors.mlflow.records import AccountDirectory, TrackingStore
from app.domain.errors import SourceUnavailable

ProgressCallback = Callable[[str, int, int], None]
"""Told what is being read, how much of it is done, and how much there is."""


@dataclass(frozen=True, slots=True)
class LoadContext:
    """What is read, and how.

    Attributes:
        store: The tracking store.
        directory: The users of the basic-auth app, where it is used.
        artifacts: Where files lie.
        rule: Where experiments are counted.
        events: Writes the events.
        load_checkpoint: What was told before.
        now_ms: What time it is.
        settle_ms: For how long after its end a run's files are listed again.
        relist: Whether all runs' files are listed, not only those that may have changed.
        accept_loss: Whether most of what was known may be gone.
        progress: Told how far it is.
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

    def insist_on_most(self, what: str, gone: int, known: int) -> None:
        """Stop where most is gone: what is ended stays ended, and such a store is mostly another.

        Raises:
            SourceUnavailable: Most of what was known is gone, and that is not to be accepted.
        """
        if not self.accept_loss and gone > 1 and 2 * gone > known:
            raise SourceUnavailable(
                f"Of {known} {what} that were there before, {gone} are gone: is this still the "
                f"same MLflow, with its workspaces and users? Nothing of them was ended; "
                f"--accept-loss ends them."
            )
