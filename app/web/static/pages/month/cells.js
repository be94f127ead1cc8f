// @ts-check
// Columns and rows that every view of the Month table shares.
import { formatCount, formatGb, formatHundredths, formatMoney, formatPercent, formatShortMonth, formatSigned } from "../format.js";
import { html } from "../preact.js";
import { navigate, withParameters } from "../router.js";
import { Share } from "../ui/parts.js";
import { statementAddress } from "./charges-chart.js";

/** @typedef {import("./views.js").Row} Row */
/** @typedef {{ name: string, isAscending: boolean }} Sort */
/**
 * @typedef {object} Column
 * @property {string} name
 * @property {string} text
 * @property {(row: Row) => number | null | undefined} read
 * @property {(value: any) => string} format
 * @property {string} style
 */

const STRONG_GROWTH = 30;

/** @type {Record<string, Column>} */
const FACTS = {
  members: { name: "members", text: "Members", read: (row) => row.members, format: formatCount, style: "number wide" },
  experiments: { name: "experiments", text: "Experiments", read: (row) => row.experiments, format: formatCount, style: "number wide" },
  end: { name: "end", text: "End GB", read: (row) => row.end, format: formatGb, style: "number medium" },
};

/**
 * Return the columns of a view by size; with a currency, the amount is the last one.
 * @param {import("./views.js").View} view
 * @param {string} before  The month before.
 * @param {string | null} currency
 * @returns {Column[]}
 */
export function sizeColumns(view, before, currency) {
  const compared = comparedColumns(before, { value: "Avg GB", change: "Δ GB" }, formatGb);
  const facts = view.facts.map((name) => FACTS[name]);
  if (!currency) return [...facts, ...compared];
  const format = (/** @type {number | null} */ value) => formatMoney(value, currency);
  return [...facts, ...compared, { name: "amount", text: "Amount", read: (row) => row.amount, format, style: "number" }];
}

/** @param {string} before @param {string} currency @returns {Column[]} */
export function amountColumns(before, currency) {
  return comparedColumns(before, { value: "Amount", change: "Δ" }, (value) => formatMoney(value, currency));
}

/**
 * @param {string} before
 * @param {{ value: string, change: string }} texts
 * @param {(value: number | null) => string} format
 * @returns {Column[]}
 */
function comparedColumns(before, texts, format) {
  const signed = (/** @type {number | null} */ value) => formatSigned(value, format);
  return [
    { name: "before", text: formatShortMonth(before), read: (row) => row.before, format, style: "number medium" },
    { name: "value", text: texts.value, read: (row) => row.value, format, style: "number" },
    { name: "change", text: texts.change, read: (row) => row.change.absolute, format: signed, style: "number" },
    { name: "percent", text: "Δ %", read: (row) => row.change.percent, format: formatChange, style: "number medium" },
  ];
}

/** Format a change in percent as GraphQL rounds it, with its sign. @param {number | null | undefined} percent */
export function formatChange(percent) {
  return formatSigned(percent, (value) => `${formatHundredths(value)}%`);
}

/** Return whether something grew by more than 30 %. @param {number | null} percent */
export function isStrongGrowth(percent) {
  return (percent ?? 0) > STRONG_GROWTH;
}

/**
 * Read the order from the address, such as `change` or `-change`, descending.
 * @param {string | null} text
 * @param {(name: string) => boolean} isKnown
 * @returns {Sort}
 */
export function parseSort(text, isKnown) {
  const name = (text ?? "").replace(/^-/, "");
  if (!isKnown(name)) return { name: "value", isAscending: false };
  return { name, isAscending: !text?.startsWith("-") };
}

/**
 * The head of the table; `isSorted` tells which columns can be sorted.
 * @param {{ first: string, columns: Column[], sort: Sort, canSort: (name: string) => boolean }} properties
 */
