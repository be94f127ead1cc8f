"""Book the charges of months that are being closed."""

from collections.abc import Sequence
from uuid import UUID

from app.db.charges import insert_charges
from app.db.engine import Transaction
from app.db.report_windows import window_of_ended
from app.db.row_reader import read_from_transaction
from app.domain.months import Month
from resolvers.charges import compute_charges


async def book_charges(tx: Transaction, organization_id: UUID, months: Sequence[Month]) -> None:
    """Store the charges of months within the transaction that closes them.

    A month without a currency has none.
    """
    read = read_from_transaction(tx, organization_id)
    for month in months:
        charges = await compute_charges(read, window_of_ended(month))
        if charges is not None:
            await insert_charges(tx, organization_id, charges)
