// @ts-check
// The Licences page: who uses the seats, and which of them could be given back.
import { useQuery } from "../api.js";
import { formatAge, formatCount, formatDay, formatGb, formatMonth, formatPercent, NONE } from "../format.js";
import { isMonth, monthOf } from "../months.js";
import { html, useEffect, useMemo, useState } from "../preact.js";
import { navigate, withParameters } from "../router.js";
import { Placeholder, Problem, Segments, Share, ShowQuery } from "../ui/parts.js";
import { IDLE_DAYS, idleDays, isMeasured, momentOf } from "./idle.js";
import { LICENCES } from "./queries.js";

const PERIODS = [30, 90, 180];
const PAGE_SIZE = 100;

/** @typedef {import("./idle.js").Seat & { email: string | null, role: string, createdAtIsInferred: boolean,
 *   suspended: boolean, serviceAccount: boolean, deletedAt: string | null, numberOfExperiments: number,
 *   averageSizeInMb: number | null, totalSizeInMb: number }} User */

/**
 * @param {{ months: { month: string }[], parameters: URLSearchParams }} properties
 */
export function LicencesPage({ months, parameters }) {
  const month = chooseMonth(months, parameters.get("month"));
  const period = Number(parameters.get("idle") ?? IDLE_DAYS);
  const days = PERIODS.includes(period) ? period : IDLE_DAYS;
  const variables = { month };
  const { data, error, retry } = useQuery(LICENCES, variables);
  useEffect(() => {
    document.title = `Licences in ${formatMonth(month)} · Chargeback`;
  }, [month]);
  /** @type {User[] | undefined} */
  const users = data?.chargebackReport.users.licensedUsers;
  const groups = users && groupUsers(users, month, days);
  return html`
    <div class="page-head">
      <h1>Licences</h1>
      <${MonthField} month=${month} months=${months} />
    </div>
    ${error
      ? html`<${Problem} error=${error} retry=${retry} />`
      : html`<${Summary} groups=${groups} users=${users} days=${days} variables=${variables} />
          <${UserTable} groups=${groups} days=${days} month=${month} variables=${variables} parameters=${parameters} />`}
  `;
}

/**
 * Return the month in the address if it exists, else the current one, because readers want to know
 * today's licences.
 * @param {{ month: string }[]} months
 * @param {string | null} wanted
 */
function chooseMonth(months, wanted) {
  if (wanted && isMonth(wanted) && months.some((each) => each.month === wanted)) return wanted;
  return months[0]?.month ?? monthOf(Date.now());
}

/** @param {{ month: string, months: { month: string }[] }} properties */
function MonthField({ month, months }) {
  const go = (/** @type {any} */ event) => navigate(withParameters({ month: event.target.value }));
  return html`<select class="field" aria-label="Month" value=${month} onChange=${go}>
    ${months.map((each) => html`<option value=${each.month}>${formatMonth(each.month)}</option>`)}
  </select>`;
}

/** @typedef {{ idle: User[], active: User[], unmeasured: User[], suspended: User[], services: User[] }} Groups */

/**
 * @param {User[]} users
 * @param {string} month
 * @param {number} days
 * @returns {Groups}
 */
function groupUsers(users, month, days) {
  const at = momentOf(month);
  /** @type {Groups} */
  const groups = { idle: [], active: [], unmeasured: [], suspended: [], services: [] };
  for (const user of users) groups[groupOf(user, at, days)].push(user);
  return groups;
}

/** @param {User} user @param {number} at @param {number} days @returns {keyof Groups} */
function groupOf(user, at, days) {
  if (user.serviceAccount) return "services";
  if (user.suspended) return "suspended";
  if (!isMeasured(user)) return "unmeasured";
  return idleDays(user, at) >= days ? "idle" : "active";
}

const GROUP_TEXTS = {
  idle: { name: "Idle", note: (/** @type {number} */ days) => `not used for ${days} days: could be given back` },
  active: { name: "In use", note: (/** @type {number} */ days) => `used within ${days} days` },
  unmeasured: { name: "Not measured", note: () => "no source reports their use: not idle, unknown" },
  suspended: { name: "Suspended", note: () => "licensed until the account is deleted" },
  services: { name: "Service accounts", note: () => "programs; free unless a rate charges them" },
};
/** @type {(keyof Groups)[]} */
const GROUP_NAMES = ["idle", "active", "unmeasured", "suspended", "services"];

/**
 * @param {{ groups?: Groups, users?: User[], days: number, variables: Record<string, unknown> }} properties
 */
function Summary({ groups, users, days, variables }) {
  const shown = GROUP_NAMES.filter((name) => name !== "unmeasured" || groups?.unmeasured.length);
  return html`<section class="cards" aria-label="Licences by use">
    ${shown.map((name) => {
      const count = groups?.[name].length;
      const fraction = users?.length && count != null ? count / users.length : null;
      return html`<article class="panel card small" key=${name}>
        <h2>${GROUP_TEXTS[name].name}</h2>
        <${ShowQuery} of=${GROUP_TEXTS[name].name} query=${LICENCES} variables=${variables} />
        <p class="figure">${count == null ? html`<${Placeholder} />` : formatCount(count)}</p>
        <p class="change wide-text">${GROUP_TEXTS[name].note(days)}</p>
        <div class="card-share"><${Share} fraction=${fraction} text=${formatPercent(fraction)} /></div>
      </article>`;
    })}
  </section>`;
}

