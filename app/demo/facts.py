"""Build the events: their types, data fields and sources."""

from app.demo.entities import Project, User, Workspace
from app.demo.event_queue import Fact, Instant
from app.demo.history import format_instant

PLATFORM = "/demo/platform"
SDK_GATEWAY = "/demo/sdk-gateway"
DIRECTORY = "/demo/directory"


def user_created(user: User, created_at: Instant) -> Fact:
    """Return the creation of an account; omits the default role and account type."""
    data: dict[str, object] = {
        "username": user.username,
        "email": user.email,
        "createdAt": format_instant(created_at),
    }
    if user.role != "MEMBER":
        data["role"] = user.role
    if user.service_account:
        data["serviceAccount"] = True
    return "user.upserted", DIRECTORY, data


def user_suspended(user: User) -> Fact:
    """Return that an account was suspended or unsuspended."""
    data = {"username": user.username, "email": user.email, "suspended": user.suspended}
    return "user.upserted", DIRECTORY, data


def user_email_changed(user: User) -> Fact:
    """Return that the email address of an account changed."""
    return "user.upserted", DIRECTORY, {"username": user.username, "email": user.email}


def user_deleted(user: User) -> Fact:
    """Return the deletion of an account."""
    return "user.deleted", DIRECTORY, {"username": user.username}


def workspace_upserted(workspace: Workspace) -> Fact:
    """Return the creation of a workspace."""
    return "workspace.upserted", PLATFORM, {"name": workspace.name}


def workspace_deleted(workspace: Workspace) -> Fact:
    """Return the deletion of a workspace with its content."""
    return "workspace.deleted", PLATFORM, {"name": workspace.name}


def member_added(workspace: Workspace, user: User) -> Fact:
    """Return the start of a membership."""
    data = {"workspace": workspace.name, "username": user.username}
    return "member.added", DIRECTORY, data


def member_removed(workspace: Workspace, user: User) -> Fact:
    """Return the end of a membership."""
    data = {"workspace": workspace.name, "username": user.username}
    return "member.removed", DIRECTORY, data


def project_upserted(project: Project) -> Fact:
    """Return the creation of a project."""
    data = {"workspace": project.workspace.name, "name": project.name}
    return "project.upserted", PLATFORM, data


def project_deleted(project: Project) -> Fact:
    """Return the deletion of a project with its experiments."""
    data = {"workspace": project.workspace.name, "name": project.name}
    return "project.deleted", PLATFORM, data


def experiment_created(
    experiment: str, project: Project, user: User, size_bytes: int | None
) -> Fact:
    """Return the start of an experiment; its size may still be unknown."""
    data: dict[str, object] = {
        "experiment": experiment,
        "workspace": project.workspace.name,
        "project": project.name,
        "username": user.username,
    }
    if size_bytes is not None:
        data["sizeBytes"] = size_bytes
    return "experiment.created", PLATFORM, data


def experiment_resized(experiment: str, size_bytes: int) -> Fact:
    """Return the new size of an experiment."""
    data = {"experiment": experiment, "sizeBytes": size_bytes}
    return "experiment.resized", PLATFORM, data


def experiment_deleted(experiment: str) -> Fact:
    """Return the deletion of an experiment."""
    return "experiment.deleted", PLATFORM, {"experiment": experiment}


def usage_recorded(user: User, channel: str, count: int) -> Fact:
    """Return how often a user used the UI or the SDK in the last hours."""
    source = SDK_GATEWAY if channel == "sdk" else PLATFORM
    return (
        "usage.recorded",
        source,
        {"username": user.username, "channel": channel, "count": count},
    )
