// @ts-check
// Render the page that the address names.
import { useQuery } from "./api.js";
import { ClosePage } from "./closing/page.js";
import { LicencesPage } from "./licences/page.js";
import { MonthPage } from "./month/page.js";
import { MONTHS } from "./month/queries.js";
import { html, render, useErrorBoundary } from "./preact.js";
import { useAddress } from "./router.js";
import { StatementPage } from "./statements/page.js";
import { Frame } from "./ui/frame.js";
import { Problem } from "./ui/parts.js";

function App() {
  const { path, parameters } = useAddress();
  const { data, error, retry } = useQuery(MONTHS, {});
  return html`<${Frame} path=${path} viewer=${data?.viewer ?? null}>
    ${error && html`<${Problem} error=${error} retry=${retry} />`}
    ${data && html`<${Guarded} key=${path.split("/")[1]} path=${path} parameters=${parameters} data=${data} reload=${retry} />`}
  <//>`;
}

/** @param {{ path: string, parameters: URLSearchParams, data: any, reload: () => void }} properties */
function Guarded({ path, parameters, data, reload }) {
  const [failure, reset] = useErrorBoundary((error) => console.error(error));
  if (failure) return html`<${Problem} error="This page has a defect. The browser's console has the details." retry=${reset} />`;
  if (path === "/statements") return html`<${StatementPage} months=${data.months} parameters=${parameters} />`;
  if (path === "/close") return html`<${ClosePage} months=${data.months} parameters=${parameters} reload=${reload} />`;
  if (path === "/licences") return html`<${LicencesPage} months=${data.months} parameters=${parameters} />`;
  const month = /^\/months\/([^/]+)$/.exec(path)?.[1] ?? null;
  return html`<${MonthPage} month=${month} months=${data.months} parameters=${parameters} organization=${data.viewer.organization} />`;
}

const root = document.getElementById("app");
if (root) render(html`<${App} />`, root);
