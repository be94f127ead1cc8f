"""Events and rows of the reports whose figures are worked out by hand."""

from typing import Any

from tests.conftest import event

MB = 1_048_576

ReportPart = dict[str, Any]


def user(time: str, username: str = "ann", **data: Any) -> bytes:
    return event(
        "user.upserted", time, **{"username": username, "email": f"{username}@x.org", **data}
    )


def created(time: str, experiment: str = "x", **data: Any) -> bytes:
    """Return the creation of an experiment, by default ann's in project `p` of workspace `lab`."""
    place = {"workspace": "lab", "project": "p", "username": "ann"}
    return event("experiment.created", time, **{"experiment": experiment, **place, **data})


def resized(time: str, size_bytes: int, experiment: str = "x") -> bytes:
    return event("experiment.resized", time, experiment=experiment, sizeBytes=size_bytes)


def deleted(time: str, experiment: str = "x") -> bytes:
    return event("experiment.deleted", time, experiment=experiment)


def used(time: str, channel: str = "ui", username: str = "ann", **data: Any) -> bytes:
    return event("usage.recorded", time, username=username, channel=channel, **data)


def names_of(rows: list[ReportPart]) -> list[str]:
    return [row["name"] if "name" in row else row["userName"] for row in rows]


def licensed(report: ReportPart) -> dict[str, ReportPart]:
    users = report["users"]["licensedUsers"]
    assert report["users"]["numberOfUsers"] == len(users)
    return {each["username"]: each for each in users}


def figures(row: ReportPart) -> tuple[int, int, int, float]:
    """Return experiments, experiments created, bytes, and average MB."""
    names = ("numberOfExperiments", "experimentsCreated", "totalSizeBytes", "averageSizeInMb")
    experiments, experiments_created, size_bytes, average = (row[name] for name in names)
    return experiments, experiments_created, size_bytes, average


NOTHING = (0, 0, 0, 0.0)
