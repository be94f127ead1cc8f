// @ts-check
// From the total of the month before to this month's, step by step.
import { formatMonth, formatSigned } from "../format.js";
import { html } from "../preact.js";

/** @type {Record<string, string>} */
const REASONS = {
  NEW: "New workspaces",
  GROWN: "Grown workspaces",
  SHRUNK: "Shrunk workspaces",
  GONE: "Workspaces gone",
  SEATS: "Seats",
  USES: "Uses",
  FEES: "Fees",
  CORRECTIONS: "Corrections",
};

/** @typedef {{ name: string, text: string, from: number, to: number, style: string }} Step */

/**
 * @param {{ before: { month: string, total: number }, now: { month: string, total: number },
 *   changes: { reason: string, amount: string }[], money: (value: number) => string }} properties
 */
export function Waterfall({ before, now, changes, money }) {
  const steps = toSteps(before, now, changes, money);
  const ends = steps.flatMap(({ from, to }) => [from, to]);
  const [low, high] = [Math.min(0, ...ends), Math.max(...ends)];
  const share = (/** @type {number} */ value) => `${((value - low) / (high - low || 1)) * 100}%`;
  return html`<ol class="waterfall" aria-label="From the month before to this month">
    ${steps.map(
      ({ name, text, from, to, style }) => html`<li key=${name} class=${style}>
        <span class="name">${name}</span>
        <span class="track" aria-hidden="true">
          <span class="fill" style=${{ left: share(Math.min(from, to)), right: `calc(100% - ${share(Math.max(from, to))})` }}></span>
        </span>
        <span class="number">${text}</span>
      </li>`,
    )}
  </ol>`;
}

/**
 * @param {{ month: string, total: number }} before
 * @param {{ month: string, total: number }} now
 * @param {{ reason: string, amount: string }[]} changes
 * @param {(value: number) => string} money
 * @returns {Step[]}
 */
function toSteps(before, now, changes, money) {
  let reached = before.total;
  const steps = changes.map(({ reason, amount }) => {
    const from = reached;
    reached += Number(amount);
    const style = Number(amount) > 0 ? "more" : "less";
    return { name: REASONS[reason] ?? reason, text: formatSigned(Number(amount), money), from, to: reached, style };
  });
  const first = { name: formatMonth(before.month), text: money(before.total), from: 0, to: before.total, style: "total" };
  const last = { name: formatMonth(now.month), text: money(now.total), from: 0, to: now.total, style: "total" };
  return [first, ...steps, last];
}
