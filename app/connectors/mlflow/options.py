"""What a context of MLflow may be told."""

from typing import Annotated

import msgspec
from msgspec import Meta

from app.connectors.mlflow.records import DEFAULT_WORKSPACE, OWNER_TAG


class MlflowOptions(msgspec.Struct, rename="kebab", forbid_unknown_fields=True, frozen=True):
    """The options of `chargeback import-mlflow`, which a sources file spells the same way.

    Attributes:
        store: The URL of the tracking store's database.
        tracking_url: The address of the server: to read over REST without `store`, and the proxy.
        auth_store: The URL of the basic-auth app's database.
        artifacts_destination: Where the proxy keeps what it serves.
        workspace_from: How the workspace of an experiment is found.
        otherwise: The workspace where that finds none.
        owner_tag: Which tag of a run names its owner.
        parallel: How many folders are listed at a time.
        settle_days: For how long after its end a run's files are listed again.
        relist: List the files of all runs.
        accept_loss: Believe it when most of what was there is gone.
        untested_version: Read a database of a version that was not tested.
    """

    store: str | None = None
    tracking_url: str | None = None
    auth_store: str | None = None
    artifacts_destination: str | None = None
    workspace_from: str = "workspace"
    otherwise: Annotated[str, Meta(min_length=1, max_length=512)] = DEFAULT_WORKSPACE
    owner_tag: str = OWNER_TAG
    parallel: Annotated[int, Meta(ge=1, le=256)] = 16
    settle_days: Annotated[int, Meta(ge=0, le=3650)] = 7
    relist: bool = False
    accept_loss: bool = False
    untested_version: bool = False
