// @ts-check
// The table of a month. The address holds its grouping, search text and order.
import { formatMonth } from "../format.js";
import { addMonths } from "../months.js";
import { html } from "../preact.js";
import { withParameters } from "../router.js";
import { Search, Segments, ShowQuery } from "../ui/parts.js";
import { CostCentreRows } from "./cost-centre-rows.js";
import { PagedRows, rowVariables } from "./paged-rows.js";
import { COST_CENTRES } from "./queries.js";
import { chooseView, COST_CENTRE } from "./views.js";

/** @param {{ month: string, parameters: URLSearchParams, currency: string | null }} properties */
export function MonthTable({ month, parameters, currency }) {
  const workspace = parameters.get("workspace");
  const { name, view } = chooseView(parameters.get("by"), workspace, currency != null);
  const before = addMonths(month, -1);
  const column = view?.column ?? "Cost centre";
  const rows = { month, before, parameters, currency };
  return html`<section class="panel breakable" aria-labelledby="table-title">
    <div class="panel-head">
      <${Title} month=${month} column=${column} workspace=${workspace} />
      <div class="end controls">
        <${GroupBy} name=${name} workspace=${workspace} hasCharges=${currency != null} />
        ${view?.isSearched !== false && html`<${Search} key=${name} label=${`Search ${column.toLowerCase()}s`} value=${parameters.get("q") ?? ""} />`}
        ${view
          ? html`<${ShowQuery} of="the table" query=${view.query} variables=${rowVariables(view, month, parameters)} />`
          : html`<${ShowQuery} of="the table" query=${COST_CENTRES} variables=${{ month }} />`}
      </div>
    </div>
    ${view ? html`<${PagedRows} key=${`${name} ${workspace}`} view=${view} ...${rows} />` : html`<${CostCentreRows} ...${rows} />`}
  </section>`;
}

/** @param {{ month: string, column: string, workspace: string | null }} properties */
function Title({ month, column, workspace }) {
  if (!workspace) return html`<h2 id="table-title">${column}s in ${formatMonth(month)}</h2>`;
  const all = withParameters({ by: "workspace", workspace: null, q: null });
  return html`<h2 id="table-title">
    <a href=${all} data-keep-scroll="yes">All workspaces</a><span class="within"> / </span>${workspace}
  </h2>`;
}

/** @param {{ name: string, workspace: string | null, hasCharges: boolean }} properties */
function GroupBy({ name, workspace, hasCharges }) {
  const views = workspace
    ? { project: "Projects", user: "Members" }
    : {
        ...(hasCharges ? { [COST_CENTRE]: "Cost centres" } : {}),
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