export function Head({ first, columns, sort, canSort }) {
  return html`<thead>
    <tr>
      <${HeadCell} name="name" text=${first} sort=${sort} style="" canSort=${canSort} />
      ${columns.map((column) => html`<${HeadCell} key=${column.name} name=${column.name} text=${column.text} sort=${sort} style=${column.style} canSort=${canSort} />`)}
      <th scope="col" class="share-cell">Share</th>
    </tr>
  </thead>`;
}

/** @param {{ name: string, text: string, sort: Sort, style: string, canSort: (name: string) => boolean }} properties */
function HeadCell({ name, text, sort, style, canSort }) {
  if (!canSort(name)) return html`<th scope="col" class=${style}>${text}</th>`;
  const isSorted = sort.name === name;
  const isAscending = isSorted ? !sort.isAscending : name === "name";
  const choose = () => navigate(withParameters({ sort: `${isAscending ? "" : "-"}${name}` }), { replace: true });
  const direction = sort.isAscending ? "ascending" : "descending";
  return html`<th scope="col" class=${style} aria-sort=${isSorted ? direction : null}>
    <button type="button" onClick=${choose}>${text}<span class="arrow" aria-hidden="true">${sort.isAscending ? "↑" : "↓"}</span></button>
  </th>`;
}

/** @param {{ row: Row, month: string, columns: Column[], sum: number | null }} properties */
export function TableRow({ row, month, columns, sum }) {
  const fraction = sum && sum > 0 && row.value != null ? row.value / sum : null;
  return html`<tr class=${row.isPast ? "aside" : ""}>
    <th scope="row">
      <${Name} row=${row} month=${month} />${row.tags?.map((tag) => html`<span class="tag">${tag}</span>`)}
    </th>
    ${columns.map((column) => html`<${Cell} key=${column.name} column=${column} row=${row} />`)}
    <td class="share-cell"><${Share} fraction=${fraction} text=${formatPercent(fraction)} /></td>
  </tr>`;
}

/** @param {{ row: Row, month: string }} properties */
function Name({ row, month }) {
  if (row.costCentre != null) return html`<a href=${statementAddress(month, row.costCentre)}>${row.name}</a>`;
  if (!row.workspace) return row.name;
  const address = withParameters({ by: "project", workspace: row.workspace, q: null, sort: null });
  if (row.within) {
    return html`${row.name}<span class="within"> in <a href=${address} data-keep-scroll="yes">${row.within}</a></span>`;
  }
  return html`<a href=${address} data-keep-scroll="yes">${row.name}</a>`;
}

/** @param {{ column: Column, row: Row }} properties */
function Cell({ column, row }) {
  const isStrong = ["change", "percent"].includes(column.name) && isStrongGrowth(row.change.percent);
  return html`<td class=${`${column.style}${isStrong ? " strong-change" : ""}`}>${column.format(column.read(row) ?? null)}</td>`;
}

/**
 * A row of text below the figures, such as the corrections.
 * @param {{ name: string, columns: Column[], children: any }} properties
 */
export function NoteRow({ name, columns, children }) {
  return html`<tr class="aside note">
    <th scope="row">${name}</th>
    <td colspan=${columns.length + 1}>${children}</td>
  </tr>`;
}

/** A part of the total, in the column of its value. @param {{ name: string, columns: Column[], value: number }} properties */
export function PartRow({ name, columns, value }) {
  return html`<tr class="aside note">
    <th scope="row">${name}</th>
    ${columns.map((column) => html`<td key=${column.name} class=${column.style}>${column.name === "value" ? column.format(value) : ""}</td>`)}
    <td class="share-cell"></td>
  </tr>`;
}

/** @param {{ total: Row, columns: Column[] }} properties */
export function TotalRow({ total, columns }) {
  return html`<tfoot>
    <tr>
      <th scope="row">Total</th>
      ${columns.map((column) => {
        const value = column.read(total);
        return html`<td key=${column.name} class=${column.style}>${value === undefined ? "" : column.format(value)}</td>`;
      })}
      <td class="share-cell"></td>
    </tr>
  </tfoot>`;
}
