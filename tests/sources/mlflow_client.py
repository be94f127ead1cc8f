"""What people do with MLflow, done by its own client: runs in MLflow's environment, not in ours.

Called with the name of a scene; prints the ids of what it logged, as JSON.
"""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.server import get_app_client

KIB = 1024
PASSWORD = "correct-horse-battery"
TRACKING = os.environ["MLFLOW_TRACKING_URI"]


@contextmanager
def acting_as(username: str) -> Iterator[None]:
    """What is logged within the block is logged by this user."""
    before = os.environ.get("MLFLOW_TRACKING_USERNAME")
    os.environ["MLFLOW_TRACKING_USERNAME"] = os.environ["LOGNAME"] = username
    os.environ["MLFLOW_TRACKING_PASSWORD"] = PASSWORD
    yield
    os.environ["MLFLOW_TRACKING_USERNAME"] = before or "admin"


def file_of(kib: int, name: str) -> str:
    path = Path(tempfile.mkdtemp()) / name
    path.write_bytes(b"x" * (kib * KIB))
    return str(path)


def run(experiment: str, files: dict[str, int]) -> str:
    """A finished run with files: sizes in KiB by path."""
    mlflow.set_experiment(experiment)
    with mlflow.start_run() as begun:
        for path, kib in files.items():
            folder, _, name = path.rpartition("/")
            mlflow.log_artifact(file_of(kib, name), folder or None)
    return str(begun.info.run_id)


def role_in(auth: Any, workspace: str) -> int:
    """The role that may do everything in a workspace."""
    mlflow.set_workspace(workspace)
    return int(next(each.id for each in auth.list_roles(workspace) if each.name == "admin"))


def first_month() -> dict[str, str]:
    """Two workspaces, some users, four runs, a logged model, two registered versions, traces."""
    auth = get_app_client("basic-auth", TRACKING)
    for workspace in ("vision", "speech"):
        mlflow.create_workspace(name=workspace)
    people = {"ann": ["vision"], "bob": ["vision", "speech"], "carl": [], "dora": ["speech"]}
    for username, workspaces in people.items():
        auth.create_user(username, PASSWORD)
        for workspace in workspaces:
            auth.assign_role(username, role_in(auth, workspace))
    ids = {}
    mlflow.set_workspace("vision")
    with acting_as("ann"):
        ids["a"] = run("segmentation", {"a.bin": 1024, "sub/b.bin": 512})
        ids["b"] = run("segmentation", {"a.bin": 256})
    with acting_as("bob"):
        ids["c"] = run("segmentation", {"a.bin": 2048})
        model = mlflow.initialize_logged_model(name="net", source_run_id=ids["c"])
        MlflowClient().log_model_artifacts(model.model_id, str(Path(file_of(1024, "w")).parent))
        client = MlflowClient()
        client.finalize_logged_model(model.model_id, "READY")
        client.create_registered_model("net")
        client.create_model_version("net", model.model_uri, ids["c"], model_id=model.model_id)
        client.create_model_version("net", "s3://elsewhere/net")
        mlflow.set_workspace("speech")
        ids["d"] = run("asr", {})
        for _ in range(3):
            with mlflow.start_span("asks"):
                pass
        mlflow.flush_trace_async_logging(terminate=True)
    return ids


def next_month() -> dict[str, str]:
    """A run, a late file, two runs in the bin, another name for an experiment, a user less."""
    ids: dict[str, str] = json.loads(os.environ["LOGGED"])
    mlflow.set_workspace("vision")
    with acting_as("ann"):
        ids["e"] = run("segmentation", {"a.bin": 512})
        MlflowClient().delete_run(ids["a"])
        MlflowClient().delete_run(ids["b"])
    mlflow.set_workspace("speech")
    with acting_as("bob"):
        client = MlflowClient()
        client.log_artifact(ids["d"], file_of(1024, "late.bin"))
        client.rename_experiment(client.get_run(ids["d"]).info.experiment_id, "asr2")
    auth = get_app_client("basic-auth", TRACKING)
    auth.unassign_role("dora", role_in(auth, "speech"))
    auth.delete_user("carl")
    return ids


def nothing() -> dict[str, str]:
    """A store that was just made."""
    mlflow.search_experiments()
    return {}


