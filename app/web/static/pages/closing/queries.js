// @ts-check

export const CHECKS = `
query CloseChecks($month: Month!) {
  chargebackReport(month: $month) {
    createdAt
    numberOfWorkspaces
    numberOfExperiments
    unmeasuredExperiments
    totalSizeInMb
    users { numberOfUsers }
    corrections { originMonth figure amount }
    charges { currency total corrections }
  }
  sources { name lastRun { outcome finishedAt skippedCount error } }
  feed(days: 2) {
    sources { source lastReceivedAt }
    days { day accepted refused refusedBatches }
  }
}`;

export const HISTORY = `
query MonthHistory {
  monthHistory { month action happenedAt username reason rowsHash }
}`;

export const CLOSE_MONTH = `
mutation CloseMonth($month: Month!, $expected: [Month!]!) {
  closeMonth(month: $month, expected: $expected) { month status closedAt closedBy rowsHash }
}`;

export const RATE_CARD = `
query PricesInForce($month: Month!) {
  rateCard(month: $month) {
    currency
    rates { code name measure price }
    assignments { kind name costCentre }
  }
}`;
