// @ts-check

export const COST_CENTRES_OF_MONTH = `
query CostCentresOfMonth($month: Month!) {
  chargebackReport(month: $month) { charges { costCentres { code name } } }
}`;

export const STATEMENT = `
query Statement($month: Month!, $before: Month!, $costCentre: String!) {
  statement(month: $month, costCentre: $costCentre) { ...Statement }
  before: statement(month: $before, costCentre: $costCentre) { ...Statement }
}
fragment Statement on Statement {
  month costCentre costCentreName status closedAt chargesHash currency total
  lines { id rate rateName measure workspace userName originMonth quantity unit price amount }
}`;
