// @ts-check
// The Statement page: what a cost centre pays for a month, and what changed.
import { useQuery } from "../api.js";
import {
  formatCount,
  formatMoney,
  formatMonth,
  formatMonthName,
  formatPrice,
  formatQuantity,
  formatSigned,
  halfMinorUnit,
  NONE,
} from "../format.js";
import { addMonths, isMonth, monthOf } from "../months.js";
import { html, useEffect, useState } from "../preact.js";
import { navigate, withParameters } from "../router.js";
import { describeStatus, StatusBadge } from "../month/head.js";
import { Icon } from "../ui/icons.js";
import { Placeholder, Problem, ShowQuery } from "../ui/parts.js";
import { usePrintMargins } from "../ui/print.js";
import { compareLines, describeLine } from "./lines.js";
import { Explanation } from "./explanation.js";
import { Waterfall } from "./waterfall.js";
import { Year } from "./year.js";
import { COST_CENTRES_OF_MONTH, STATEMENT } from "./queries.js";

const PAGE_SIZE = 100;
const OWN_MONTHS = 13;

/** @typedef {import("../month/page.js").ReportMonth} ReportMonth */
/** @typedef {{ code: string, name: string }} CostCentre  The code of Unassigned is "". */
/**
 * @typedef {{ month: string, costCentre: string | null, costCentreName: string, status: string, closedAt: string | null,
 *   chargesHash: string | null, currency: string, total: string, lines: import("./lines.js").ChargeLine[],
 *   changes?: { reason: string, amount: string }[] }} StatementData
 */

/**
 * The statements of all cost centres.
 * @param {{ months: ReportMonth[], parameters: URLSearchParams }} properties
 */
export function StatementPage({ months, parameters }) {
  const known = months.map((each) => each.month);
  const month = chooseMonth(known, parameters);
  const { data, error, retry } = useQuery(COST_CENTRES_OF_MONTH, month ? { month } : null);
  if (!month) return html`<p class="notice">There is no month yet.</p>`;
  if (error) return html`<${Problem} error=${error} retry=${retry} />`;
  /** @type {{ code: string | null, name: string }[] | null} */
  const found = data && (data.chargebackReport.charges?.costCentres ?? []);
  const centres = found && found.map(({ code, name }) => ({ code: code ?? "", name: nameOf(code, name) }));
  return html`<${MonthStatement} month=${month} months=${known} centres=${centres} parameters=${parameters} canExplain />`;
}

/**
 * The statements that a key with the scope statement:read may read: those of its cost centres.
 * @param {{ codes: string[], parameters: URLSearchParams }} properties
 */
export function OwnStatementPage({ codes, parameters }) {
  const current = monthOf(Date.now());
  const months = Array.from({ length: OWN_MONTHS }, (_, index) => addMonths(current, -index));
  const month = chooseMonth(months, parameters);
  const centres = codes.map((code) => ({ code, name: code }));
  return html`<${MonthStatement} month=${month} months=${months} centres=${centres} parameters=${parameters} />`;
}

/**
 * Return the month that the address names, else the latest one that is over.
 * @param {string[]} months  Latest first.
 * @param {URLSearchParams} parameters
 */
function chooseMonth(months, parameters) {
  const wanted = parameters.get("month") ?? "";
  const current = monthOf(Date.now());
  const usual = months.find((each) => each < current) ?? months[0];
  return isMonth(wanted) && months.includes(wanted) ? wanted : usual;
}

/**
 * @param {{ month: string, months: string[], centres: CostCentre[] | null, parameters: URLSearchParams, canExplain?: boolean }} properties
 */
function MonthStatement({ month, months, centres, parameters, canExplain = false }) {
  const centre = centres && (centres.find((each) => each.code === parameters.get("centre")) ?? centres[0]);
  const variables = centre ? { month, before: addMonths(month, -1), costCentre: centre.code } : null;
  const { data, error, isLoading, retry } = useQuery(STATEMENT, variables);
  /** @type {StatementData | null} */
  const latest = data?.statement ?? null;
  const statement = latest && latest.month === month && (latest.costCentre ?? "") === centre?.code ? latest : null;
  return html`
    <div class="page-head">
      <h1>Statement</h1>
      <${Choice} label="Month" name="month" value=${month} options=${months.map((each) => ({ value: each, text: formatMonth(each) }))} />
      ${centre && centres && html`<${Choice} label="Cost centre" name="centre" value=${centre.code} options=${centres.map(({ code, name }) => ({ value: code, text: name }))} />`}
      ${statement && html`<${StatusBadge} state=${statement} />`}
      ${statement && html`<span class="end"><${Download} statement=${statement} /></span>`}
    </div>
    ${error && html`<${Problem} error=${error} retry=${retry} />`}
    ${(centres?.length === 0 || (data && !latest && !isLoading)) && html`<${NoCharges} month=${month} />`}
    ${statement
      ? html`<${Statement} key=${`${month} ${centre?.code}`} statement=${statement} before=${data.before} months=${months} variables=${variables} canExplain=${canExplain} />`
      : isLoading && centres?.length !== 0 && html`<p class="panel statement"><${Placeholder} width="30ch" /></p>`}
  `;
}

