"""What an exported report says besides its rows: the status and totals of each month."""

from collections.abc import Iterator, Mapping, Sequence

from app.export.file_info import FileInfo, SummaryLine
from app.export.report import ReportExport, Summary


def to_file_info(export: ReportExport) -> FileInfo:
    """Return what a file of an export says besides its rows."""
    summaries = export.summaries
    return FileInfo(
        {each.month: each.status for each in summaries},
        max(filter(None, (each.closed_at or each.as_of for each in summaries))),
        export.decimals,
        list(_summary_lines(summaries)),
        [_to_month(each) for each in summaries],
    )


def _to_month(summary: Summary) -> Mapping[str, object]:
    return {
        "organization": summary.organization,
        "month": str(summary.month),
        "closedAt": summary.closed_at,
        "rowsHash": summary.rows_hash,
        "asOf": summary.as_of,
        "importedFrom": summary.imported_from,
        "numberOfWorkspaces": summary.number_of_workspaces,
        "numberOfUsers": summary.number_of_users,
        "numberOfExperiments": summary.experiments,
        "unmeasuredExperiments": summary.unmeasured,
        "experimentsCreated": summary.experiments_created,
        "totalSizeBytes": summary.size_bytes,
        "totalSizeInMb": summary.size_in_mb,
        "averageSizeInMb": summary.average_size_in_mb,
    }


def _summary_lines(summaries: Sequence[Summary]) -> Iterator[SummaryLine]:
    yield SummaryLine("Organization", [each.organization for each in summaries])
    yield SummaryLine("Month", [str(each.month) for each in summaries])
    yield SummaryLine("Status", [each.status for each in summaries])
    yield SummaryLine("Imported from", [each.imported_from for each in summaries])
    yield SummaryLine("Workspaces", [each.number_of_workspaces for each in summaries])
    yield SummaryLine("Licensed users", [each.number_of_users for each in summaries])
    yield SummaryLine("Experiments", [each.experiments for each in summaries])
    yield SummaryLine("Experiments of unknown size", [each.unmeasured for each in summaries])
    yield SummaryLine("Experiments created", [each.experiments_created for each in summaries])
    yield SummaryLine("Size in bytes", [each.size_bytes for each in summaries])
    yield SummaryLine("Size in MB", [each.size_in_mb for each in summaries])
    yield SummaryLine("Average in MB", [each.average_size_in_mb for each in summaries])
