"""Corrections: late changes to closed months, booked in the first open month."""

from collections import defaultdict
from collections.abc import Iterator
from uuid import UUID

from app.db.corrections import NOWHERE, CorrectionRow
from app.domain.experiments import ExperimentFigures, Placement
from app.domain.figures import Figure
from app.domain.months import Month


class CorrectionLedger:
    """Collects the amounts to correct, by origin month, figure and place.

    Args:
        imported_through: The last month that an imported report states, or None. It and earlier
            months keep their figures, so amounts for them are dropped.
    """

    def __init__(self, imported_through: Month | None = None) -> None:
        self._imported_through = imported_through
        self._amounts: dict[tuple[Month, Figure, UUID, UUID, UUID], int] = defaultdict(int)

    def add(
        self,
        origin: Month,
        figure: Figure,
        amount: int,
        *,
        workspace_id: UUID = NOWHERE,
        project_id: UUID = NOWHERE,
        user_id: UUID = NOWHERE,
    ) -> None:
        """Correct a figure of a closed month by an amount."""
        if self._imported_through is None or origin > self._imported_through:
            self._amounts[origin, figure, workspace_id, project_id, user_id] += amount

    def add_figures(self, origin: Month, placement: Placement, figures: ExperimentFigures) -> None:
        """Correct the experiment figures of one placement in a closed month."""
        for figure, amount in (
            (Figure.EXPERIMENTS, figures.experiments),
            (Figure.UNMEASURED_EXPERIMENTS, figures.unmeasured),
            (Figure.EXPERIMENTS_CREATED, figures.experiments_created),
            (Figure.SIZE_BYTES, figures.size_bytes),
            (Figure.BYTE_MICROSECONDS, figures.byte_microseconds),
        ):
            self.add(origin, figure, amount, **placement._asdict())

    def add_usage(
        self, origin: Month, user_id: UUID, ui_uses: int, sdk_uses: int, *, is_licensed: bool
    ) -> None:
        """Correct a user's usage counts in a closed month.

        Usage of a user without a licence is a figure of its own, which nobody pays.
        """
        ui, sdk = (
            (Figure.UI_USAGE, Figure.SDK_USAGE)
            if is_licensed
            else (Figure.UNLICENSED_UI_USAGE, Figure.UNLICENSED_SDK_USAGE)
        )
        self.add(origin, ui, ui_uses, user_id=user_id)
        self.add(origin, sdk, sdk_uses, user_id=user_id)

    def rows(self) -> Iterator[CorrectionRow]:
        """Yield the corrections to store: all amounts other than 0."""
        for (origin, figure, workspace_id, project_id, user_id), amount in self._amounts.items():
            if amount:
                yield CorrectionRow(origin, figure, workspace_id, project_id, user_id, amount)
