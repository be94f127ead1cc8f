// @ts-check
// Things to look at before the month is charged.
import { graphiqlAddress, useQuery } from "../api.js";
import { formatCount, formatMoney, formatPercent } from "../format.js";
import { IDLE_DAYS, idleSince, isMeasuredSince } from "../licences/idle.js";
import { html } from "../preact.js";
import { Placeholder, Problem, ShowQuery } from "../ui/parts.js";
import { isStrongGrowth } from "./cells.js";
import { statementAddress } from "./charges-chart.js";
import { ATTENTION, SEATS, UNLICENSED } from "./queries.js";

/** @typedef {{ text: string, address?: string, isQuery?: boolean }} Item  `isQuery`: the address opens GraphiQL. */

const MAX_NAMED = 3;

/** @param {{ month: string, freshness: any }} properties */
export function Attention({ month, freshness }) {
  const since = idleSince(month, IDLE_DAYS);
  const attention = useQuery(ATTENTION, { month });
  const seats = useQuery(SEATS, { month, idleSince: since });
  if (attention.error) return html`<${Problem} error=${attention.error} retry=${attention.retry} />`;
  const report = attention.data?.chargebackReport;
  const users = seats.data?.chargebackReport.users;
  const items =
    report && users
      ? [
          ...growth(report, month),
          ...withoutCostCentre(report, month),
          ...withoutLicence(report, month),
          ...idle(users, month, since),
          ...counted(report),
          ...sourceProblems(freshness),
        ]
      : null;
  return html`<section class="attention" aria-label="Needs attention">
    <h2>Attention</h2>
    <ul>
      ${items == null && html`<li class="quiet"><${Placeholder} width="40ch" /></li>`}
      ${items?.length === 0 && html`<li class="quiet">Nothing: no strong growth, no idle seats, nothing unmeasured or late.</li>`}
      ${items?.map(({ text, address, isQuery }) =>
        address ? html`<li key=${text}><a href=${address} target=${isQuery ? "_blank" : null} rel=${isQuery ? "noopener" : null}>${text}</a></li>` : html`<li key=${text}><span>${text}</span></li>`,
      )}
    </ul>
    <${ShowQuery} of="what needs attention" query=${ATTENTION} variables=${{ month }} />
  </section>`;
}

/**
 * Return up to three workspaces that grew by more than 30 %, largest growth first.
 * @param {any} report
 * @param {string} month
 * @returns {Item[]}
 */
function growth(report, month) {
  /** @type {{ name: string, change: { averageSizeInMb: { percent: number | null } } }[]} */
  const workspaces = report.workspaces;
  return workspaces
    .map(({ name, change }) => ({ name, percent: change.averageSizeInMb.percent }))
    .filter(({ percent }) => isStrongGrowth(percent))
    .slice(0, MAX_NAMED)
    .map(({ name, percent }) => ({
      text: `${name} grew ${formatPercent((percent ?? 0) / 100)}`,
      address: `/months/${month}?${new URLSearchParams({ by: "project", workspace: name, sort: "-change" })}`,
    }));
}

/**
 * Return the uses of users without a licence, which nobody is charged for; with names while they are few.
 * @param {any} report
 * @param {string} month
 * @returns {Item[]}
 */
function withoutLicence({ chargedToNobody: uses, charges }, month) {
  if (uses.numberOfUsers === 0) return [];
  const count = `${formatCount(uses.numberOfUsers)} ${uses.numberOfUsers === 1 ? "user" : "users"} without a licence`;
  /** @type {{ username: string, similarUsername: string | null }[]} */
  const users = uses.users;
  const names = users.map(({ username, similarUsername }) => (similarUsername ? `${username}, probably ${similarUsername}` : username));
  const who = uses.numberOfUsers <= users.length ? ` (${names.join("; ")})` : "";
  const amount = uses.amount == null ? "" : `: ${formatMoney(Number(uses.amount), charges.currency)} charged to nobody`;
  return [{ text: `${count}${who}${amount}`, address: graphiqlAddress(UNLICENSED, { month }), isQuery: true }];
}

/** Return what no cost centre pays. @param {any} report @param {string} month @returns {Item[]} */
function withoutCostCentre({ charges }, month) {
  /** @type {{ code: string | null, amount: string }[]} */
  const centres = charges?.costCentres ?? [];
  return centres
    .filter(({ code, amount }) => code == null && Number(amount) !== 0)
    .map(({ amount }) => ({
      text: `${formatMoney(Number(amount), charges.currency)} without a cost centre`,
      address: statementAddress(month, null),
    }));
}

/** @param {any} users @param {string} month @param {string} since @returns {Item[]} */
function idle(users, month, since) {
  const count = users.idle.numberOfUsers;
  const address = `/licences?month=${month}`;
  if (!isMeasuredSince(users.usageMeasuredFrom, since)) return [{ text: "Idle seats are not known", address }];
  if (count === 0) return [];
  return [{ text: `${formatCount(count)} ${count === 1 ? "seat" : "seats"} idle for ${IDLE_DAYS} days`, address }];
}

/** Return what has no size, and what came late. @param {any} report @returns {Item[]} */
function counted({ unmeasuredExperiments: unmeasured, correctionsConnection: { totalCount } }) {
  const sizes = `${formatCount(unmeasured)} ${unmeasured === 1 ? "experiment" : "experiments"} without a size`;
  const late = `${formatCount(totalCount)} ${totalCount === 1 ? "correction" : "corrections"} of closed months`;
  return [...(unmeasured > 0 ? [{ text: sizes }] : []), ...(totalCount > 0 ? [{ text: late }] : [])];
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
