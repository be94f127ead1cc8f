// @ts-check
// A chart of 13 months of charges: the five cost centres that pay most in this month, and all others.
import { useQuery } from "../api.js";
import { StackedMonths } from "../charts/stacked-months.js";
import { formatCount, formatMoney, formatMonth, formatPercent, formatShortMonth, halfMinorUnit } from "../format.js";
import { monthOf } from "../months.js";
import { html } from "../preact.js";
import { Problem, ShowQuery } from "../ui/parts.js";
import { monthAddress } from "./head.js";
import { CHARGES_BY_MONTH } from "./queries.js";
import { rangeAround } from "./storage-chart.js";

const MAX_NAMED = 5;

/** @typedef {{ code: string | null, name: string, amount: string }} CostCentre */
/** @typedef {{ reportDate: string, charges: { currency: string, total: string, costCentres: CostCentre[] } | null }} Report */

/**
 * @param {{ month: string, months: { month: string }[], parameters: URLSearchParams }} properties
 */
export function ChargesChart({ month, months, parameters }) {
  const range = rangeAround(month, months);
  const { data, error, retry } = useQuery(CHARGES_BY_MONTH, range);
  return html`<section class="panel" aria-labelledby="chart-title">
    <div class="panel-head">
      <h2 id="chart-title">Charges by cost centre</h2>
      <span class="quiet">the largest of ${formatMonth(month)}</span>
      <span class="end"><${ShowQuery} of="the chart" query=${CHARGES_BY_MONTH} variables=${range} /></span>
    </div>
    ${error
      ? html`<${Problem} error=${error} retry=${retry} />`
      : data
        ? html`<${Chart} month=${month} reports=${data.chargebackReports} parameters=${parameters} />`
        : html`<div class="chart"><div class="plot"></div></div>`}
  </section>`;
}

/** @param {{ month: string, reports: Report[], parameters: URLSearchParams }} properties */
function Chart({ month, reports, parameters }) {
  const charges = reports.find((each) => each.reportDate === month)?.charges;
  if (!charges) return html`<p class="no-match">There are no charges in this month.</p>`;
  const named = chooseNamed(charges.costCentres);
  const series = [
    ...named.map(({ code, name }, index) => ({
      name: code ? `${code} ${name}` : name,
      style: code ? `series-${index + 1}` : "series-unassigned",
      address: (/** @type {string} */ target) => statementAddress(target, code),
    })),
    { name: "All others", style: "series-other", address: () => null },
  ];
  const current = monthOf(Date.now());
  const smallest = halfMinorUnit(charges.currency);
  const columns = reports.map((report) => toColumn(report, named, current, smallest));
  if (columns.every((column) => column.values[named.length] === 0)) series.pop();
  const money = (/** @type {number} */ value) => formatMoney(value, charges.currency);
  const texts = {
    figure: money,
    axis: formatCount,
    step: 1,
    percent: formatPercent,
    month: formatMonth,
    shortMonth: formatShortMonth,
    monthAddress: (/** @type {string} */ target) => monthAddress(target, parameters),
  };
  return html`<${StackedMonths} series=${series} columns=${columns} selected=${month} unit="" texts=${texts} />`;
}

/** @param {CostCentre[]} costCentres */
function chooseNamed(costCentres) {
  return [...costCentres].sort((one, other) => Number(other.amount) - Number(one.amount)).slice(0, MAX_NAMED);
}

/** @param {string} month @param {string | null} code */
export function statementAddress(month, code) {
  return `/statements?${new URLSearchParams({ month, centre: code ?? "" })}`;
}

/**
 * Return a month's column. Its last value is the total minus the named cost centres.
 * @param {Report} report
 * @param {CostCentre[]} named
 * @param {string} current
 * @param {number} smallest  A smaller rest is an error of binary fractions.
 */
function toColumn({ reportDate, charges }, named, current, smallest) {
  const amounts = new Map(charges?.costCentres.map((each) => [each.code, Number(each.amount)]));
  const values = named.map((each) => Math.max(0, amounts.get(each.code) ?? 0));
  const total = Number(charges?.total ?? 0);
  const rest = Math.max(0, total - values.reduce((sum, value) => sum + value, 0));
  return { month: reportDate, total, values: [...values, rest < smallest ? 0 : rest], isRunning: reportDate === current };
}
