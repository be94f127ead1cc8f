"""What each event says: the types and fields of spec section 5, and who reports them."""

from app.demo.entities import Project, User, Workspace
from app.demo.event_queue import Fact, Instant
from app.demo.history import written

PLATFORM = "/demo/platform"
SDK_GATEWAY = "/demo/sdk-gateway"
DIRECTORY = "/demo/directory"


def user_created(user: User, created_at: Instant) -> Fact:
    """An account is there; what is usual (a member, a person) goes without saying."""
    said: dict[str, object] = {
        "username": user.username,
        "email": user.email,
        "createdAt": written(created_at),
    }
    if user.role != "MEMBER":
        said["role"] = user.role
    if user.service_account:
        said["serviceAccount"] = True
    return "user.upserted", DIRECTORY, said


def user_suspended(user: User) -> Fact:
    """An account is suspended, or no longer."""
    said = {"username": user.username, "email": user.email, "suspended": user.suspended}
    return "user.upserted", DIRECTORY, said


def user_readdressed(user: User) -> Fact:
    """An account has another email address."""
    return "user.upserted", DIRECTORY, {"username": user.username, "email": user.email}


def user_deleted(user: User) -> Fact:
    """An account is gone."""
    return "user.deleted", DIRECTORY, {"username": user.username}


def workspace_upserted(workspace: Workspace) -> Fact:
    """A workspace is there."""
    return "workspace.upserted", PLATFORM, {"name": workspace.name}


def workspace_deleted(workspace: Workspace) -> Fact:
    """A workspace is gone, with all that is in it."""
    return "workspace.deleted", PLATFORM, {"name": workspace.name}


def member_added(workspace: Workspace, user: User) -> Fact:
    """A membership begins."""
    said = {"workspace": workspace.name, "username": user.username}
    return "member.added", DIRECTORY, said


def member_removed(workspace: Workspace, user: User) -> Fact:
    """A membership ends."""
    said = {"workspace": workspace.name, "username": user.username}
    return "member.removed", DIRECTORY, said


def project_upserted(project: Project) -> Fact:
    """A project is there."""
    said = {"workspace": project.workspace.name, "name": project.name}
    return "project.upserted", PLATFORM, said


def project_deleted(project: Project) -> Fact:
    """A project is gone, with its experiments."""
    said = {"workspace": project.workspace.name, "name": project.name}
    return "project.deleted", PLATFORM, said


def experiment_created(
    experiment: str, project: Project, user: User, size_bytes: int | None
) -> Fact:
    """An experiment is started; its size may not be known yet."""
    said: dict[str, object] = {
        "experiment": experiment,
        "workspace": project.workspace.name,
        "project": project.name,
        "username": user.username,
    }
    if size_bytes is not None:
        said["sizeBytes"] = size_bytes
    return "experiment.created", PLATFORM, said


def experiment_resized(experiment: str, size_bytes: int) -> Fact:
    """An experiment has another size from now on."""
    said = {"experiment": experiment, "sizeBytes": size_bytes}
    return "experiment.resized", PLATFORM, said


def experiment_deleted(experiment: str) -> Fact:
    """An experiment is gone."""
    return "experiment.deleted", PLATFORM, {"experiment": experiment}


def usage_recorded(user: User, channel: str, count: int) -> Fact:
    """A user used the UI or the SDK so many times in the hours before."""
    source = SDK_GATEWAY if channel == "sdk" else PLATFORM
    return (
        "usage.recorded",
        source,
        {"username": user.username, "channel": channel, "count": count},
    )
