// @ts-check
// The table of a month. The address holds its grouping, search text and order.
import { useQuery } from "../api.js";
import { formatCount, formatGb, formatMoney, formatMonth, formatPercent, formatShortMonth, formatSigned } from "../format.js";
import { addMonths } from "../months.js";
import { html, useEffect, useMemo, useState } from "../preact.js";
import { navigate, withParameters } from "../router.js";
import { Problem, Segments, Share, ShowQuery } from "../ui/parts.js";
import { statementAddress } from "./charges-chart.js";
import { compare } from "./compare.js";
import { chooseView, describeCorrections } from "./rows.js";

/** @typedef {import("./rows.js").Row} Row */

const PAGE_SIZE = 100;
const STRONG_GROWTH = 0.3;

/**
 * @typedef {object} Column
 * @property {string} name
 * @property {string} text
 * @property {(row: Row) => number | string | null | undefined} read
 * @property {(value: any) => string} format
 * @property {string} style
 */

/** @type {Column[]} */
const FACTS = [
  { name: "members", text: "Members", read: (row) => row.members, format: formatCount, style: "number wide" },
  { name: "experiments", text: "Experiments", read: (row) => row.experiments, format: formatCount, style: "number medium" },
  { name: "created", text: "Created", read: (row) => row.created, format: formatCount, style: "number wide" },
  { name: "end", text: "End GB", read: (row) => row.end, format: formatGb, style: "number medium" },
];

/**
 * Return the columns of a view.
 * @param {import("./rows.js").View} view
 * @param {string} before  The month before.
 * @param {string | null} currency  Null if the compared figure is a size.
 * @returns {Column[]}
 */
function chooseColumns(view, before, currency) {
  const format = currency ? (/** @type {number} */ value) => formatMoney(value, currency) : formatGb;
  const percent = (/** @type {number} */ value) => formatSigned(value, formatPercent);
  const value = currency ? "Amount" : "Avg GB";
  const month = formatShortMonth(before);
  return [
    ...FACTS.filter((column) => view.columns.includes(column.name)),
    { name: "before", text: month, read: (row) => row.before, format, style: "number medium" },
    { name: "value", text: value, read: (row) => row.value, format, style: "number" },
    {
      name: "change",
      text: currency ? "Δ" : "Δ GB",
      read: (row) => compare(row.value, row.before).absolute,
      format: (value) => formatSigned(value, format),
      style: "number",
    },
    { name: "percent", text: "Δ %", read: (row) => compare(row.value, row.before).fraction, format: percent, style: "number medium" },
  ];
}

/** @param {{ state: import("./page.js").ReportMonth, parameters: URLSearchParams, hasCharges: boolean }} properties */
export function MonthTable({ state, parameters, hasCharges }) {
  const { month } = state;
  const workspace = parameters.get("workspace");
  const { name, view } = chooseView(parameters.get("by"), workspace, hasCharges);
  const before = addMonths(month, -1);
  const variables = { month, before, ...(workspace ? { workspace } : {}) };
  const result = useQuery(view.query, variables);
  // While another view loads, the result is still that of the view before.
  const isOfView = result.data && view.matches(result.data);
  return html`<section class="panel breakable" aria-labelledby="table-title">
    <div class="panel-head">
      <${Title} month=${month} column=${view.column} workspace=${workspace} />
      <div class="end controls">
        <${GroupBy} name=${name} workspace=${workspace} hasCharges=${hasCharges} />
        <${Search} column=${view.column} value=${parameters.get("q") ?? ""} />
        <${ShowQuery} of="the table" query=${view.query} variables=${variables} />
      </div>
    </div>
    ${result.error
      ? html`<${Problem} error=${result.error} retry=${result.retry} />`
      : isOfView
        ? html`<${Rows} key=${`${name} ${workspace}`} data=${result.data} view=${view} month=${month} before=${before} parameters=${parameters} isLoading=${result.isLoading} />`
        : html`<div class="no-match quiet" style=${{ minHeight: "30rem" }}>Loading …</div>`}
  </section>`;
}

/** @param {{ month: string, column: string, workspace: string | null }} properties */
function Title({ month, column, workspace }) {
  if (!workspace) return html`<h2 id="table-title">${column}s in ${formatMonth(month)}</h2>`;
  const all = withParameters({ by: null, workspace: null, q: null });
  return html`<h2 id="table-title">
    <a href=${all} data-keep-scroll="yes">All workspaces</a><span class="within"> / </span>${workspace}
  </h2>`;
}

/** @param {{ name: string, workspace: string | null, hasCharges: boolean }} properties */
function GroupBy({ name, workspace, hasCharges }) {
  const views = workspace
    ? { project: "Projects", user: "Members" }
    : {
        ...(hasCharges ? { "cost-centre": "Cost centres" } : {}),
        workspace: "Workspaces",
        project: "Projects",
        user: "Users",
      };
  const options = Object.entries(views).map(([by, text]) => ({
    name: text,
    address: withParameters({ by, q: null, sort: null }),
    isCurrent: by === name,
  }));
  return html`<${Segments} label="Group by" options=${options} />`;
}

/** @param {{ column: string, value: string }} properties */
function Search({ column, value }) {
  const label = `Search ${column.toLowerCase()}s`;
  const search = (/** @type {any} */ event) =>
    navigate(withParameters({ q: event.target.value }), { replace: true });
  return html`<input class="field" type="search" placeholder=${label} aria-label=${label} value=${value} onInput=${search} />`;
}

/**
 * @param {{ data: any, view: import("./rows.js").View, month: string, before: string, parameters: URLSearchParams,
 *   isLoading: boolean }} properties
 */
