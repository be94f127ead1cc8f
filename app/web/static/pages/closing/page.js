// @ts-check
// The Close page: check whether a month is ready, close it, and see the history of closes.
import { clearQueryCache, runQuery, useQuery } from "../api.js";
import { formatCount, formatMonth } from "../format.js";
import { isMonth, monthOf } from "../months.js";
import { html, useEffect, useState } from "../preact.js";
import { navigate, withParameters } from "../router.js";
import { Placeholder, Problem, ShowQuery } from "../ui/parts.js";
import { checkMonth, NUMBER_OF_CHECKS } from "./checks.js";
import { History } from "./history.js";
import { CHECKS, CLOSE_MONTH } from "./queries.js";

/** @typedef {import("../month/page.js").ReportMonth} ReportMonth */

/**
 * @param {{ months: ReportMonth[], parameters: URLSearchParams, reload: () => void }} properties
 */
export function ClosePage({ months, parameters, reload }) {
  const open = months.filter((each) => each.status === "OPEN" && each.month < monthOf(Date.now()));
  const wanted = parameters.get("month") ?? "";
  const month = isMonth(wanted) && open.some((each) => each.month === wanted) ? wanted : open[0]?.month;
  useEffect(() => {
    document.title = "Close · Chargeback";
  }, []);
  return html`
    <div class="page-head">
      <h1>Close</h1>
      ${month && html`<${MonthField} month=${month} open=${open} />`}
    </div>
    ${month
      ? html`<${Readiness} key=${month} month=${month} open=${open} reload=${reload} />`
      : html`<p class="panel padded">Every month that has ended is closed.</p>`}
    <${History} key=${months.filter((each) => each.status === "CLOSED").length} />
  `;
}

/** @param {{ month: string, open: ReportMonth[] }} properties */
function MonthField({ month, open }) {
  const go = (/** @type {any} */ event) => navigate(withParameters({ month: event.target.value }));
  return html`<select class="field" aria-label="Month to close" value=${month} onChange=${go}>
    ${open.map((each) => html`<option value=${each.month}>${formatMonth(each.month)}</option>`)}
  </select>`;
}

/** @param {{ month: string, open: ReportMonth[], reload: () => void }} properties */
function Readiness({ month, open, reload }) {
  const variables = { month };
  const { data, error, retry } = useQuery(CHECKS, variables);
  if (error) return html`<${Problem} error=${error} retry=${retry} />`;
  const checks = data ? checkMonth(data, month) : [];
  return html`<section class="panel" aria-labelledby="checks-title">
    <div class="panel-head">
      <h2 id="checks-title">Is ${formatMonth(month)} ready?</h2>
      <span class="end">
        <a href=${`/months/${month}`}>Look at the month</a>
        <${ShowQuery} of="the checks" query=${CHECKS} variables=${variables} />
      </span>
    </div>
    <ul class="checks" aria-busy=${data ? null : "true"}>
      ${!data && Array.from({ length: NUMBER_OF_CHECKS }, (_, row) => html`<li key=${row}><${Placeholder} /><${Placeholder} width="16ch" /><${Placeholder} width="30ch" /></li>`)}
      ${checks.map(
        (check) => html`<li key=${check.name} class=${check.state}>
          <span class="state">${{ good: "OK", look: "Look", open: "Note" }[check.state]}</span>
          <b>${check.name}</b><span>${check.text}</span>
        </li>`,
      )}
    </ul>
    ${data
      ? html`<${CloseForm} month=${month} open=${open} reload=${reload} />`
      : html`<div class="actions"><button class="button primary" type="button" disabled>Close ${formatMonth(month)} …</button></div>`}
  </section>`;
}

/** @param {{ month: string, open: ReportMonth[], reload: () => void }} properties */
function CloseForm({ month, open, reload }) {
  const [isAsking, setAsking] = useState(false);
  const [isClosing, setClosing] = useState(false);
  const [failure, setFailure] = useState(/** @type {string | null} */ (null));
  const closing = open.filter((each) => each.month <= month).reverse();
  const close = async () => {
    setClosing(true);
    setFailure(null);
    try {
      await runQuery(CLOSE_MONTH, { month, expected: closing.map((each) => each.month) });
      clearQueryCache();
      reload();
    } catch (error) {
      setFailure(error instanceof Error ? error.message : String(error));
      setClosing(false);
    }
  };
  if (!isAsking) {
    return html`<div class="actions">
      <button class="button primary" type="button" onClick=${() => setAsking(true)}>Close ${formatMonth(month)} …</button>
    </div>`;
  }
  return html`<div class="actions confirm" role="group" aria-label="Confirm">
    <p><b>${describeMonths(closing)}</b> will never change again. Events that arrive late become corrections in the first open month.</p>
    ${failure && html`<p role="alert" class="strong-change">${failure}</p>`}
    <button class="button primary" type="button" disabled=${isClosing} onClick=${close}>
      ${isClosing ? "Closing …" : `Close ${closing.length === 1 ? "it" : `${formatCount(closing.length)} months`} for good`}
    </button>
    <button class="button" type="button" disabled=${isClosing} onClick=${() => setAsking(false)}>Cancel</button>
  </div>`;
}

/** @param {ReportMonth[]} months  In order. */
function describeMonths(months) {
  const [first, last] = [months[0], months[months.length - 1]];
  if (months.length === 1) return formatMonth(last.month);
  return `${formatMonth(first.month)} to ${formatMonth(last.month)}, ${formatCount(months.length)} open months,`;
}
