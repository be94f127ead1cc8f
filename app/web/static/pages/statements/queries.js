// @ts-check

export const COST_CENTRES_OF_MONTH = `
query CostCentresOfMonth($month: Month!) {
  chargebackReport(month: $month) { charges { costCentres { code name amount } } }
}`;

export const STATEMENT = `
query Statement($month: Month!, $before: Month!, $costCentre: String!) {
  report: chargebackReport(month: $month) { charges { ...Statement } }
  before: chargebackReport(month: $before) { charges { ...Statement } }
}
fragment Statement on Charges {
  currency
  costCentres { code name amount }
  lines(costCentre: $costCentre) {
    rate rateName measure workspace userName originMonth quantity unit price amount
  }
}`;