def one_run() -> dict[str, str]:
    """A run of ann's."""
    get_app_client("basic-auth", TRACKING).create_user("ann", PASSWORD)
    with acting_as("ann"):
        return {"a": run("vision/seg", {"a.bin": 1024})}


def older_month() -> dict[str, str]:
    """Without workspaces, as MLflow was before 3.10: teams are prefixes of experiments' names."""
    auth = get_app_client("basic-auth", TRACKING)
    for username in ("ann", "bob", "carl"):
        auth.create_user(username, PASSWORD)
    ids = {}
    with acting_as("ann"):
        ids["a"] = run("vision/segmentation", {"a.bin": 1024, "sub/b.bin": 512})
        ids["b"] = run("vision/segmentation", {"a.bin": 256})
    with acting_as("bob"):
        ids["c"] = run("vision/segmentation", {"a.bin": 2048})
        ids["d"] = run("speech/asr", {})
        for _ in range(3):
            with mlflow.start_span("asks"):
                pass
        mlflow.flush_trace_async_logging(terminate=True)
        client = MlflowClient()
        asr = client.get_run(ids["d"]).info.experiment_id
        if hasattr(mlflow, "initialize_logged_model"):
            model = mlflow.initialize_logged_model(name="net", source_run_id=ids["d"])
            client.log_model_artifacts(model.model_id, str(Path(file_of(1024, "w")).parent))
            client.finalize_logged_model(model.model_id, "READY")
        else:
            client.log_artifact(ids["d"], file_of(1024, "w"), "net")
    auth.create_experiment_permission(asr, "carl", "READ")
    return ids


def older_next_month() -> dict[str, str]:
    """A run, two runs in the bin, another name for an experiment, a permission less."""
    ids: dict[str, str] = json.loads(os.environ["LOGGED"])
    with acting_as("ann"):
        ids["e"] = run("vision/segmentation", {"a.bin": 512})
        MlflowClient().delete_run(ids["a"])
        MlflowClient().delete_run(ids["b"])
    with acting_as("bob"):
        client = MlflowClient()
        asr = client.get_run(ids["d"]).info.experiment_id
        client.rename_experiment(asr, "speech/asr2")
    get_app_client("basic-auth", TRACKING).delete_experiment_permission(asr, "carl")
    return ids


def without_a_server() -> dict[str, str]:
    """Straight into the database and the artifact store, as small teams do."""
    root = os.environ["ARTIFACTS"]
    for name, team in {"vision/seg": "team-v", "vision/depth": "team-v", "misc": "team-m"}.items():
        mlflow.create_experiment(name, f"{root}/{name}", tags={"team": team})
    with acting_as("ann"):
        ids = {"a": run("vision/seg", {"a.bin": 1024, "sub/b.bin": 512})}
        ids["b"] = run("vision/depth", {"a.bin": 256})
    with acting_as("bob"):
        ids["c"] = run("misc", {"a.bin": 2048})
        with mlflow.start_span("asks"):
            pass
        mlflow.flush_trace_async_logging(terminate=True)
    return ids


def oddities() -> dict[str, str]:
    """A run that names nobody, a logged model without a run, a run of the future."""
    client = MlflowClient()
    root = os.environ["ARTIFACTS"]
    experiment_id = client.create_experiment("odd", f"{root}/odd")
    nobody = client.create_run(experiment_id)
    client.log_artifact(nobody.info.run_id, file_of(512, "a.bin"))
    client.set_terminated(nobody.info.run_id)
    future = client.create_run(experiment_id, start_time=4_102_444_800_000)
    with acting_as("ann"):
        run("odd", {})
        model = mlflow.initialize_logged_model(name="alone")
        client.log_model_artifacts(model.model_id, str(Path(file_of(1024, "w")).parent))
    return {"nobody": nobody.info.run_id, "future": future.info.run_id, "model": model.model_id}


if __name__ == "__main__":
    os.environ.setdefault("MLFLOW_TRACKING_USERNAME", "admin")
    os.environ.setdefault("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    scenes = (
        *(first_month, next_month, older_month, older_next_month),
        *(without_a_server, oddities, one_run, nothing),
    )
    scene = {each.__name__: each for each in scenes}
    sys.stdout.write(f"IDS {json.dumps(scene[sys.argv[1]]())}\n")
