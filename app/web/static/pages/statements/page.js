// @ts-check
// The Statement page: what a cost centre pays for a month, and what changed.
import { useQuery } from "../api.js";
import { formatCount, formatMoney, formatMonth, formatMonthName, formatSigned, NONE } from "../format.js";
import { addMonths, isMonth, monthOf } from "../months.js";
import { html, useEffect, useState } from "../preact.js";
import { navigate, withParameters } from "../router.js";
import { describeStatus, StatusBadge } from "../month/head.js";
import { Placeholder, Problem, ShowQuery } from "../ui/parts.js";
import { usePrintMargins } from "../ui/print.js";
import { compareLines, describeLine } from "./lines.js";
import { COST_CENTRES_OF_MONTH, STATEMENT } from "./queries.js";

const PAGE_SIZE = 100;

/** @typedef {import("../month/page.js").ReportMonth} ReportMonth */
/** @typedef {{ code: string | null, name: string, amount: string }} CostCentre */

/**
 * @param {{ months: ReportMonth[], parameters: URLSearchParams }} properties
 */
export function StatementPage({ months, parameters }) {
  const wanted = parameters.get("month") ?? "";
  const current = monthOf(Date.now());
  const usual = months.find((each) => each.month < current) ?? months[0];
  const state = (isMonth(wanted) && months.find((each) => each.month === wanted)) || usual;
  if (!state) return html`<p class="notice">There is no month yet.</p>`;
  return html`<${MonthStatement} state=${state} months=${months} parameters=${parameters} />`;
}

/** @param {{ state: ReportMonth, months: ReportMonth[], parameters: URLSearchParams }} properties */
function MonthStatement({ state, months, parameters }) {
  const { month } = state;
  const centres = useQuery(COST_CENTRES_OF_MONTH, { month });
  /** @type {CostCentre[] | null | undefined} */
  const costCentres = centres.data && (centres.data.chargebackReport.charges?.costCentres ?? []);
  const centre = costCentres?.find((each) => (each.code ?? "") === parameters.get("centre")) ?? costCentres?.[0];
  return html`
    <div class="page-head">
      <h1>Statement</h1>
      <${Choice} label="Month" name="month" value=${month} options=${months.map((each) => ({ value: each.month, text: formatMonth(each.month) }))} />
      ${centre &&
      costCentres &&
      html`<${Choice} label="Cost centre" name="centre" value=${centre.code ?? ""} options=${costCentres.map((each) => ({ value: each.code ?? "", text: nameOf(each) }))} />`}
      <${StatusBadge} state=${state} />
    </div>
    ${centres.error && html`<${Problem} error=${centres.error} retry=${centres.retry} />`}
    ${costCentres && !centre && html`<${NoCharges} month=${month} />`}
    ${centre && html`<${Statement} key=${`${month} ${centre.code}`} state=${state} centre=${centre} />`}
  `;
}

/** @param {CostCentre} centre */
function nameOf({ code, name }) {
  return code ? `${code} ${name}` : name;
}

/** @param {{ month: string }} properties */
function NoCharges({ month }) {
  return html`<div class="notice">
    <h2>Nothing is charged in ${formatMonth(month)}</h2>
    <p>Charges need a currency, rates with prices, and workspaces or users that are assigned to cost centres.</p>
  </div>`;
}

/**
 * @param {{ label: string, name: string, value: string, options: { value: string, text: string }[] }} properties
 */
function Choice({ label, name, value, options }) {
  const go = (/** @type {any} */ event) => navigate(withParameters({ [name]: event.target.value }));
  return html`<select class="field" aria-label=${label} value=${value} onChange=${go}>
    ${options.map((each) => html`<option value=${each.value}>${each.text}</option>`)}
  </select>`;
}

/** @param {{ state: ReportMonth, centre: CostCentre }} properties */
function Statement({ state, centre }) {
  const { month } = state;
  const variables = { month, before: addMonths(month, -1), costCentre: centre.code ?? "" };
  const { data, error, retry } = useQuery(STATEMENT, variables);
  usePrintMargins(`Statement of ${nameOf(centre)} · ${formatMonth(month)}`, describeStatus(state));
  useEffect(() => {
    document.title = `${nameOf(centre)}, ${formatMonth(month)} · Chargeback`;
  }, [centre, month]);
  if (error) return html`<${Problem} error=${error} retry=${retry} />`;
  if (!data) return html`<p class="panel statement"><${Placeholder} width="30ch" /></p>`;
  const { report, before } = data;
  const currency = report.charges.currency;
  const money = (/** @type {number} */ value) => formatMoney(value, currency);
  const earlier = before.charges?.costCentres.find((/** @type {CostCentre} */ each) => each.code === centre.code);
  const lines = compareLines(report.charges.lines, before.charges?.lines ?? []);
  return html`
    <${Headline} centre=${centre} month=${month} before=${earlier ? Number(earlier.amount) : null} lines=${lines} money=${money} />
    <${Lines} lines=${lines} total=${Number(centre.amount)} before=${earlier ? Number(earlier.amount) : null} month=${month} money=${money} variables=${variables} />
  `;
}

