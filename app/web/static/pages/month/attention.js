// @ts-check
// Things to look at before the month is charged.
import { useQuery } from "../api.js";
import { formatCount, formatPercent } from "../format.js";
import { countIdleSeats, IDLE_DAYS } from "../licences/idle.js";
import { addMonths } from "../months.js";
import { html } from "../preact.js";
import { compare } from "./compare.js";
import { SEATS, WORKSPACES } from "./queries.js";
import { describeCorrections, workspaceRows } from "./rows.js";

/**
 * @param {{ month: string, reports?: import("./cards.js").TrendReport[], freshness: any }} properties
 */
export function Attention({ month, reports, freshness }) {
  const workspaces = useQuery(WORKSPACES, { month, before: addMonths(month, -1) }).data;
  const seats = useQuery(SEATS, { month }).data;
  const isLoading = !reports || !workspaces || !seats;
  const items = isLoading
    ? []
    : [
        ...growth(workspaces, month),
        ...idle(seats, month),
        ...unmeasured(reports),
        ...corrections(workspaces),
        ...sourceProblems(freshness),
      ];
  return html`<section class="attention" aria-label="Needs attention">
    ${items.length === 0 ? html`<p class="quiet">${isLoading ? "" : "Nothing needs attention."}</p>` : html`<h2>Attention</h2>`}
    <ul>
      ${items.map(({ text, address }) =>
        address ? html`<li><a href=${address}>${text}</a></li>` : html`<li><span>${text}</span></li>`,
      )}
    </ul>
  </section>`;
}

/** @typedef {{ text: string, address?: string }} Item */

const STRONG_GROWTH = 0.3;
const MAX_NAMED = 3;

/**
 * Return up to three workspaces that grew by more than 30 %, largest growth first.
 * @param {any} data
 * @param {string} month
 * @returns {Item[]}
 */
function growth(data, month) {
  const grown = workspaceRows(data)
    .map((row) => ({ row, ...compare(row.value, row.before) }))
    .filter(({ fraction }) => (fraction ?? 0) > STRONG_GROWTH)
    .sort((one, other) => (other.absolute ?? 0) - (one.absolute ?? 0));
  return grown.slice(0, MAX_NAMED).map(({ row, fraction }) => ({
    text: `${row.name} grew ${formatPercent(fraction)}`,
    address: `/months/${month}?${new URLSearchParams({ by: "project", workspace: row.name, sort: "-change" })}`,
  }));
}

/** @param {any} data @param {string} month @returns {Item[]} */
function idle(data, month) {
  const { idle } = countIdleSeats(data.chargebackReport.users.licensedUsers, month, IDLE_DAYS);
  if (idle === 0) return [];
  const seats = idle === 1 ? "seat" : "seats";
  return [{ text: `${formatCount(idle)} ${seats} idle for ${IDLE_DAYS} days`, address: `/licences?month=${month}` }];
}

/** @param {any} data @returns {Item[]} */
function corrections(data) {
  return describeCorrections(data).map(({ text, count }) => ({ text: `${text}: ${formatCount(count)} figures` }));
}

/** @param {import("./cards.js").TrendReport[] | undefined} reports @returns {Item[]} */
function unmeasured(reports) {
  const count = reports?.[reports.length - 1]?.unmeasuredExperiments ?? 0;
  if (count === 0) return [];
  return [{ text: `${formatCount(count)} ${count === 1 ? "experiment" : "experiments"} without a size` }];
}

/** @param {any} freshness @returns {Item[]} */
function sourceProblems(freshness) {
  /** @type {{ name: string, lastRun: null | { outcome: string, skippedCount: number } }[]} */
  const sources = freshness?.sources ?? [];
  return sources.flatMap(({ name, lastRun }) => {
    if (!lastRun) return [{ text: `${name} has not run yet` }];
    if (["FAILED", "INTERRUPTED"].includes(lastRun.outcome)) return [{ text: `The last run of ${name} failed` }];
    if (lastRun.skippedCount > 0) return [{ text: `${name} skipped ${formatCount(lastRun.skippedCount)} items` }];
    return [];
  });
}
