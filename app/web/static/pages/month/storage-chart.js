// @ts-check
// A chart of 13 months of average storage: the month's five largest workspaces, and all others.
import { useQuery } from "../api.js";
import { StackedMonths } from "../charts/stacked-months.js";
import { formatGb, formatMonth, formatPercent, formatShortMonth, formatWholeGb, MB_PER_GB } from "../format.js";
import { addMonths, monthOf } from "../months.js";
import { html } from "../preact.js";
import { Problem, ShowQuery } from "../ui/parts.js";
import { monthAddress } from "./head.js";
import { TREND_MONTHS } from "./page.js";
import { chartQuery, LARGEST } from "./queries.js";
import { sizeOf } from "./views.js";

/**
 * @param {{ state: import("./page.js").ReportMonth, months: import("./page.js").ReportMonth[], parameters: URLSearchParams }} properties
 */
export function StorageChart({ state, months, parameters }) {
  const { month } = state;
  const largest = useQuery(LARGEST, { month, orderBy: state.importedFrom ? "SIZE" : "AVERAGE_SIZE" });
  /** @type {string[] | undefined} */
  const names = largest.data?.chargebackReport.workspaces.map((/** @type {any} */ each) => each.name);
  const range = rangeAround(month, months);
  const variables = names && { ...range, ...Object.fromEntries(names.map((name, index) => [`name${index}`, name])) };
  const query = chartQuery(names?.length ?? 0);
  const chart = useQuery(query, variables ?? null);
  const error = largest.error ?? chart.error;
  return html`<section class="panel" aria-labelledby="chart-title">
    <div class="panel-head">
      <h2 id="chart-title">Average storage by workspace</h2>
      <span class="quiet">GB · the five largest of ${formatMonth(month)}</span>
      <span class="end">${variables && html`<${ShowQuery} of="the chart" query=${query} variables=${variables} />`}</span>
    </div>
    ${error
      ? html`<${Problem} error=${error} retry=${largest.error ? largest.retry : chart.retry} />`
      : html`<${Chart} month=${month} names=${names ?? []} reports=${chart.data?.chargebackReports} parameters=${parameters} />`}
  </section>`;
}

/**
 * Return the latest range of up to 13 months that contains `month`.
 * @param {string} month
 * @param {{ month: string }[]} months
 */
export function rangeAround(month, months) {
  const [last, first] = [months[0].month, months[months.length - 1].month];
  const latestStart = addMonths(last, 1 - TREND_MONTHS);
  const start = month < latestStart ? addMonths(month, -Math.floor(TREND_MONTHS / 2)) : latestStart;
  const from = start < first ? first : start;
  const end = addMonths(from, TREND_MONTHS - 1);
  return { from, to: end > last ? last : end };
}

/**
 * @param {{ month: string, names: string[], reports?: any[], parameters: URLSearchParams }} properties
 */
function Chart({ month, names, reports, parameters }) {
  if (!reports) return html`<div class="chart"><div class="plot"></div></div>`;
  const drill = (/** @type {string} */ name) => (/** @type {string} */ target) =>
    `/months/${target}?${new URLSearchParams({ by: "project", workspace: name })}`;
  const series = [
    ...names.map((name, index) => ({ name, style: `series-${index + 1}`, address: drill(name) })),
    { name: "All others", style: "series-other", address: () => null },
  ];
  const current = monthOf(Date.now());
  const columns = reports.map((report) => toColumn(report, names.length, current));
  const texts = {
    figure: formatGb,
    axis: formatWholeGb,
    step: MB_PER_GB,
    percent: formatPercent,
    month: formatMonth,
    shortMonth: formatShortMonth,
    monthAddress: (/** @type {string} */ target) => monthAddress(target, parameters),
  };
  return html`<${StackedMonths} series=${series} columns=${columns} selected=${month} unit="GB" texts=${texts} />`;
}

/**
 * Return a month's column. Its last value is the total minus the named workspaces.
 * @param {any} report
 * @param {number} count
 * @param {string} current
 */
function toColumn(report, count, current) {
  const named = Array.from({ length: count }, (_, index) => sizeOf(report[`workspace${index}`] ?? { totalSizeInMb: 0 }));
  const total = sizeOf(report);
  const rest = Math.max(0, total - named.reduce((sum, value) => sum + value, 0));
  return { month: report.reportDate, total, values: [...named, rest], isRunning: report.reportDate === current };
}
