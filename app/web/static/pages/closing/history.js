// @ts-check
// The history of closed and reopened months, latest first.
import { graphiqlAddress, useQuery } from "../api.js";
import { formatMonth, formatTime } from "../format.js";
import { html } from "../preact.js";
import { downloadsOf } from "../ui/downloads.js";
import { Problem, ShowQuery } from "../ui/parts.js";
import { HISTORY, RATE_CARD } from "./queries.js";

/** @typedef {{ month: string, action: string, happenedAt: string, username: string, reason: string, rowsHash: string }} Entry */

export function History() {
  const { data, error, retry } = useQuery(HISTORY, {});
  /** @type {Entry[]} */
  const entries = data?.monthHistory ?? [];
  return html`<section class="panel breakable" aria-labelledby="history-title">
    <div class="panel-head">
      <h2 id="history-title">What was closed</h2>
      <span class="end"><${ShowQuery} of="the history" query=${HISTORY} variables=${{}} /></span>
    </div>
    ${error && html`<${Problem} error=${error} retry=${retry} />`}
    ${data && entries.length === 0 && html`<p class="no-match">No month has been closed yet.</p>`}
    ${entries.length > 0 &&
    html`<div class="scroll" tabindex="0" role="region" aria-label="Closings and reopenings">
      <table class="data-table">
        <thead>
          <tr>
            <th scope="col">Month</th>
            <th scope="col">What</th>
            <th scope="col">When</th>
            <th scope="col">By</th>
            <th scope="col" class="wide">SHA-256 of the report's rows</th>
            <th scope="col" class="wide">Reason</th>
            <th scope="col">Report</th>
            <th scope="col" class="medium">Charges</th>
          </tr>
        </thead>
        <tbody>
          ${entries.map((entry) => html`<${HistoryRow} key=${`${entry.month} ${entry.happenedAt}`} entry=${entry} />`)}
        </tbody>
      </table>
    </div>`}
  </section>`;
}

/** @param {{ entry: Entry }} properties */
function HistoryRow({ entry }) {
  const files = downloadsOf(entry.month, false);
  return html`<tr>
    <th scope="row" class="unbroken"><a href=${`/months/${entry.month}`}>${formatMonth(entry.month)}</a></th>
    <td>${entry.action === "CLOSED" ? "closed" : "reopened"}</td>
    <td>${formatTime(entry.happenedAt)}</td>
    <td>${entry.username}</td>
    <td class="wide"><code>${entry.rowsHash.slice(0, 16)}…</code></td>
    <td class="wide">${entry.reason}</td>
    <td>
      ${files.map(({ name, address, file }) => html`<a href=${address} download=${file}>${name.split(", ")[1]}<span class="visually-hidden"> of ${formatMonth(entry.month)}</span></a>${" "}`)}
    </td>
    <td class="medium">
      <a href=${`/statements?month=${entry.month}`}>statements<span class="visually-hidden"> of ${formatMonth(entry.month)}</span></a>${" "}
      <a href=${graphiqlAddress(RATE_CARD, { month: entry.month })} target="_blank" rel="noopener">prices<span class="visually-hidden"> of ${formatMonth(entry.month)}, in a new tab</span></a>
    </td>
  </tr>`;
}
