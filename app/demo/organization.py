"""What can happen to users, workspaces, projects and members: each returns what it says.

Whatever cannot happen any more, since its user or workspace is gone, says nothing.
"""

from collections.abc import Iterable

from app.demo import facts
from app.demo.activity import Laboratory, Usage, Work
from app.demo.entities import Member, Project, User, Workspace
from app.demo.event_queue import Fact, Instant
from app.demo.names import moved_email
from app.demo.simulation import Simulation


class Organization:
    """Keeps who and what exists true to what has been said."""

    __slots__ = ("_laboratory", "_simulation")

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._laboratory = Laboratory(simulation)

    def create_user(self, user: User, created_at: Instant, now: Instant) -> Iterable[Fact]:
        """The account is there, and begins to be used."""
        if user.exists:
            return ()
        user.exists, user.suspended = True, False
        user.lives += 1
        for channel in ("ui", "sdk"):
            Usage(self._simulation, user, channel).begin(now)
        return (facts.user_created(user, created_at),)

    def delete_user(self, user: User, now: Instant) -> Iterable[Fact]:
        """The account goes, after its memberships; its experiments stay."""
        if not user.exists:
            return ()
        removed = self.remove_from_all(user, now)
        user.exists = False
        return (*removed, facts.user_deleted(user))

    def suspend(self, user: User, _now: Instant) -> Iterable[Fact]:
        """The account may not be used for a while."""
        return self._set_suspended(user, suspended=True)

    def readmit(self, user: User, _now: Instant) -> Iterable[Fact]:
        """The account may be used again."""
        return self._set_suspended(user, suspended=False)

    def _set_suspended(self, user: User, *, suspended: bool) -> Iterable[Fact]:
        if not user.exists or user.suspended == suspended:
            return ()
        user.suspended = suspended
        return (facts.user_suspended(user),)

    def readdress(self, user: User, _now: Instant) -> Iterable[Fact]:
        """The account gets another email address."""
        if not user.exists:
            return ()
        user.email = moved_email(user.email)
        return (facts.user_readdressed(user),)

    def create_workspace(self, workspace: Workspace, _now: Instant) -> Iterable[Fact]:
        """The workspace is there, empty."""
        if workspace.exists:
            return ()
        workspace.exists = True
        return (facts.workspace_upserted(workspace),)

    def delete_workspace(self, workspace: Workspace, _now: Instant) -> Iterable[Fact]:
        """The workspace goes, with its members, projects and experiments."""
        if not workspace.exists:
            return ()
        workspace.exists = False
        for project in workspace.open_projects:
            project.exists = False
        workspace.open_projects.clear()
        for member in list(workspace.members):
            _end(member)
        return (facts.workspace_deleted(workspace),)

    def create_project(self, project: Project, _now: Instant) -> Iterable[Fact]:
        """The project is there, when its workspace is."""
        if project.exists or not project.workspace.exists:
            return ()
        project.exists = True
        project.lives += 1
        project.workspace.open_projects.append(project)
        return (facts.project_upserted(project),)

    def delete_project(self, project: Project, _now: Instant) -> Iterable[Fact]:
        """The project goes, with its experiments."""
        if not project.exists:
            return ()
        project.exists = False
        project.workspace.open_projects.remove(project)
        return (facts.project_deleted(project),)

    def add_member(self, user: User, workspace: Workspace, now: Instant) -> Iterable[Fact]:
        """The user begins to work in the workspace."""
        if not (user.exists and workspace.exists) or user.is_member_of(workspace):
            return ()
        member = Member(user, workspace, self._projects_to_work_on(workspace))
        user.members.append(member)
        workspace.members.append(member)
        if member.projects:
            Work(self._simulation, self._laboratory, member).begin(now)
        return (facts.member_added(workspace, user),)

    def _projects_to_work_on(self, workspace: Workspace) -> list[Project]:
        """Different ones, the older more often: that is where most people are."""
        found, rng = workspace.open_projects, self._simulation.rng
        count = min(self._simulation.shape.projects_per_member, len(found))
        first = min(rng.below(len(found)), rng.below(len(found))) if found else 0
        return [found[(first + place) % len(found)] for place in range(count)]

    def remove_member(self, member: Member, _now: Instant) -> Iterable[Fact]:
        """The membership ends; the experiments stay."""
        if not member.in_force:
            return ()
        _end(member)
        return (facts.member_removed(member.workspace, member.user),)

    def remove_from_all(self, user: User, now: Instant) -> Iterable[Fact]:
        """All memberships of a user end."""
        return [fact for member in list(user.members) for fact in self.remove_member(member, now)]


def _end(member: Member) -> None:
    member.in_force = False
    member.user.members.remove(member)
    member.workspace.members.remove(member)
