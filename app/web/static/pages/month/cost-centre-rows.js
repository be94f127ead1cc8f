// @ts-check
// Rows by cost centre, of which there are few: the page sorts and filters them.
import { useQuery } from "../api.js";
import { html } from "../preact.js";
import { countText } from "../ui/pages.js";
import { Problem, SkeletonRows } from "../ui/parts.js";
import { amountColumns, Head, parseSort, PartRow, TableRow, TotalRow } from "./cells.js";
import { COST_CENTRES } from "./queries.js";
import { toChange } from "./views.js";

/** @typedef {import("./views.js").Row} Row */

/** @param {{ month: string, before: string, parameters: URLSearchParams, currency: string | null }} properties */
export function CostCentreRows({ month, before, parameters, currency }) {
  const { data, error, isLoading, retry } = useQuery(COST_CENTRES, { month });
  if (error) return html`<${Problem} error=${error} retry=${retry} />`;
  const report = data?.chargebackReport;
  const charges = report?.charges;
  const columns = amountColumns(before, charges?.currency ?? currency ?? "EUR");
  const canSort = (/** @type {string} */ name) => name === "name" || columns.some((column) => column.name === name);
  const sort = parseSort(parameters.get("sort"), canSort);
  const head = html`<${Head} first="Cost centre" columns=${columns} sort=${sort} canSort=${canSort} />`;
  if (!data) return html`<${SkeletonRows} head=${head} columns=${columns.length + 2} />`;
  if (!charges) return html`<p class="no-match">There are no charges in this month.</p>`;
  const q = (parameters.get("q") ?? "").trim();
  /** @type {Row[]} */
  const all = charges.costCentres.map(toRow);
  const rows = sortRows(all.filter((row) => row.name.toLowerCase().includes(q.toLowerCase())), columns, sort);
  const total = toTotal(report);
  const corrections = Number(charges.corrections);
  return html`<div class=${isLoading ? "loading" : ""}>
    <div class="scroll">
      <table class="data-table">
        ${head}
        <tbody>
          ${rows.map((row) => html`<${TableRow} key=${row.key} row=${row} month=${month} columns=${columns} sum=${total.value} />`)}
          ${!q && corrections !== 0 && html`<${PartRow} name="Of which corrections of closed months" columns=${columns} value=${corrections} />`}
        </tbody>
        ${!q && html`<${TotalRow} total=${total} columns=${columns} />`}
      </table>
    </div>
    ${rows.length === 0 && html`<p class="no-match">${q ? `Nothing matches “${q}”.` : "Nothing is charged in this month."}</p>`}
    <div class="table-foot"><span role="status">${countText(rows.length, all.length, "Cost centre")}</span></div>
  </div>`;
}

/** @param {any} each @returns {Row} */
function toRow({ code, name, amount, previous, change }) {
  return {
    key: code ?? "",
    name: code ? `${code} ${name}` : name,
    costCentre: code ?? "",
    tags: code ? [] : ["no cost centre pays"],
    value: Number(amount),
    before: previous ? Number(previous.amount) : null,
    change: toChange(change),
  };
}

/** @param {any} report @returns {Row} */
function toTotal({ charges, previous, change }) {
  const before = previous?.amount == null ? null : Number(previous.amount);
  return { key: "total", name: "Total", value: Number(charges.total), before, change: toChange(change.amount) };
}

/**
 * Sort the rows; unknown figures come last in either direction.
 * @param {Row[]} rows
 * @param {import("./cells.js").Column[]} columns
 * @param {import("./cells.js").Sort} sort
 */
function sortRows(rows, columns, sort) {
  const read = columns.find((column) => column.name === sort.name)?.read ?? ((/** @type {Row} */ row) => row.name);
  const direction = sort.isAscending ? 1 : -1;
  return [...rows].sort((one, other) => {
    const [a, b] = [read(one), read(other)];
    if (a == null || b == null) return Number(a == null) - Number(b == null);
    if (a === b) return one.name < other.name ? -1 : 1;
    return a < b ? -direction : direction;
  });
}
