// @ts-check
// Rows by workspace, project, user or member, which the server sorts, filters and pages.
import { useQuery } from "../api.js";
import { formatCount, formatMoney } from "../format.js";
import { html } from "../preact.js";
import { countText, MoreButton, usePages } from "../ui/pages.js";
import { Problem, SkeletonRows } from "../ui/parts.js";
import { Head, NoteRow, parseSort, sizeColumns, TableRow, TotalRow } from "./cells.js";
import { toFigures } from "./views.js";

const PAGE_SIZE = 50;

/**
 * Return the variables of a view's query of rows, without those of later pages.
 * @param {import("./views.js").View} view
 * @param {string} month
 * @param {URLSearchParams} parameters
 */
export function rowVariables(view, month, parameters) {
  const sort = parseSort(parameters.get("sort"), (name) => Object.hasOwn(view.orders, name));
  const workspace = parameters.get("workspace");
  return {
    month,
    ...(workspace ? { workspace } : {}),
    first: PAGE_SIZE,
    orderBy: view.orders[sort.name],
    direction: sort.isAscending ? "ASCENDING" : "DESCENDING",
    ...(view.isSearched ? { q: parameters.get("q") } : {}),
  };
}

/**
 * @param {{ view: import("./views.js").View, month: string, before: string, parameters: URLSearchParams,
 *   currency: string | null }} properties
 */
export function PagedRows({ view, month, before, parameters, currency }) {
  const workspace = parameters.get("workspace");
  const q = (view.isSearched && parameters.get("q")) || "";
  const canSort = (/** @type {string} */ name) => Object.hasOwn(view.orders, name);
  const sort = parseSort(parameters.get("sort"), canSort);
  const pages = usePages(view.query, rowVariables(view, month, parameters), view.toConnection);
  const totals = useQuery(view.totalQuery, { month, ...(workspace ? { workspace } : {}) });
  const error = pages.error ?? totals.error;
  if (error) return html`<${Problem} error=${error} retry=${pages.error ? pages.retry : totals.retry} />`;
  const columns = sizeColumns(view, before, currency);
  const head = html`<${Head} first=${view.column} columns=${columns} sort=${sort} canSort=${canSort} />`;
  if (!pages.isLoaded || !totals.data) return html`<${SkeletonRows} head=${head} columns=${columns.length + 2} />`;
  const total = view.toTotal(totals.data);
  if (!total || pages.totalCount == null) {
    return html`<p class="no-match">The workspace ${workspace} does not exist at the end of this month.</p>`;
  }
  const figures = { key: "total", name: "Total", ...toFigures(total.of), members: undefined };
  const rows = pages.nodes.map(view.toRow);
  const wanted = q.toLowerCase();
  const former = pages.hasNextPage ? [] : total.former.filter((row) => row.name.toLowerCase().includes(wanted));
  return html`<div class=${pages.isLoading ? "loading" : ""}>
    <div class="scroll">
      <table class=${`data-table${currency ? " with-amount" : ""}`}>
        ${head}
        <tbody>
          ${[...rows, ...former].map((row) => html`<${TableRow} key=${row.key} row=${row} month=${month} columns=${columns} sum=${figures.value} />`)}
          ${!q && html`<${Notes} report=${total.of} measures=${view.measures} columns=${columns} currency=${currency} />`}
        </tbody>
        ${!q && html`<${TotalRow} total=${figures} columns=${columns} />`}
      </table>
    </div>
    ${rows.length + former.length === 0 && html`<p class="no-match">${q ? `Nothing matches “${q}”.` : "Nothing in this month."}</p>`}
    <div class="table-foot">
      <span role="status">${countText(rows.length, pages.totalCount, view.column)}${q ? ` matching “${q}”` : ""}</span>
      <${MoreButton} pages=${pages} size=${PAGE_SIZE} />
    </div>
  </div>`;
}

/**
 * What the total contains besides the rows: corrections, and rates that charge something else.
 * @param {{ report: any, measures: string[], columns: import("./cells.js").Column[], currency: string | null }} properties
 */
function Notes({ report, measures, columns, currency }) {
  const corrections = report.correctionsConnection?.totalCount ?? 0;
  /** @type {{ code: string, name: string, measure: string, amount: string }[]} */
  const rates = report.charges?.rates ?? [];
  const others = rates.filter((rate) => !measures.includes(rate.measure) && Number(rate.amount) !== 0);
  const money = (/** @type {string} */ amount) => formatMoney(Number(amount), currency ?? "");
  return html`
    ${others.length > 0 &&
    html`<${NoteRow} name="Charged besides" columns=${columns}>
      ${others.map((rate, index) => html`<span key=${rate.code}>${index > 0 ? ", " : ""}${rate.name} <b class="number">${money(rate.amount)}</b></span>`)}
    <//>`}
    ${corrections > 0 &&
    html`<${NoteRow} name="Corrections of closed months" columns=${columns}>
      ${formatCount(corrections)} ${corrections === 1 ? "figure" : "figures"} that arrived after the close${report.charges ? html`: <b class="number">${money(report.charges.corrections)}</b>` : ""}
    <//>`}
  `;
}
