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
import { FRESHNESS, HEADLINE, TREND } from "./queries.js";
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
  const headline = useQuery(HEADLINE, { month });
  const trend = useQuery(TREND, { from, to: month });
  const freshness = useQuery(FRESHNESS, {});
  const report = headline.data?.chargebackReport ?? null;
  /** @type {string | null} */
  const currency = report?.charges?.currency ?? null;
  usePrintMargins(`${organization} · ${formatMonth(month)}`, describeStatus(state));
  useEffect(() => {
    document.title = `${formatMonth(month)} · Chargeback`;
  }, [month]);
  return html`
    <${MonthHead} state=${state} months=${months} parameters=${parameters} freshness=${freshness.data} hasCharges=${currency != null} />
    ${headline.error
      ? html`<${Problem} error=${headline.error} retry=${headline.retry} />`
      : html`<${Cards} month=${month} report=${report} trend=${trend.data?.chargebackReports ?? []} />`}
    <${Attention} month=${month} freshness=${freshness.data} />
    ${report == null
      ? html`<section class="panel"><div class="chart"><div class="plot"></div></div></section>`
      : currency && !parameters.get("workspace")
        ? html`<${ChargesChart} month=${month} months=${months} parameters=${parameters} />`
        : html`<${StorageChart} state=${state} months=${months} parameters=${parameters} />`}
    ${report && html`<${MonthTable} month=${month} parameters=${parameters} currency=${currency} />`}
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
