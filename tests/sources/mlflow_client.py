"""Scenes that use MLflow through its own client. Runs in MLflow's environment, not in ours.

The argument is the name of a scene; the script prints the ids that it logged, as JSON.
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
def act_as(username: str) -> Iterator[None]:
    """Log as this user within the block."""
    before = os.environ.get("MLFLOW_TRACKING_USERNAME")
    os.environ["MLFLOW_TRACKING_USERNAME"] = os.environ["LOGNAME"] = username
    os.environ["MLFLOW_TRACKING_PASSWORD"] = PASSWORD
    yield
    os.environ["MLFLOW_TRACKING_USERNAME"] = before or "admin"


def create_file(kib: int, name: str) -> str:
    path = Path(tempfile.mkdtemp()) / name
    path.write_bytes(b"x" * (kib * KIB))
    return str(path)


def log_run(experiment: str, files: dict[str, int]) -> str:
    """Log a finished run with files and return its id; `files` are sizes in KiB by path."""
    mlflow.set_experiment(experiment)
    with mlflow.start_run() as active_run:
        for path, kib in files.items():
            folder, _, name = path.rpartition("/")
            mlflow.log_artifact(create_file(kib, name), folder or None)
    return str(active_run.info.run_id)


def find_admin_role(auth: Any, workspace: str) -> int:
    """Return the id of the role that may do everything in a workspace."""
    mlflow.set_workspace(workspace)
    return int(next(each.id for each in auth.list_roles(workspace) if each.name == "admin"))


def first_month() -> dict[str, str]:
    """Log two workspaces, users, four runs, a logged model, two registered versions and traces."""
    auth = get_app_client("basic-auth", TRACKING)
    for workspace in ("vision", "speech"):
        mlflow.create_workspace(name=workspace)
    users = {"ann": ["vision"], "bob": ["vision", "speech"], "carl": [], "dora": ["speech"]}
    for username, workspaces in users.items():
        auth.create_user(username, PASSWORD)
        for workspace in workspaces:
            auth.assign_role(username, find_admin_role(auth, workspace))
    ids = {}
    mlflow.set_workspace("vision")
    with act_as("ann"):
        ids["a"] = log_run("segmentation", {"a.bin": 1024, "sub/b.bin": 512})
        ids["b"] = log_run("segmentation", {"a.bin": 256})
    with act_as("bob"):
        ids["c"] = log_run("segmentation", {"a.bin": 2048})
        model = mlflow.initialize_logged_model(name="net", source_run_id=ids["c"])
        MlflowClient().log_model_artifacts(
            model.model_id, str(Path(create_file(1024, "w")).parent)
        )
        client = MlflowClient()
        client.finalize_logged_model(model.model_id, "READY")
        client.create_registered_model("net")
        client.create_model_version("net", model.model_uri, ids["c"], model_id=model.model_id)
        client.create_model_version("net", "s3://elsewhere/net")
        mlflow.set_workspace("speech")
        ids["d"] = log_run("asr", {})
        for _ in range(3):
            with mlflow.start_span("asks"):
                pass
        mlflow.flush_trace_async_logging(terminate=True)
    return ids


def next_month() -> dict[str, str]:
    """Log a run and a late file, delete two runs and a user, and rename an experiment."""
    ids: dict[str, str] = json.loads(os.environ["LOGGED"])
    mlflow.set_workspace("vision")
    with act_as("ann"):
        ids["e"] = log_run("segmentation", {"a.bin": 512})
        MlflowClient().delete_run(ids["a"])
        MlflowClient().delete_run(ids["b"])
    mlflow.set_workspace("speech")
    with act_as("bob"):
        client = MlflowClient()
        client.log_artifact(ids["d"], create_file(1024, "late.bin"))
        client.rename_experiment(client.get_run(ids["d"]).info.experiment_id, "asr2")
    auth = get_app_client("basic-auth", TRACKING)
    auth.unassign_role("dora", find_admin_role(auth, "speech"))
    auth.delete_user("carl")
    return ids


def nothing() -> dict[str, str]:
    """Create an empty store."""
    mlflow.search_experiments()
    return {}


def one_run() -> dict[str, str]:
    """Log one run as ann."""
    get_app_client("basic-auth", TRACKING).create_user("ann", PASSWORD)
    with act_as("ann"):
        return {"a": log_run("vision/seg", {"a.bin": 1024})}


def older_month() -> dict[str, str]:
    """Log without workspaces, as before MLflow 3.10: prefixes of experiment names are teams."""
    auth = get_app_client("basic-auth", TRACKING)
    for username in ("ann", "bob", "carl"):
        auth.create_user(username, PASSWORD)
    ids = {}
    with act_as("ann"):
        ids["a"] = log_run("vision/segmentation", {"a.bin": 1024, "sub/b.bin": 512})
        ids["b"] = log_run("vision/segmentation", {"a.bin": 256})
    with act_as("bob"):
        ids["c"] = log_run("vision/segmentation", {"a.bin": 2048})
        ids["d"] = log_run("speech/asr", {})
        for _ in range(3):
            with mlflow.start_span("asks"):
                pass
        mlflow.flush_trace_async_logging(terminate=True)
        client = MlflowClient()
        asr = client.get_run(ids["d"]).info.experiment_id
        if hasattr(mlflow, "initialize_logged_model"):
            model = mlflow.initialize_logged_model(name="net", source_run_id=ids["d"])
            client.log_model_artifacts(model.model_id, str(Path(create_file(1024, "w")).parent))
            client.finalize_logged_model(model.model_id, "READY")
        else:
            client.log_artifact(ids["d"], create_file(1024, "w"), "net")
    auth.create_experiment_permission(asr, "carl", "READ")
    return ids


def older_next_month() -> dict[str, str]:
    """Log a run, delete two runs and a permission, and rename an experiment."""
    ids: dict[str, str] = json.loads(os.environ["LOGGED"])
    with act_as("ann"):
        ids["e"] = log_run("vision/segmentation", {"a.bin": 512})
        MlflowClient().delete_run(ids["a"])
        MlflowClient().delete_run(ids["b"])
    with act_as("bob"):
        client = MlflowClient()
        asr = client.get_run(ids["d"]).info.experiment_id
        client.rename_experiment(asr, "speech/asr2")
    get_app_client("basic-auth", TRACKING).delete_experiment_permission(asr, "carl")
    return ids


def without_a_server() -> dict[str, str]:
    """Log directly to the database and the artifact store, as small teams do."""
    root = os.environ["ARTIFACTS"]
    for name, team in {"vision/seg": "team-v", "vision/depth": "team-v", "misc": "team-m"}.items():
        mlflow.create_experiment(name, f"{root}/{name}", tags={"team": team})
    with act_as("ann"):
        ids = {"a": log_run("vision/seg", {"a.bin": 1024, "sub/b.bin": 512})}
        ids["b"] = log_run("vision/depth", {"a.bin": 256})
    with act_as("bob"):
        ids["c"] = log_run("misc", {"a.bin": 2048})
        with mlflow.start_span("asks"):
            pass
        mlflow.flush_trace_async_logging(terminate=True)
    return ids


def oddities() -> dict[str, str]:
    """Log a run without an owner, a logged model without a run, and a run in the future."""
    client = MlflowClient()
    root = os.environ["ARTIFACTS"]
    experiment_id = client.create_experiment("odd", f"{root}/odd")
    nobody = client.create_run(experiment_id)
    client.log_artifact(nobody.info.run_id, create_file(512, "a.bin"))
    client.set_terminated(nobody.info.run_id)
    future = client.create_run(experiment_id, start_time=4_102_444_800_000)
    with act_as("ann"):
        log_run("odd", {})
        model = mlflow.initialize_logged_model(name="alone")
        client.log_model_artifacts(model.model_id, str(Path(create_file(1024, "w")).parent))
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
