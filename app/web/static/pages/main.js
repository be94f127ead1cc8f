// @ts-check
// Render the page that the address names.
import { useQuery } from "./api.js";
import { ClosePage } from "./closing/page.js";
import { LicencesPage } from "./licences/page.js";
import { MonthPage } from "./month/page.js";
import { MONTHS } from "./month/queries.js";
import { html, render, useErrorBoundary } from "./preact.js";
import { useAddress } from "./router.js";
import { OwnStatementPage, StatementPage } from "./statements/page.js";
import { Frame } from "./ui/frame.js";
import { Problem } from "./ui/parts.js";
import { isStatementKey, VIEWER } from "./viewer.js";

function App() {
  const { path, parameters } = useAddress();
  const { data, error, retry } = useQuery(VIEWER, {});
  const viewer = data?.viewer ?? null;
  return html`<${Frame} path=${path} viewer=${viewer}>
    ${error && html`<${Problem} error=${error} retry=${retry} />`}
    ${viewer && html`<${Guarded} key=${path.split("/")[1]} path=${path} parameters=${parameters} viewer=${viewer} />`}
  <//>`;
}

/** @param {{ path: string, parameters: URLSearchParams, viewer: import("./viewer.js").Viewer }} properties */
function Guarded({ path, parameters, viewer }) {
  const [failure, reset] = useErrorBoundary((error) => console.error(error));
  if (failure) return html`<${Problem} error="This page has a defect. The browser's console has the details." retry=${reset} />`;
  if (!isStatementKey(viewer)) return html`<${ReportPage} path=${path} parameters=${parameters} viewer=${viewer} />`;
  if (path === "/statements") return html`<${OwnStatementPage} codes=${viewer.costCentres} parameters=${parameters} />`;
  return html`<div class="notice">
    <h2>Your key reads statements only</h2>
    <p>This page needs a key with the scope <code>report:read</code>. Yours has the scope <code>statement:read</code>.</p>
    <p><a class="button" href="/statements">Open your statements</a></p>
  </div>`;
}

/** @param {{ path: string, parameters: URLSearchParams, viewer: import("./viewer.js").Viewer }} properties */
function ReportPage({ path, parameters, viewer }) {
  const { data, error, retry: reload } = useQuery(MONTHS, {});
  if (error) return html`<${Problem} error=${error} retry=${reload} />`;
  if (!data) return null;
  if (path === "/statements") return html`<${StatementPage} months=${data.months} parameters=${parameters} />`;
  if (path === "/close") return html`<${ClosePage} months=${data.months} parameters=${parameters} reload=${reload} />`;
  if (path === "/licences") return html`<${LicencesPage} months=${data.months} parameters=${parameters} organization=${viewer.organization} />`;
  const month = /^\/months\/([^/]+)$/.exec(path)?.[1] ?? null;
  return html`<${MonthPage} month=${month} months=${data.months} parameters=${parameters} organization=${viewer.organization} />`;
}

const root = document.getElementById("app");
if (root) render(html`<${App} />`, root);
