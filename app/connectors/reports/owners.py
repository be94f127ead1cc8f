"""Who owns what a workspace's report counts: its members, and those who are no longer members.

A report lists what members own. What a workspace holds beyond that belongs to former members, whom
no report names. Newer documents say what each user owns in all workspaces: what is beyond the
user's memberships is owned as a former member. Where there is only one way to bring the two
together, it is taken; otherwise the owner is unknown.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from app.connectors.reports.cells import ANY_SIZE, Margin
from app.connectors.reports.document import (
    UNKNOWN_OWNER,
    OpenReport,
    ReportedMember,
    ReportedUser,
    ReportedWorkspace,
    Size,
)


def margins(
    workspace: ReportedWorkspace, former: Mapping[str, Margin]
) -> tuple[dict[str, Margin], dict[str, Margin]]:
    """What is stated of each project, and of each owner: members, former ones, the unknown one."""
    projects = {
        project.name: Margin(project.number_of_experiments, project.size)
        for project in workspace.projects
    }
    owners = {
        member.user_name: Margin(member.number_of_experiments, member.size)
        for member in workspace.members
    }
    owners |= former
    left = _experiments(projects) - _experiments(owners)
    if left > 0:
        owners[UNKNOWN_OWNER] = Margin(left, ANY_SIZE)
    return projects, owners


def former_owners(report: OpenReport) -> dict[str, dict[str, Margin]]:
    """By workspace, its former members and what they own there, where there is no doubt of it."""
    left = {each.name: _of_former_members(each) for each in report.workspaces}
    left = {name: count for name, count in left.items() if count > 0}
    memberships: dict[str, list[ReportedMember]] = defaultdict(list)
    for workspace in report.workspaces:
        for member in workspace.members:
            memberships[member.user_name].append(member)
    beyond = {user.username: _beyond(user, memberships[user.username]) for user in report.users}
    owning = {name: margin for name, margin in beyond.items() if margin.experiments > 0}
    if not owning or _experiments(owning) > sum(left.values()):
        return {}
    if len(left) == 1:
        return dict.fromkeys(left, owning)
    [(username, margin), *others] = owning.items()
    if others or margin.experiments < sum(left.values()):
        return {}
    return {name: {username: Margin(count, ANY_SIZE)} for name, count in left.items()}


def _of_former_members(workspace: ReportedWorkspace) -> int:
    _projects, owners = margins(workspace, {})
    return owners[UNKNOWN_OWNER].experiments if UNKNOWN_OWNER in owners else 0


def _beyond(user: ReportedUser, owned: Sequence[ReportedMember]) -> Margin:
    """What a user owns where they are no member; nothing when the report does not say.

    `owned` is what the user owns where they are one.
    """
    if user.experiment_count is None:
        return Margin(0, ANY_SIZE)
    count = user.experiment_count - sum(member.number_of_experiments for member in owned)
    if user.data_logged_mb is None:
        return Margin(count, ANY_SIZE)
    size = Size.of(user.data_logged_mb)
    least = max(0, size.least - sum(member.size.most for member in owned))
    most = max(least, size.most - sum(member.size.least for member in owned))
    return Margin(count, Size(least, most, (least + most) // 2))


def _experiments(stated: Mapping[str, Margin]) -> int:
    return sum(margin.experiments for margin in stated.values())