/** @param {{ statement: StatementData }} properties */
function Download({ statement }) {
  const { month, costCentre } = statement;
  const query = new URLSearchParams({ reportMonth: month, costCentre: costCentre ?? "", format: "xlsx" });
  return html`<a class="button" href=${`/api/admin/chargeback/charges?${query}`} download=${`charges-${month}-${costCentre ?? "unassigned"}.xlsx`}>
    <${Icon} name="download" />XLSX</a
  >`;
}

/** @param {string | null} code @param {string} name */
function nameOf(code, name) {
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

/**
 * @param {{ statement: StatementData, before: StatementData | null, months: string[], variables: Record<string, unknown> | null, canExplain: boolean }} properties
 */
function Statement({ statement, before, months, variables, canExplain }) {
  const { month, costCentre, costCentreName, currency } = statement;
  const name = nameOf(costCentre, costCentreName);
  usePrintMargins(`Statement of ${name} · ${formatMonth(month)}`, describeStatus(statement));
  useEffect(() => {
    document.title = `${name}, ${formatMonth(month)} · Chargeback`;
  }, [name, month]);
  const money = (/** @type {number} */ value) => formatMoney(value, currency);
  const earlier = before && before.lines.length > 0 ? Number(before.total) : null;
  const lines = compareLines(statement.lines, before?.lines ?? []);
  const total = Number(statement.total);
  return html`
    <${Headline} name=${costCentre ? name : null} total=${total} month=${month} before=${earlier} lines=${lines} money=${money} smallest=${halfMinorUnit(currency)}>
      ${before && earlier != null && html`<${Waterfall} before=${{ month: before.month, total: earlier }} now=${{ month, total }} changes=${statement.changes ?? []} money=${money} />`}
    <//>
    <${Year} month=${month} known=${months} costCentre=${costCentre ?? ""} name=${name} currency=${currency} />
    <${Lines} lines=${lines} total=${total} before=${earlier} month=${month} money=${money} currency=${currency} variables=${variables} canExplain=${canExplain} />
  `;
}

/**
 * @param {{ name: string | null, total: number, month: string, before: number | null,
 *   lines: import("./lines.js").StatementLine[], money: (value: number) => string, smallest: number, children: any }} properties
 *   `smallest` is half the currency's minor unit.
 */
function Headline({ name, total, month, before, lines, money, smallest, children }) {
  const last = formatMonthName(addMonths(month, -1));
  const changed = [...lines].sort((one, other) => Math.abs(other.change) - Math.abs(one.change)).slice(0, 4);
  return html`<section class="panel statement" aria-label="Summary">
    <p class="lead">
      ${name ? html`<b>${name}</b> is charged` : html`<b>No cost centre</b> pays`}
      <b> ${money(total)}</b> for ${formatMonth(month)}${before == null
        ? ", and nothing in the month before."
        : html`, ${describeDifference(total - before, money, smallest)} ${last}.`}
    </p>
    ${children}
    ${before != null &&
    html`<h2>The largest changes</h2>
      <ul class="changes">
        ${changed
          .filter((each) => Math.abs(each.change) >= smallest)
          .map((each) => html`<li key=${each.key}><b class="number">${formatSigned(each.change, money)}</b><span>${describeChange(each)}</span></li>`)}
      </ul>`}
  </section>`;
}

/** @param {number} difference @param {(value: number) => string} money @param {number} smallest */
function describeDifference(difference, money, smallest) {
  if (Math.abs(difference) < smallest) return "as much as in";
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
 *   money: (value: number) => string, currency: string, variables: Record<string, unknown>, canExplain: boolean }} properties
 */
function Lines({ lines, total, before, month, money, currency, variables, canExplain }) {
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
          ${sorted.slice(0, limit).map((each) => html`<${LineRow} key=${each.key} each=${each} money=${money} currency=${currency} canExplain=${canExplain} />`)}
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
 * @param {{ each: import("./lines.js").StatementLine, money: (value: number) => string, currency: string,
 *   canExplain: boolean }} properties
 */
function LineRow({ each, money, currency, canExplain }) {
  const { line, amount, before, change } = each;
  const [isExplained, setExplained] = useState(false);
  const toggle = () => setExplained(!isExplained);
  const tag = line.originMonth ? `correction of ${formatMonth(line.originMonth)}` : before == null ? "new" : amount == null ? "gone" : null;
  return html`<tr class=${amount == null ? "aside" : ""}>
    <th scope="row">${describeLine(line)}${tag && html`<span class="tag">${tag}</span>`}${canExplain && amount != null && html` <button class="why" type="button" aria-expanded=${isExplained} onClick=${toggle}>why?</button>`}</th>
    <td class="medium">${line.rateName}</td>
    <td class="number medium">${amount == null ? NONE : `${formatQuantity(Number(line.quantity))} ${line.unit}${Number(line.quantity) === 1 ? "" : "s"}`}</td>
    <td class="number wide">${formatPrice(Number(line.price), currency)}</td>
    <td class="number medium">${before == null ? NONE : money(before)}</td>
    <td class="number">${amount == null ? NONE : money(amount)}</td>
    <td class="number">${formatSigned(change, money)}</td>
  </tr>
  ${isExplained && html`<tr><td colspan="7"><${Explanation} id=${line.lineId} money=${money} /></td></tr>`}`;
}