/**
 * @param {{ groups?: Groups, days: number, month: string, variables: Record<string, unknown>,
 *   parameters: URLSearchParams }} properties
 */
function UserTable({ groups, days, month, variables, parameters }) {
  const [limit, setLimit] = useState(PAGE_SIZE);
  const wanted = /** @type {keyof Groups} */ (parameters.get("group") ?? "idle");
  const name = GROUP_NAMES.includes(wanted) ? wanted : "idle";
  const q = parameters.get("q") ?? "";
  const at = momentOf(month);
  const rows = useMemo(() => selectUsers(groups?.[name] ?? [], q, at), [groups, name, q]);
  useEffect(() => setLimit(PAGE_SIZE), [name, q]);
  const choices = GROUP_NAMES.map((each) => ({
    name: `${GROUP_TEXTS[each].name} ${groups ? formatCount(groups[each].length) : ""}`,
    address: withParameters({ group: each === "idle" ? null : each }),
    isCurrent: each === name,
  })).filter((_, index) => GROUP_NAMES[index] !== "unmeasured" || groups?.unmeasured.length);
  return html`<section class="panel breakable" aria-labelledby="table-title">
    <div class="panel-head">
      <h2 id="table-title">${GROUP_TEXTS[name].name}</h2>
      <div class="end controls">
        <${Segments} label="Users" options=${choices} />
        <${Periods} days=${days} />
        <${Search} value=${q} />
        <${ShowQuery} of="the table" query=${LICENCES} variables=${variables} />
      </div>
    </div>
    <div class="scroll">
      <table class="data-table">
        <thead>
          <tr>
            <th scope="col">User</th>
            <th scope="col" class="medium">Email</th>
            <th scope="col">Last used</th>
            <th scope="col" class="number">Idle days</th>
            <th scope="col" class="number wide">UI uses</th>
            <th scope="col" class="number wide">SDK uses</th>
            <th scope="col" class="number medium">Experiments</th>
            <th scope="col" class="number medium">Avg GB</th>
            <th scope="col" class="wide">Account since</th>
          </tr>
        </thead>
        <tbody>
          ${rows.slice(0, limit).map((user) => html`<${UserRow} key=${user.username} user=${user} at=${at} />`)}
        </tbody>
      </table>
    </div>
    ${groups && rows.length === 0 && html`<p class="no-match">${q ? `Nobody matches “${q}”.` : "Nobody."}</p>`}
    ${!groups && html`<p class="no-match quiet" style=${{ minHeight: "20rem" }}>Loading …</p>`}
    <div class="table-foot">
      <span role="status">${formatCount(rows.length)} ${rows.length === 1 ? "user" : "users"}, the longest unused first</span>
      ${rows.length > limit && html`<button class="button" type="button" onClick=${() => setLimit(limit + 10 * PAGE_SIZE)}>Show more</button>`}
    </div>
  </section>`;
}

/** @param {User[]} users @param {string} q @param {number} at */
function selectUsers(users, q, at) {
  const wanted = q.trim().toLowerCase();
  return users
    .filter((user) => `${user.username} ${user.email ?? ""}`.toLowerCase().includes(wanted))
    .sort((one, other) => idleDays(other, at) - idleDays(one, at) || (one.username < other.username ? -1 : 1));
}

/** @param {{ days: number }} properties */
function Periods({ days }) {
  const options = PERIODS.map((each) => ({
    name: `${each} days`,
    address: withParameters({ idle: each === IDLE_DAYS ? null : String(each) }),
    isCurrent: each === days,
  }));
  return html`<${Segments} label="Idle for" options=${options} />`;
}

/** @param {{ value: string }} properties */
function Search({ value }) {
  const search = (/** @type {any} */ event) => navigate(withParameters({ q: event.target.value }), { replace: true });
  return html`<input class="field" type="search" placeholder="Search users" aria-label="Search users" value=${value} onInput=${search} />`;
}

/** @param {{ user: User, at: number }} properties */
function UserRow({ user, at }) {
  const { lastUsedAt } = user;
  const since = `${user.createdAtIsInferred ? "before " : ""}${formatDay(user.createdAt)}`;
  const lastUse = lastUsedAt
    ? html`<span title=${formatAge(lastUsedAt, at)}>${formatDay(lastUsedAt)}</span>`
    : html`<span class="quiet">${isMeasured(user) ? "never" : "not measured"}</span>`;
  return html`<tr>
    <th scope="row">
      ${user.username}${user.role === "ADMIN" && html`<span class="tag">admin</span>`}${user.deletedAt && html`<span class="tag">deleted</span>`}
    </th>
    <td class="medium quiet">${user.email ?? NONE}</td>
    <td>${lastUse}</td>
    <td class="number">${isMeasured(user) ? formatCount(idleDays(user, at)) : NONE}</td>
    <td class="number wide">${formatCount(user.uiUsageCount)}</td>
    <td class="number wide">${formatCount(user.sdkUsageCount)}</td>
    <td class="number medium">${formatCount(user.numberOfExperiments)}</td>
    <td class="number medium">${formatGb(user.averageSizeInMb ?? user.totalSizeInMb)}</td>
    <td class="wide quiet">${since}</td>
  </tr>`;
}
