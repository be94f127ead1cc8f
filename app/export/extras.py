"""Libraries of an extra, which need not be installed."""

from typing import Any

from app.domain.errors import InvalidArgument


def import_pyarrow() -> tuple[Any, Any]:
    """Return the modules pyarrow and pyarrow.parquet.

    Raises:
        InvalidArgument: They are not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise InvalidArgument(
            "format: Parquet needs an extra: pip install 'chargeback-admin-api[parquet]'"
        ) from None
    return pyarrow, parquet
