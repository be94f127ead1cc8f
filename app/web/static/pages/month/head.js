// @ts-check
// The head of the Month page: the month, its status, the age of its data, and downloads.
import { formatAge, formatDay, formatMonth, formatTime } from "../format.js";
import { monthOf } from "../months.js";
import { html } from "../preact.js";
import { navigate } from "../router.js";
import { downloadsOf } from "../ui/downloads.js";
import { Icon } from "../ui/icons.js";

/** @typedef {import("./page.js").ReportMonth} ReportMonth */

/**
 * @param {{ state: ReportMonth, months: ReportMonth[], parameters: URLSearchParams, freshness: any, hasCharges: boolean }} properties
 */
export function MonthHead({ state, months, parameters, freshness, hasCharges }) {
  return html`<div class="page-head">
    <${MonthSwitch} month=${state.month} months=${months} parameters=${parameters} />
    <${StatusBadge} state=${state} />
    <div class="end">
      <${Freshness} freshness=${freshness} />
      <${Downloads} month=${state.month} hasCharges=${hasCharges} />
    </div>
  </div>`;
}

/** @param {{ month: string, months: ReportMonth[], parameters: URLSearchParams }} properties */
function MonthSwitch({ month, months, parameters }) {
  const index = months.findIndex((each) => each.month === month);
  const go = (/** @type {string} */ target) => navigate(monthAddress(target, parameters));
  return html`<div class="month-switch">
    <${Step} name="left" text="Earlier" target=${months[index + 1]?.month} go=${go} />
    <div class="choose">
      <h1>${formatMonth(month)}</h1>
      <select
        aria-label="Month"
        value=${month}
        onChange=${(/** @type {any} */ event) => go(event.target.value)}
      >
        ${months.map((each) => html`<option value=${each.month}>${formatMonth(each.month)}</option>`)}
      </select>
    </div>
    <${Step} name="right" text="Later" target=${months[index - 1]?.month} go=${go} />
  </div>`;
}

/** @param {{ name: string, text: string, target?: string, go: (month: string) => void }} properties */
function Step({ name, text, target, go }) {
  const label = target ? `${text} month: ${formatMonth(target)}` : `No ${text.toLowerCase()} month`;
  return html`<button
    class="icon-button plain"
    type="button"
    disabled=${!target}
    title=${label}
    onClick=${() => target && go(target)}
  >
    <${Icon} name=${name} /><span class="visually-hidden">${label}</span>
  </button>`;
}

/**
 * Return the address of another month in the same view.
 * @param {string} month
 * @param {URLSearchParams} parameters
 */
export function monthAddress(month, parameters) {
  const query = parameters.toString();
  return query ? `/months/${month}?${query}` : `/months/${month}`;
}

/**
 * A month, or a statement of a cost centre, which has the hash of the charges.
 * @typedef {{ month: string, status: string, closedAt: string | null, closedBy?: string | null,
 *   rowsHash?: string | null, chargesHash?: string | null, importedFrom?: string | null }} Status
 */

/** Describe for a printed page whether a month is final. @param {Status} state */
export function describeStatus({ status, closedAt, closedBy, rowsHash, chargesHash }) {
  if (status === "CLOSED") {
    return `CLOSED ${formatTime(closedAt ?? "")}${closedBy ? ` by ${closedBy}` : ""}, sha256 ${chargesHash ?? rowsHash}`;
  }
  return `OPEN, as of ${formatTime(new Date().toISOString())}`;
}

/** @param {{ state: Status }} properties */
export function StatusBadge({ state }) {
  if (state.status === "CLOSED") {
    const hash = state.chargesHash ?? state.rowsHash ?? "";
    const by = state.closedBy ? ` by ${state.closedBy}` : "";
    const title = `Closed ${formatTime(state.closedAt ?? "")}${by}. SHA-256 of its ${state.chargesHash ? "charges" : "rows"}: ${hash}`;
    return html`<span class="badge closed" title=${title}>
      Closed ${formatDay(state.closedAt ?? "")} <code>${hash.slice(0, 8)}</code>
      ${state.importedFrom && html`<span>imported</span>`}
    </span>`;
  }
  const isRunning = state.month >= monthOf(Date.now());
  return html`<span class="badge" title="The figures of an open month change with every new event.">
    ${isRunning ? "Running: figures so far" : "Open: figures may still change"}
  </span>`;
}

/** @param {{ freshness: any }} properties */
function Freshness({ freshness }) {
  /** @type {{ lastReceivedAt: string }[]} */
  const sources = freshness?.feed.sources ?? [];
  const latest = sources.map((each) => each.lastReceivedAt).sort().pop();
  if (!latest) return html`<span class="quiet"></span>`;
  return html`<span class="quiet" title=${formatTime(latest)}>Last events ${formatAge(latest, Date.now())}</span>`;
}

/** @param {{ month: string, hasCharges: boolean }} properties */
function Downloads({ month, hasCharges }) {
  return html`<details class="menu">
    <summary class="button"><${Icon} name="download" />Download</summary>
    <ul>
      ${downloadsOf(month, hasCharges).map(
        ({ name, note, address, file }) =>
          html`<li><a href=${address} download=${file}>${name}<small>${note}</small></a></li>`,
      )}
      <li>
        <button type="button" onClick=${() => print()}>Print or save as PDF<small>This view, with status and hash</small></button>
      </li>
    </ul>
  </details>`;
}
