// @ts-check
// The Month page: who used how much in a month, and what changed.
import { useQuery } from "../api.js";
import { formatMonth } from "../format.js";
import { addMonths, monthOf } from "../months.js";
import { html, useEffect } from "../preact.js";
import { navigate } from "../router.js";
import { Problem } from "../ui/parts.js";
import { usePrintMargins } from "../ui/print.js";
import { Attention } from "./attention.js";
import { Cards } from "./cards.js";
import { ChargesChart } from "./charges-chart.js";
import { EmptyState } from "./empty-state.js";
import { describeStatus, MonthHead } from "./head.js";
import { FRESHNESS, TREND } from "./queries.js";
import { StorageChart } from "./storage-chart.js";
import { MonthTable } from "./table.js";

export const TREND_MONTHS = 13;

/** @typedef {{ month: string, status: string, closedAt: string | null, closedBy: string | null,
 *   rowsHash: string | null, importedFrom: string | null }} ReportMonth */

/**
 * @param {{ month: string | null, months: ReportMonth[], parameters: URLSearchParams, organization: string }} properties
 *   `month` is null on the start page.
 */
export function MonthPage({ month, months, parameters, organization }) {
  const latest = chooseMonth(months);
  useEffect(() => {
    if (month == null && latest) navigate(`/months/${latest}`, { replace: true });
  }, [month, latest]);
  if (months.length === 0) return html`<${EmptyState} />`;
  if (month == null) return null;
  const state = months.find((each) => each.month === month);
  if (!state) return html`<${UnknownMonth} month=${month} months=${months} />`;
  return html`<${Report} key="report" state=${state} months=${months} parameters=${parameters} organization=${organization} />`;
}

/**
 * Return the latest month that has ended, because that is the one to charge; else the current one.
 * @param {ReportMonth[]} months  The latest first.
 */
function chooseMonth(months) {
  const current = monthOf(Date.now());
  return (months.find((each) => each.month < current) ?? months[0])?.month;
}

/** @param {{ state: ReportMonth, months: ReportMonth[], parameters: URLSearchParams, organization: string }} properties */
function Report({ state, months, parameters, organization }) {
  const { month } = state;
  const first = months[months.length - 1].month;
  const from = [addMonths(month, 1 - TREND_MONTHS), first].sort()[1];
  const range = { from, to: month };
  const trend = useQuery(TREND, range);
  const freshness = useQuery(FRESHNESS, {});
  /** @type {import("./cards.js").TrendReport[] | undefined} */
  const reports = trend.data?.chargebackReports;
  const hasCharges = reports?.[reports.length - 1]?.charges != null;
  usePrintMargins(`${organization} · ${formatMonth(month)}`, describeStatus(state));
  useEffect(() => {
    document.title = `${formatMonth(month)} · Chargeback`;
  }, [month]);
  return html`
    <${MonthHead} state=${state} months=${months} parameters=${parameters} freshness=${freshness.data} hasCharges=${hasCharges} />
    ${trend.error
      ? html`<${Problem} error=${trend.error} retry=${trend.retry} />`
      : html`<${Cards} month=${month} reports=${reports} range=${range} />`}
    <${Attention} month=${month} reports=${reports} freshness=${freshness.data} />
    ${reports == null
      ? html`<section class="panel"><div class="chart"><div class="plot"></div></div></section>`
      : hasCharges && !parameters.get("workspace")
        ? html`<${ChargesChart} month=${month} months=${months} parameters=${parameters} />`
        : html`<${StorageChart} month=${month} months=${months} parameters=${parameters} />`}
    ${reports && html`<${MonthTable} state=${state} parameters=${parameters} hasCharges=${hasCharges} />`}
  `;
}

/** @param {{ month: string, months: ReportMonth[] }} properties */
function UnknownMonth({ month, months }) {
  const [latest, first] = [months[0].month, months[months.length - 1].month];
  return html`<div class="notice" role="alert">
    <h1>There is no report for ${month}</h1>
    <p>
      Reports run from ${formatMonth(first)} to ${formatMonth(latest)}.
      <a href=${`/months/${latest}`}> Open ${formatMonth(latest)}</a>.
    </p>
  </div>`;
}