/**
 * @param {{ centre: CostCentre, month: string, before: number | null,
 *   lines: import("./lines.js").StatementLine[], money: (value: number) => string }} properties
 */
function Headline({ centre, month, before, lines, money }) {
  const amount = Number(centre.amount);
  const last = formatMonthName(addMonths(month, -1));
  const changed = [...lines].sort((one, other) => Math.abs(other.change) - Math.abs(one.change)).slice(0, 4);
  return html`<section class="panel statement" aria-label="Summary">
    <p class="lead">
      ${centre.code ? html`<b>${nameOf(centre)}</b> is charged` : html`<b>No cost centre</b> pays`}
      <b> ${money(amount)}</b> for ${formatMonth(month)}${before == null
        ? ", and nothing in the month before."
        : html`, ${describeDifference(amount - before, money)} ${last}.`}
    </p>
    ${before != null &&
    html`<p>What changed most:</p>
      <ul class="changes">
        ${changed
          .filter((each) => Math.abs(each.change) >= 0.005)
          .map((each) => html`<li key=${each.key}><b class="number">${formatSigned(each.change, money)}</b><span>${describeChange(each)}</span></li>`)}
      </ul>`}
  </section>`;
}

/** @param {number} difference @param {(value: number) => string} money */
function describeDifference(difference, money) {
  if (Math.abs(difference) < 0.005) return "as much as in";
  return html`<b>${money(Math.abs(difference))} ${difference > 0 ? "more" : "less"}</b> than in`;
}

/** @param {import("./lines.js").StatementLine} each */
function describeChange({ line, amount, before }) {
  const state = before == null ? ", new" : amount == null ? ", gone" : "";
  const origin = line.originMonth ? `, correction of ${formatMonth(line.originMonth)}` : "";
  const what = describeLine(line);
  return `${what === line.rateName ? what : `${line.rateName}: ${what}`}${origin || state}`;
}

/**
 * @param {{ lines: import("./lines.js").StatementLine[], total: number, before: number | null, month: string,
 *   money: (value: number) => string, variables: Record<string, unknown> }} properties
 */
function Lines({ lines, total, before, month, money, variables }) {
  const [limit, setLimit] = useState(PAGE_SIZE);
  const sorted = [...lines].sort((one, other) => (other.amount ?? 0) - (one.amount ?? 0));
  return html`<section class="panel breakable" aria-labelledby="lines-title">
    <div class="panel-head">
      <h2 id="lines-title">Charges, line by line</h2>
      <span class="end"><${ShowQuery} of="the lines" query=${STATEMENT} variables=${variables} /></span>
    </div>
    <div class="scroll" tabindex="0" role="region" aria-label="Charges">
      <table class="data-table">
        <thead>
          <tr>
            <th scope="col">For</th>
            <th scope="col" class="medium">Rate</th>
            <th scope="col" class="number medium">Quantity</th>
            <th scope="col" class="number wide">Price</th>
            <th scope="col" class="number medium">${formatMonthName(addMonths(month, -1))}</th>
            <th scope="col" class="number">Amount</th>
            <th scope="col" class="number">Δ</th>
          </tr>
        </thead>
        <tbody>
          ${sorted.slice(0, limit).map((each) => html`<${LineRow} key=${each.key} each=${each} money=${money} />`)}
        </tbody>
        <tfoot>
          <tr>
            <th scope="row">Total</th>
            <td class="medium"></td>
            <td class="medium"></td>
            <td class="wide"></td>
            <td class="number medium">${before == null ? NONE : money(before)}</td>
            <td class="number">${money(total)}</td>
            <td class="number">${before == null ? NONE : formatSigned(total - before, money)}</td>
          </tr>
        </tfoot>
      </table>
    </div>
    <div class="table-foot">
      <span role="status">${formatCount(lines.length)} lines</span>
      ${lines.length > limit && html`<button class="button" type="button" onClick=${() => setLimit(limit + 10 * PAGE_SIZE)}>Show more</button>`}
    </div>
  </section>`;
}

/**
 * @param {{ each: import("./lines.js").StatementLine, money: (value: number) => string }} properties
 */
function LineRow({ each, money }) {
  const { line, amount, before, change } = each;
  const tag = line.originMonth ? `correction of ${formatMonth(line.originMonth)}` : before == null ? "new" : amount == null ? "gone" : null;
  return html`<tr class=${amount == null ? "aside" : ""}>
    <th scope="row">${describeLine(line)}${tag && html`<span class="tag">${tag}</span>`}</th>
    <td class="medium">${line.rateName}</td>
    <td class="number medium">${amount == null ? NONE : `${formatQuantity(line.quantity)} ${line.unit}${Number(line.quantity) === 1 ? "" : "s"}`}</td>
    <td class="number wide">${money(Number(line.price))}</td>
    <td class="number medium">${before == null ? NONE : money(before)}</td>
    <td class="number">${amount == null ? NONE : money(amount)}</td>
    <td class="number">${formatSigned(change, money)}</td>
  </tr>`;
}

/** @param {string} quantity */
function formatQuantity(quantity) {
  return new Intl.NumberFormat("en-GB", { maximumFractionDigits: 2 }).format(Number(quantity));
}
