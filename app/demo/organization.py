"""Changes to users, workspaces, projects and members, which return the resulting events.

A change that is impossible, because its user or workspace does not exist, returns no events.
"""

from collections.abc import Iterable

from app.demo import facts
from app.demo.activity import ExperimentStarter, Usage, Work
from app.demo.entities import Member, Project, User, Workspace
from app.demo.event_queue import Fact, Instant
from app.demo.names import change_email_domain
from app.demo.simulation import Simulation


class Organization:
    """Applies changes to the entities and returns the matching events."""

    __slots__ = ("_simulation", "_starter")

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._starter = ExperimentStarter(simulation)

    def create_user(self, user: User, created_at: Instant, now: Instant) -> Iterable[Fact]:
        """Create the account and start its use."""
        if user.exists:
            return ()
        user.exists, user.suspended = True, False
        user.generation += 1
        for channel in ("ui", "sdk"):
            Usage(self._simulation, user, channel).begin(now)
        return (facts.user_created(user, created_at),)

    def delete_user(self, user: User, now: Instant) -> Iterable[Fact]:
        """End the memberships and delete the account; its experiments stay."""
        if not user.exists:
            return ()
        removed = self.remove_from_all(user, now)
        user.exists = False
        return (*removed, facts.user_deleted(user))

    def suspend(self, user: User, _now: Instant) -> Iterable[Fact]:
        """Suspend the account."""
        return self._set_suspended(user, suspended=True)

    def unsuspend(self, user: User, _now: Instant) -> Iterable[Fact]:
        """End the suspension of the account."""
        return self._set_suspended(user, suspended=False)

    def _set_suspended(self, user: User, *, suspended: bool) -> Iterable[Fact]:
        if not user.exists or user.suspended == suspended:
            return ()
        user.suspended = suspended
        return (facts.user_suspended(user),)

    def change_email(self, user: User, _now: Instant) -> Iterable[Fact]:
        """Change the email address of the account."""
        if not user.exists:
            return ()
        user.email = change_email_domain(user.email)
        return (facts.user_email_changed(user),)

    def create_workspace(self, workspace: Workspace, _now: Instant) -> Iterable[Fact]:
        """Create an empty workspace."""
        if workspace.exists:
            return ()
        workspace.exists = True
        return (facts.workspace_upserted(workspace),)

    def delete_workspace(self, workspace: Workspace, _now: Instant) -> Iterable[Fact]:
        """Delete the workspace with its members, projects and experiments."""
        if not workspace.exists:
            return ()
        workspace.exists = False
        for project in workspace.open_projects:
            project.exists = False
        workspace.open_projects.clear()
        for member in list(workspace.members):
            _deactivate(member)
        return (facts.workspace_deleted(workspace),)

    def create_project(self, project: Project, _now: Instant) -> Iterable[Fact]:
        """Create the project if its workspace exists."""
        if project.exists or not project.workspace.exists:
            return ()
        project.exists = True
        project.generation += 1
        project.workspace.open_projects.append(project)
        return (facts.project_upserted(project),)

    def delete_project(self, project: Project, _now: Instant) -> Iterable[Fact]:
        """Delete the project with its experiments."""
        if not project.exists:
            return ()
        project.exists = False
        project.workspace.open_projects.remove(project)
        return (facts.project_deleted(project),)

    def add_member(self, user: User, workspace: Workspace, now: Instant) -> Iterable[Fact]:
        """Make the user a member who works in the workspace."""
        if not (user.exists and workspace.exists) or user.is_member_of(workspace):
            return ()
        member = Member(user, workspace, self._choose_projects(workspace))
        user.members.append(member)
        workspace.members.append(member)
        if member.projects:
            Work(self._simulation, self._starter, member).begin(now)
        return (facts.member_added(workspace, user),)

    def _choose_projects(self, workspace: Workspace) -> list[Project]:
        """Choose distinct projects, preferring older ones, where most people work."""
        found, rng = workspace.open_projects, self._simulation.rng
        count = min(self._simulation.shape.projects_per_member, len(found))
        first = min(rng.randbelow(len(found)), rng.randbelow(len(found))) if found else 0
        return [found[(first + place) % len(found)] for place in range(count)]

    def remove_member(self, member: Member, _now: Instant) -> Iterable[Fact]:
        """End the membership; the experiments stay."""
        if not member.is_active:
            return ()
        _deactivate(member)
        return (facts.member_removed(member.workspace, member.user),)

    def remove_from_all(self, user: User, now: Instant) -> Iterable[Fact]:
        """End all memberships of a user."""
        return [fact for member in list(user.members) for fact in self.remove_member(member, now)]


def _deactivate(member: Member) -> None:
    member.is_active = False
    member.user.members.remove(member)
    member.workspace.members.remove(member)
