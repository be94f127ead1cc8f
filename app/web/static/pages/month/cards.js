// @ts-check
// The four main figures of a month, each with its change and a line of 13 months.
import { Sparkline } from "../charts/sparkline.js";
import { useQuery } from "../api.js";
import { formatCount, formatGb, formatMoney, formatMonthName, formatPercent, formatSigned, formatWholeGb, NONE } from "../format.js";
import { countIdleSeats, IDLE_DAYS } from "../licences/idle.js";
import { addMonths } from "../months.js";
import { html } from "../preact.js";
import { Placeholder, ShowQuery } from "../ui/parts.js";
import { compare } from "./compare.js";
import { SEATS, TREND } from "./queries.js";

/**
 * @typedef {object} TrendReport
 * @property {string} reportDate
 * @property {number} totalSizeInMb
 * @property {number} numberOfExperiments
 * @property {number} numberOfWorkspaces
 * @property {number} unmeasuredExperiments
 * @property {{ numberOfUsers: number }} users
 * @property {{ currency: string, total: string } | null} charges
 */

/**
 * @typedef {object} CardFigure
 * @property {string} name
 * @property {string} unit
 * @property {(report: TrendReport) => number | null} read
 * @property {(value: number) => string} format
 * @property {(value: number) => string} difference
 */

/** @type {CardFigure} */
const STORAGE = {
  name: "Storage at the end",
  unit: "GB",
  read: (report) => report.totalSizeInMb,
  format: formatWholeGb,
  difference: (value) => `${formatGb(value)} GB`,
};

/** @type {CardFigure} */
const USERS = {
  name: "Licensed users",
  unit: "",
  read: (report) => report.users.numberOfUsers,
  format: formatCount,
  difference: formatCount,
};

/** @type {CardFigure} */
const EXPERIMENTS = {
  name: "Experiments",
  unit: "",
  read: (report) => report.numberOfExperiments,
  format: formatCount,
  difference: formatCount,
};

/** @param {string} currency @returns {CardFigure} */
function amountIn(currency) {
  const format = (/** @type {number} */ value) => formatMoney(value, currency);
  const read = (/** @type {TrendReport} */ report) => (report.charges ? Number(report.charges.total) : null);
  return { name: "Amount", unit: "", read, format, difference: format };
}

/**
 * @param {{ month: string, reports?: TrendReport[], range: { from: string, to: string } }} properties
 */
export function Cards({ month, reports, range }) {
  const charges = reports?.[reports.length - 1]?.charges;
  const first = charges ? amountIn(charges.currency) : STORAGE;
  const card = (/** @type {CardFigure} */ figure) =>
    html`<${Card} key=${figure.name} figure=${figure} month=${month} reports=${reports} range=${range} />`;
  return html`<section class="cards" aria-label="Figures of the month">
    ${card(first)}${card(USERS)}<${IdleCard} month=${month} />${card(EXPERIMENTS)}
  </section>`;
}

/** @param {{ month: string }} properties */
function IdleCard({ month }) {
  const variables = { month };
  const { data, error } = useQuery(SEATS, variables);
  const seats = data && countIdleSeats(data.chargebackReport.users.licensedUsers, month, IDLE_DAYS);
  return html`<article class="panel card">
    <h2>Idle seats</h2>
    <${ShowQuery} of="Idle seats" query=${SEATS} variables=${variables} />
    <p class="figure">
      ${seats ? html`<a href=${`/licences?month=${month}`}>${formatCount(seats.idle)}</a>` : error ? NONE : html`<${Placeholder} />`}
    </p>
    <p class="change">
      ${seats ? html`<b>${formatPercent(seats.all ? seats.idle / seats.all : 0)}</b> of ${formatCount(seats.all)} seats<br />unused for ${IDLE_DAYS} days` : (error ?? "")}
    </p>
  </article>`;
}

/**
 * @param {{ figure: CardFigure, month: string, reports?: TrendReport[],
 *   range: { from: string, to: string } }} properties
 */
function Card({ figure, month, reports, range }) {
  const values = reports?.map(figure.read) ?? [];
  const value = values[values.length - 1];
  const isLoading = reports == null;
  return html`<article class="panel card">
    <h2>${figure.name}</h2>
    <${ShowQuery} of=${figure.name} query=${TREND} variables=${range} />
    <p class="figure">
      ${isLoading ? html`<${Placeholder} />` : value == null ? NONE : figure.format(value)}
      ${figure.unit && html`<small>${figure.unit}</small>`}
    </p>
    <p class="change">
      ${isLoading
        ? html`<${Placeholder} width="12ch" />`
        : html`<${ChangeText} figure=${figure} value=${value} before=${values[values.length - 2]} month=${month} />`}
    </p>
    <${Sparkline} values=${values} label=${`${figure.name} over ${values.length} months`} />
  </article>`;
}

/**
 * @param {{ figure: CardFigure, value: number | null, before: number | null | undefined, month: string }} properties
 */
function ChangeText({ figure, value, before, month }) {
  const { absolute, fraction } = compare(value, before);
  if (absolute == null) return "The first month";
  const name = formatMonthName(addMonths(month, -1));
  if (absolute === 0) return `As in ${name}`;
  return html`<b>${formatSigned(absolute, figure.difference)}</b>
    ${fraction == null ? "" : ` (${formatSigned(fraction, formatPercent)})`}<br />against ${name}`;
}
