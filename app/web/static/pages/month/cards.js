// @ts-check
// The four main figures of a month, each with its change and a line of 13 months.
import { Sparkline } from "../charts/sparkline.js";
import { useQuery } from "../api.js";
import { formatCount, formatDay, formatGb, formatMoney, formatMonthName, formatSigned, formatWholeGb, NONE } from "../format.js";
import { IDLE_DAYS, idleSince, isMeasuredSince } from "../licences/idle.js";
import { addMonths } from "../months.js";
import { html } from "../preact.js";
import { Placeholder, ShowQuery } from "../ui/parts.js";
import { formatChange } from "./cells.js";
import { HEADLINE, SEATS } from "./queries.js";
import { sizeChangeOf, sizeOf, toChange } from "./views.js";

/** @typedef {import("./views.js").Change} Change */
/**
 * @typedef {object} CardFigure
 * @property {string} name
 * @property {string} unit
 * @property {(report: any) => number | null} read
 * @property {(report: any) => Change} change
 * @property {(value: number) => string} format
 * @property {(value: number) => string} difference
 */

/** @type {CardFigure} */
const STORAGE = {
  name: "Average storage",
  unit: "GB",
  read: sizeOf,
  change: sizeChangeOf,
  format: formatWholeGb,
  difference: (value) => `${formatGb(value)} GB`,
};

/** @type {CardFigure} */
const USERS = {
  name: "Licensed users",
  unit: "",
  read: (report) => report.users.numberOfUsers,
  change: (report) => report.change.numberOfUsers,
  format: formatCount,
  difference: formatCount,
};

/** @type {CardFigure} */
const EXPERIMENTS = {
  name: "Experiments",
  unit: "",
  read: (report) => report.numberOfExperiments,
  change: (report) => report.change.numberOfExperiments,
  format: formatCount,
  difference: formatCount,
};

/** @param {string} currency @returns {CardFigure} */
function amountIn(currency) {
  const format = (/** @type {number} */ value) => formatMoney(value, currency);
  return {
    name: "Amount",
    unit: "",
    read: (report) => (report.amount == null ? null : Number(report.amount)),
    change: (report) => toChange(report.change.amount),
    format,
    difference: format,
  };
}

/** @param {{ month: string, report: any, trend: any[] }} properties  `report` is null while loading. */
export function Cards({ month, report, trend }) {
  const currency = report?.charges?.currency;
  const card = (/** @type {CardFigure} */ figure) =>
    html`<${Card} key=${figure.name} figure=${figure} month=${month} report=${report} trend=${trend} />`;
  return html`<section class="cards" aria-label="Figures of the month">
    ${card(currency ? amountIn(currency) : STORAGE)}${card(USERS)}<${IdleCard} month=${month} />${card(EXPERIMENTS)}
  </section>`;
}

/** @param {{ month: string }} properties */
function IdleCard({ month }) {
  const variables = { month, idleSince: idleSince(month, IDLE_DAYS) };
  const { data, error } = useQuery(SEATS, variables);
  const seats = data?.chargebackReport.users;
  const isMeasured = seats && isMeasuredSince(seats.usageMeasuredFrom, variables.idleSince);
  const count = isMeasured ? html`<a href=${`/licences?month=${month}`}>${formatCount(seats.idle.numberOfUsers)}</a>` : NONE;
  return html`<article class="panel card">
    <h2>Idle seats</h2>
    <${ShowQuery} of="Idle seats" query=${SEATS} variables=${variables} />
    <p class="figure">${seats ? count : error ? NONE : html`<${Placeholder} />`}</p>
    <p class="change">
      ${seats ? html`<${IdleText} seats=${seats} isMeasured=${isMeasured} currency=${data.chargebackReport.charges?.currency} />` : (error ?? html`<${Placeholder} width="12ch" />`)}
    </p>
  </article>`;
}

/** @param {{ seats: any, isMeasured: boolean, currency?: string }} properties */
function IdleText({ seats, isMeasured, currency }) {
  if (!seats.usageMeasuredFrom) return "Not measured: no source reports the use of the platform";
  if (!isMeasured) return `Not known: use is measured since ${formatDay(seats.usageMeasuredFrom)}`;
  const of = html`of ${formatCount(seats.people.numberOfUsers)} seats unused for ${IDLE_DAYS} days`;
  if (!currency || seats.idle.amount == null) return of;
  return html`${of}<br /><b>${formatMoney(Number(seats.idle.amount), currency)}</b> could be saved`;
}

/** @param {{ figure: CardFigure, month: string, report: any, trend: any[] }} properties */
function Card({ figure, month, report, trend }) {
  const value = report && figure.read(report);
  return html`<article class="panel card">
    <h2>${figure.name}</h2>
    <${ShowQuery} of=${figure.name} query=${HEADLINE} variables=${{ month }} />
    <p class="figure">
      ${!report ? html`<${Placeholder} />` : value == null ? NONE : figure.format(value)}
      ${figure.unit && html`<small>${figure.unit}</small>`}
    </p>
    <p class="change">
      ${report ? html`<${ChangeText} figure=${figure} report=${report} month=${month} />` : html`<${Placeholder} width="12ch" />`}
    </p>
    <${Sparkline} values=${trend.map(figure.read)} label=${`${figure.name} over ${trend.length} months`} />
  </article>`;
}

/** @param {{ figure: CardFigure, report: any, month: string }} properties */
function ChangeText({ figure, report, month }) {
  if (!report.previous) return "The first month";
  const { absolute, percent } = figure.change(report);
  const name = formatMonthName(addMonths(month, -1));
  if (absolute == null) return `Not known for ${name}`;
  if (absolute === 0) return `As in ${name}`;
  return html`<b>${formatSigned(absolute, figure.difference)}</b>
    ${percent == null ? "" : ` (${formatChange(percent)})`}<br />against ${name}`;
}
