// @ts-check
// The Licences page: who uses the seats, and which of them could be given back.
import { useQuery } from "../api.js";
import { formatCount, formatDay, formatMoney, formatMonth, formatPercent, NONE } from "../format.js";
import { isMonth, monthOf } from "../months.js";
import { html, useEffect } from "../preact.js";
import { navigate, withParameters } from "../router.js";
import { Placeholder, Problem, Search, Segments, Share, ShowQuery } from "../ui/parts.js";
import { usePrintMargins } from "../ui/print.js";
import { describeStatus, StatusBadge } from "../month/head.js";
import { chooseGroup, GROUPS } from "./groups.js";
import { IDLE_DAYS, idleSince, isMeasuredSince } from "./idle.js";
import { LICENCES, USERS } from "./queries.js";
import { UserTable, userVariables } from "./user-table.js";

const PERIODS = [30, 90, 180];

/** @typedef {import("./groups.js").Group} Group */
/** @typedef {import("../month/page.js").ReportMonth} ReportMonth */
/** @typedef {{ numberOfUsers: number, amount?: string | null }} Subtotal */

/**
 * @param {{ months: ReportMonth[], parameters: URLSearchParams, organization: string }} properties
 */
export function LicencesPage({ months, parameters, organization }) {
  if (months.length === 0) return html`<p class="notice">There is no month yet.</p>`;
  return html`<${Licences} state=${chooseMonth(months, parameters.get("month"))} months=${months} parameters=${parameters} organization=${organization} />`;
}

/**
 * Return the month in the address if it exists, else the current one, because readers want to know
 * today's licences.
 * @param {ReportMonth[]} months
 * @param {string | null} wanted
 */
function chooseMonth(months, wanted) {
  const found = wanted && isMonth(wanted) ? months.find((each) => each.month === wanted) : null;
  return found ?? months[0];
}

/** @param {{ state: ReportMonth, months: ReportMonth[], parameters: URLSearchParams, organization: string }} properties */
function Licences({ state, months, parameters, organization }) {
  const { month } = state;
  const period = Number(parameters.get("idle") ?? IDLE_DAYS);
  const days = PERIODS.includes(period) ? period : IDLE_DAYS;
  const variables = { month, since: idleSince(month, days) };
  const { data, error, retry } = useQuery(LICENCES, variables);
  usePrintMargins(`${organization} · Licences in ${formatMonth(month)}`, describeStatus(state));
  useEffect(() => {
    document.title = `Licences in ${formatMonth(month)} · Chargeback`;
  }, [month]);
  const users = data?.chargebackReport.users;
  const currency = data?.chargebackReport.charges?.currency ?? null;
  return html`
    <div class="page-head">
      <h1>Licences</h1>
      <${MonthField} month=${month} months=${months} />
      <${StatusBadge} state=${state} />
      <div class="end"><${Periods} days=${days} /></div>
    </div>
    ${error
      ? html`<${Problem} error=${error} retry=${retry} />`
      : html`<${Summary} users=${users} days=${days} variables=${variables} currency=${currency} />
          <${Users} users=${users} days=${days} month=${month} parameters=${parameters} currency=${currency} />`}
  `;
}

/** @param {{ month: string, months: { month: string }[] }} properties */
function MonthField({ month, months }) {
  const go = (/** @type {any} */ event) => navigate(withParameters({ month: event.target.value }));
  const current = monthOf(Date.now());
  return html`<select class="field" aria-label="Month" value=${month} onChange=${go}>
    ${months.map((each) => html`<option value=${each.month}>${formatMonth(each.month)}${each.month === current ? ", so far" : ""}</option>`)}
  </select>`;
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

/** Return the groups; "Not known" is shown only if it has users. @param {any} users */
function shownGroups(users) {
  return GROUPS.filter(({ name }) => name !== "unknown" || users?.unknown.numberOfUsers > 0);
}

/**
 * @param {{ users: any, days: number, variables: { month: string, since: string }, currency: string | null }} properties
 */
function Summary({ users, days, variables, currency }) {
  return html`<section class="cards" aria-label="Licences by use">
    ${shownGroups(users).map((group) => {
      /** @type {Subtotal | undefined} */
      const subtotal = users?.[group.name];
      const isUnknown = users && group.name === "idle" && !isMeasuredSince(users.usageMeasuredFrom, variables.since);
      const fraction = subtotal && !isUnknown && users.numberOfUsers ? subtotal.numberOfUsers / users.numberOfUsers : null;
      return html`<article class="panel card small" key=${group.name}>
        <h2>${group.title}</h2>
        <${ShowQuery} of=${group.title} query=${LICENCES} variables=${variables} />
        <p class="figure">${!subtotal ? html`<${Placeholder} />` : isUnknown ? NONE : formatCount(subtotal.numberOfUsers)}</p>
        <p class="change wide-text">
          ${isUnknown ? describeUnknown(users.usageMeasuredFrom) : html`<${Note} group=${group} subtotal=${subtotal} days=${days} currency=${currency} />`}
        </p>
        <div class="card-share"><${Share} fraction=${fraction} text=${formatPercent(fraction)} /></div>
      </article>`;
    })}
  </section>`;
}

/** @param {{ group: Group, subtotal?: Subtotal, days: number, currency: string | null }} properties */
function Note({ group, subtotal, days, currency }) {
  const note = group.note(days);
  if (!currency || subtotal?.amount == null) return note;
  const amount = html`<b>${formatMoney(Number(subtotal.amount), currency)}</b>`;
  return group.name === "idle" ? html`${amount} could be saved: ${note}` : html`${amount}: ${note}`;
}

/** @param {string | null} measuredFrom */
function describeUnknown(measuredFrom) {
  return measuredFrom
    ? `not known: use is measured only since ${formatDay(measuredFrom)}`
    : "not known: no source measures the use of the platform";
}

/**
 * @param {{ users: any, days: number, month: string, parameters: URLSearchParams, currency: string | null }} properties
 */
function Users({ users, days, month, parameters, currency }) {
  const group = chooseGroup(parameters.get("group"));
  const since = idleSince(month, days);
  const q = parameters.get("q");
  const variables = userVariables(month, group, since, q);
  const isUnknown = users && group.name === "idle" && !isMeasuredSince(users.usageMeasuredFrom, since);
  const choices = shownGroups(users).map(({ name, title }) => ({
    name: users ? `${title} ${formatCount(users[name].numberOfUsers)}` : title,
    address: withParameters({ group: name === "idle" ? null : name }),
    isCurrent: name === group.name,
  }));
  return html`<section class="panel breakable" aria-labelledby="table-title">
    <div class="panel-head">
      <h2 id="table-title">${group.title}</h2>
      <div class="end controls">
        <${Segments} label="Users" options=${choices} />
        <${Search} label="Search users" value=${q ?? ""} />
        <${ShowQuery} of="the table" query=${USERS} variables=${variables} />
      </div>
    </div>
    ${isUnknown
      ? html`<p class="no-match">Who has been idle for ${days} days is ${describeUnknown(users.usageMeasuredFrom)}.</p>`
      : html`<${UserTable} key=${group.name} month=${month} variables=${variables} q=${q} currency=${currency} measuredFrom=${users?.usageMeasuredFrom} />`}
  </section>`;
}
