"""The options of a load from MLflow."""

from typing import Annotated

import msgspec
from msgspec import Meta

from app.connectors.mlflow.records import DEFAULT_WORKSPACE, OWNER_TAG


class MlflowOptions(msgspec.Struct, rename="kebab", forbid_unknown_fields=True, frozen=True):
    """The options of `chargeback import-mlflow`; a sources file uses the same names.

    Attributes:
        store: The URL of the tracking store's database.
        tracking_url: The server's address: read over REST if `store` is missing, and used as the
            artifact proxy.
        auth_store: The URL of the database of the basic-auth app.
        artifacts_destination: Where the artifact proxy stores its files.
        workspace_from: The rule that finds the workspace of an experiment.
        otherwise: The workspace of experiments for which the rule finds none.
        owner_tag: The tag of a run that names its owner.
        parallel: How many folders are listed at a time.
        settle_days: How many days after its end a run's files are listed again.
        relist: List the files of all runs.
        accept_loss: End entities even if most of them are missing.
        untested_version: Read databases of untested MLflow versions.
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
