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

/**
 * Return the query of what a cost centre was charged in each of some months.
 * @param {number} count
 */
export function yearQuery(count) {
  const indexes = Array.from({ length: count }, (_, index) => index);
  const parameters = indexes.map((index) => `, $month${index}: Month!`).join("");
  const months = indexes
    .map((index) => `  month${index}: statement(month: $month${index}, costCentre: $costCentre) { month total }\n`)
    .join("");
  return `
query StatementByMonth($costCentre: String!${parameters}) {
${months}}`;
}