function Rows({ data, view, month, before, parameters, isLoading }) {
  const [limit, setLimit] = useState(PAGE_SIZE);
  const sort = parseSort(parameters.get("sort"));
  const q = parameters.get("q") ?? "";
  const all = useMemo(() => view.toRows(data, before), [data, view]);
  const columns = chooseColumns(view, before, data.report.charges?.currency ?? null);
  const total = view.toTotal(data, all);
  const rows = useMemo(() => sortRows(filterRows(all, q), columns, sort), [all, q, sort.name, sort.isAscending]);
  useEffect(() => setLimit(PAGE_SIZE), [q, all]);
  if (total == null) return html`<p class="no-match">${view.missing}</p>`;
  return html`<div class=${isLoading ? "loading" : ""}>
    <div class="scroll">
      <table class="data-table">
        <thead>
          <tr>
            <${SortHead} name="name" text=${view.column} sort=${sort} style="" />
            ${columns.map((column) => html`<${SortHead} name=${column.name} text=${column.text} sort=${sort} style=${column.style} />`)}
            <th scope="col" class="share-cell">Share</th>
          </tr>
        </thead>
        <tbody>
          ${rows.slice(0, limit).map((row) => html`<${TableRow} key=${row.key} row=${row} month=${month} columns=${columns} sum=${total.value ?? 0} />`)}
          ${!q && describeCorrections(data).map((line) => html`<${CorrectionRow} line=${line} columns=${columns} />`)}
        </tbody>
        ${!q && html`<${TotalRow} total=${total} columns=${columns} />`}
      </table>
    </div>
    ${rows.length === 0 && html`<p class="no-match">${q ? `Nothing matches “${q}”.` : "Nothing in this month."}</p>`}
    <div class="table-foot">
      <span role="status">${foundText(rows.length, all.length, view.column)}</span>
      ${rows.length > limit &&
      html`<button class="button" type="button" onClick=${() => setLimit(limit + 10 * PAGE_SIZE)}>
        Show ${formatCount(Math.min(rows.length - limit, 10 * PAGE_SIZE))} more
      </button>`}
    </div>
  </div>`;
}

/**
 * @param {number} found
 * @param {number} all
 * @param {string} column
 */
function foundText(found, all, column) {
  const noun = `${column.toLowerCase()}${all === 1 ? "" : "s"}`;
  return found === all ? `${formatCount(all)} ${noun}` : `${formatCount(found)} of ${formatCount(all)} ${noun}`;
}

/** @typedef {{ name: string, isAscending: boolean }} Sort */

/** @param {string | null} text  Such as `change` or `-change`, descending. @returns {Sort} */
function parseSort(text) {
  const name = (text ?? "-value").replace(/^-/, "");
  return { name, isAscending: !(text ?? "-value").startsWith("-") };
}

/** @param {Row[]} rows @param {string} q */
function filterRows(rows, q) {
  const wanted = q.trim().toLowerCase();
  if (!wanted) return rows;
  return rows.filter((row) => `${row.name} ${row.within ?? ""}`.toLowerCase().includes(wanted));
}

/** Sort the rows; unknown figures come last in either direction. @param {Row[]} rows @param {Column[]} columns @param {Sort} sort */
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

/** @param {{ name: string, text: string, sort: Sort, style: string }} properties */
function SortHead({ name, text, sort, style }) {
  const isSorted = sort.name === name;
  const isAscending = isSorted ? !sort.isAscending : name === "name";
  const choose = () => navigate(withParameters({ sort: `${isAscending ? "" : "-"}${name}` }), { replace: true });
  const direction = sort.isAscending ? "ascending" : "descending";
  return html`<th scope="col" class=${style} aria-sort=${isSorted ? direction : null}>
    <button type="button" onClick=${choose}>${text}<span class="arrow" aria-hidden="true">${sort.isAscending ? "↑" : "↓"}</span></button>
  </th>`;
}

/** @param {{ row: Row, month: string, columns: Column[], sum: number }} properties */
function TableRow({ row, month, columns, sum }) {
  const fraction = sum > 0 && row.value != null ? row.value / sum : null;
  return html`<tr class=${row.tags?.includes("deleted") ? "aside" : ""}>
    <th scope="row">
      <${Name} row=${row} month=${month} />${row.tags?.map((tag) => html`<span class="tag">${tag}</span>`)}
    </th>
    ${columns.map((column) => html`<${Cell} column=${column} row=${row} />`)}
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
  const isStrong = ["change", "percent"].includes(column.name) && isStrongGrowth(row);
  return html`<td class=${`${column.style}${isStrong ? " strong-change" : ""}`}>${column.format(column.read(row))}</td>`;
}

/** @param {Row} row */
function isStrongGrowth(row) {
  return (compare(row.value, row.before).fraction ?? 0) > STRONG_GROWTH;
}

/** @param {{ line: { text: string, count: number }, columns: Column[] }} properties */
function CorrectionRow({ line, columns }) {
  return html`<tr class="aside">
    <th scope="row">${line.text}</th>
    <td colspan=${columns.length + 1}>${formatCount(line.count)} figures arrived after the close and are booked here</td>
  </tr>`;
}

/** @param {{ total: Row, columns: Column[] }} properties */
function TotalRow({ total, columns }) {
  return html`<tfoot>
    <tr>
      <th scope="row">Total</th>
      ${columns.map((column) => html`<td class=${column.style}>${column.name === "members" ? "" : column.format(column.read(total))}</td>`)}
      <td class="share-cell"></td>
    </tr>
  </tfoot>`;
}
