// @ts-check
// What the cost centre was charged in the twelve months up to the statement's.
import { useQuery } from "../api.js";
import { StackedMonths } from "../charts/stacked-months.js";
import { formatCount, formatMoney, formatMonth, formatPercent, formatShortMonth } from "../format.js";
import { statementAddress } from "../month/charges-chart.js";
import { addMonths, monthOf } from "../months.js";
import { html } from "../preact.js";
import { Problem, ShowQuery } from "../ui/parts.js";
import { yearQuery } from "./queries.js";

const MONTHS = 12;

/** @typedef {{ month: string, total: string } | null} MonthTotal  Null if nothing is charged in the month. */

/**
 * @param {{ month: string, known: string[], costCentre: string, name: string, currency: string }} properties
 *   `known` are the months that the page can open.
 */
export function Year({ month, known, costCentre, name, currency }) {
  const year = Array.from({ length: MONTHS }, (_, index) => addMonths(month, index + 1 - MONTHS));
  const months = year.filter((each) => known.includes(each));
  const query = yearQuery(months.length);
  const variables = { costCentre, ...Object.fromEntries(months.map((each, index) => [`month${index}`, each])) };
  const { data, error, retry } = useQuery(query, variables);
  return html`<section class="panel" aria-labelledby="year-title">
    <div class="panel-head">
      <h2 id="year-title">Twelve months</h2>
      <span class="end"><${ShowQuery} of="the twelve months" query=${query} variables=${variables} /></span>
    </div>
    ${error
      ? html`<${Problem} error=${error} retry=${retry} />`
      : data
        ? html`<${Chart} totals=${Object.values(data)} month=${month} costCentre=${costCentre} name=${name} currency=${currency} />`
        : html`<div class="chart"><div class="plot"></div></div>`}
  </section>`;
}

/** @param {{ totals: MonthTotal[], month: string, costCentre: string, name: string, currency: string }} properties */
function Chart({ totals, month, costCentre, name, currency }) {
  const current = monthOf(Date.now());
  const columns = totals.flatMap((each) =>
    each ? [{ month: each.month, total: Number(each.total), values: [Number(each.total)], isRunning: each.month === current }] : [],
  );
  const address = (/** @type {string} */ target) => statementAddress(target, costCentre);
  const texts = {
    figure: (/** @type {number} */ value) => formatMoney(value, currency),
    axis: formatCount,
    step: 1,
    percent: formatPercent,
    month: formatMonth,
    shortMonth: formatShortMonth,
    monthAddress: address,
  };
  return html`<${StackedMonths} series=${[{ name, style: "series-1", address }]} columns=${columns} selected=${month} unit="" texts=${texts} listed=${[]} />`;
}
