// @ts-check
// The users of one group, page by page, the longest inactive first.
import { formatAge, formatCount, formatDay, formatMoney, NONE } from "../format.js";
import { reportEnd } from "../months.js";
import { html } from "../preact.js";
import { countText, MoreButton, usePages } from "../ui/pages.js";
import { Problem, SkeletonRows } from "../ui/parts.js";
import { USERS } from "./queries.js";

const PAGE_SIZE = 50;

/**
 * Return the variables of the query of users, without those of later pages.
 * @param {string} month
 * @param {import("./groups.js").Group} group
 * @param {string} since
 * @param {string | null} q
 */
export function userVariables(month, group, since, q) {
  return { month, filter: { ...group.filter(since), usernameContains: q }, first: PAGE_SIZE };
}

/**
 * @param {{ month: string, variables: Record<string, unknown>, q: string | null, currency: string | null,
 *   measuredFrom?: string | null }} properties
 *   `measuredFrom` is null if no use is measured, and undefined while this is not known yet.
 */
export function UserTable({ month, variables, q, currency, measuredFrom }) {
  const pages = usePages(USERS, variables, ({ chargebackReport: { users } }) => users.licensedUsersConnection);
  if (pages.error) return html`<${Problem} error=${pages.error} retry=${pages.retry} />`;
  const head = html`<thead>
    <tr>
      <th scope="col">User</th>
      <th scope="col" class="medium">Email</th>
      <th scope="col">Last activity</th>
      <th scope="col" class="number wide">UI uses</th>
      <th scope="col" class="number wide">SDK uses</th>
      <th scope="col" class="number wide">Experiments</th>
      ${currency && html`<th scope="col" class="number">Charged</th>`}
      <th scope="col" class="wide">Account since</th>
    </tr>
  </thead>`;
  if (!pages.isLoaded) return html`<${SkeletonRows} head=${head} columns=${currency ? 8 : 7} />`;
  return html`<div class=${pages.isLoading ? "loading" : ""}>
    <div class="scroll">
      <table class="data-table">
        ${head}
        <tbody>
          ${pages.nodes.map((user) => html`<${UserRow} key=${user.username} user=${user} at=${reportEnd(month)} currency=${currency} measuredFrom=${measuredFrom} />`)}
        </tbody>
      </table>
    </div>
    ${pages.nodes.length === 0 && html`<p class="no-match">${q ? `Nobody matches “${q}”.` : "Nobody."}</p>`}
    <div class="table-foot">
      <span role="status">${countText(pages.nodes.length, pages.totalCount ?? 0, "User")}, the longest inactive first</span>
      <${MoreButton} pages=${pages} size=${PAGE_SIZE} />
    </div>
  </div>`;
}

/** @param {{ user: any, at: number, currency: string | null, measuredFrom?: string | null }} properties */
function UserRow({ user, at, currency, measuredFrom }) {
  const { lastActivityAt } = user;
  const since = `${user.createdAtIsInferred ? "before " : ""}${formatDay(user.createdAt)}`;
  const last = lastActivityAt
    ? html`<time datetime=${lastActivityAt}>${formatDay(lastActivityAt)}</time> <span class="quiet medium">${formatAge(lastActivityAt, at)}</span>`
    : html`<span class="quiet">${measuredFrom === null ? "not measured" : "never"}</span>`;
  return html`<tr>
    <th scope="row">
      ${user.username}${user.role === "ADMIN" && html`<span class="tag">admin</span>`}${user.deletedAt && html`<span class="tag">deleted</span>`}
    </th>
    <td class="medium quiet">${user.email ?? NONE}</td>
    <td>${last}</td>
    <td class="number wide">${formatCount(user.uiUsageCount)}</td>
    <td class="number wide">${formatCount(user.sdkUsageCount)}</td>
    <td class="number wide">${formatCount(user.numberOfExperiments)}</td>
    ${currency && html`<td class="number">${formatMoney(user.amount == null ? null : Number(user.amount), currency)}</td>`}
    <td class="wide quiet">${since}</td>
  </tr>`;
}
