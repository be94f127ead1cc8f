// @ts-check

export const COST_CENTRES_OF_MONTH = `
query CostCentresOfMonth($month: Month!) {
  chargebackReport(month: $month) { charges { costCentres { code name } } }
}`;

export const STATEMENT = `
query Statement($month: Month!, $before: Month!, $costCentre: String!) {
  statement(month: $month, costCentre: $costCentre) { ...Statement changes { reason amount } }
  before: statement(month: $before, costCentre: $costCentre) { ...Statement }
}
fragment Statement on Statement {
  month costCentre costCentreName status closedAt chargesHash currency total
  lines { lineId rate rateName measure workspace userName originMonth quantity unit price amount }
}`;

export const EXPLANATION = `
query Explanation($charge: ID!) {
  explain(charge: $charge) {
    line { rateName workspace userName originMonth quantity unit price exactAmount amount }
    numerator
    denominator
    rounding { level exactAmount amount }
    parts { name quantity unit amount }
    events { time type source data }
  }
}`;
